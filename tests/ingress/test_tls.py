"""TLS at the ingress as clients see it: whole, in pieces, in halves, and nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest

from minipaas.certs.authority import Authority
from minipaas.certs.contexts import server_context
from minipaas.ingress import Ingress, Limits
from minipaas.ingress.ingress import TlsDoor
from minipaas.ingress.listen import bind
from minipaas.ingress.origin import Proxies
from minipaas.model.route import Route

from .peers import GET, OK, PATIENCE, Town, field, read_answer, small, status, until, yielding
from .test_streams import FLAT, SIZE, receive, send
from .test_tunnel import SWITCH, UPGRADE, aiohttp_app


class Shown:
    """The certificate of one name; a test may change it."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority.open(directory, "0123456789abcdef")
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(self.authority.pem)
        self.change()

    def change(self) -> None:
        self.pair = self.authority.issue(("shop.local",), 1.8e9)
        self._context = server_context(self.pair)

    def context(self, address: str) -> ssl.SSLContext:
        assert address == "127.0.0.1"
        return self._context

    def client(self, **changes: object) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        for name, value in changes.items():
            setattr(context, name, value)
        return context


class SecureTown(Town):
    """A town whose clients come with TLS; `plain()` is the other port."""

    def __init__(self, ingress: Ingress, shown: Shown, **how: object) -> None:
        super().__init__(ingress)
        self.shown = shown
        self.how = how

    async def __aenter__(self) -> SecureTown:
        tls = TlsDoor(certificates=self.shown, listen=[("127.0.0.1", 0)], **self.how)  # type: ignore[arg-type]
        await self.ingress.start([("127.0.0.1", 0)], tls=tls)
        return self

    @property
    def port(self) -> int:
        return self.ingress.secure[0][1]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.shown.client(), server_hostname="shop.local"
        )

    async def bare(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the TLS port without TLS."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def plain(self, request: bytes) -> bytes:
        """The answer on the port without TLS; the connection ends with it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ingress.addresses[0][1])
        writer.write(request)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read(-1)
        writer.close()
        return answer


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(tmp_path)


@pytest.fixture
async def secure(shown: Shown) -> AsyncIterator[SecureTown]:
    async with SecureTown(Ingress(), shown) as town:
        yield town


async def soon(what: Awaitable[bytes]) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await what


class Hand:
    """A TLS client whose every byte a test has in hand."""

    def __init__(self, town: SecureTown, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = town.shown.client().wrap_bio(self.incoming, self.outgoing, server_hostname="shop.local")
        self.broken = (-1, 0.0, 0)
        """Which flight has a flipped bit, where in it, and which bit."""

    async def step(self, action: object, *args: object, piece: int = 1 << 20) -> object:
        while True:
            try:
                done = action(*args)  # type: ignore[operator]
            except ssl.SSLWantReadError:
                await self.flush(piece)
                data = await soon(self.reader.read(65536))
                self.incoming.write(data) if data else self.incoming.write_eof()
            else:
                await self.flush(piece)
                return done

    async def flush(self, piece: int) -> None:
        data = bytearray(self.outgoing.read())
        flight, place, bit = self.broken
        if data:
            self.broken = (flight - 1, place, bit)
            if flight == 0:
                data[int(place * len(data))] ^= bit
        for start in range(0, len(data), piece):
            self.writer.write(data[start : start + piece])
            await self.writer.drain()
            await yielding()


# -- requests


async def test_requests_one_after_the_other_and_many_at_once(secure: SecureTown) -> None:
    server = await secure.answer(OK)
    reader, writer = await secure.connect()
    for _ in range(3):
        writer.write(GET)
        assert status((await read_answer(reader))[0]) == 200
    writer.write(GET * 50)
    for _ in range(50):
        assert (await read_answer(reader))[1] == b"ok"
    assert server.connections == 1
    assert field(server.heads[0], "X-Forwarded-Proto") == "https"
    assert field(server.heads[0], "X-Forwarded-For") == "127.0.0.1"
    writer.close()


async def test_what_is_spoken(secure: SecureTown) -> None:
    await secure.answer(OK)
    client = secure.shown.client()
    client.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await asyncio.open_connection("127.0.0.1", secure.port, ssl=client, server_hostname="shop.local")
    tls = writer.get_extra_info("ssl_object")
    assert (tls.selected_alpn_protocol(), tls.version(), tls.compression()) == ("http/1.1", "TLSv1.3", None)
    writer.close()


@pytest.mark.parametrize(
    ("version", "ciphers", "good"),
    [
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+CHACHA20", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AES:!AESGCM:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1, "ALL:@SECLEVEL=0", False),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_old_versions_and_ciphers(secure: SecureTown, version: ssl.TLSVersion, ciphers: str, good: bool) -> None:
    await secure.answer(OK)
    client = secure.shown.client(minimum_version=version, maximum_version=version)
    client.set_ciphers(ciphers)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", secure.port, ssl=client, server_hostname="shop.local")
    except (ssl.SSLError, ConnectionError):
        assert not good
        await until(lambda: secure.ingress.counters().refused == 1)
    else:
        assert good
        writer.close()


async def test_every_byte_a_packet_of_its_own(secure: SecureTown) -> None:
    await secure.answer(OK)
    hand = Hand(secure, *await secure.bare())
    await hand.step(hand.tls.do_handshake, piece=1)
    await hand.step(hand.tls.write, GET, piece=1)
    answer = await hand.step(hand.tls.read, 65536)
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 200")
    hand.writer.close()


async def test_a_request_right_behind_the_handshake(secure: SecureTown) -> None:
    await secure.answer(OK)
    hand = Hand(secure, *await secure.bare())
    try:
        hand.tls.do_handshake()
    except ssl.SSLWantReadError:
        await hand.flush(1 << 20)
    while True:
        hand.incoming.write(await hand.reader.read(65536))
        try:
            hand.tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            continue
    hand.tls.write(GET)  # in one packet with the client's last message
    answer = await hand.step(hand.tls.read, 65536)
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 200")
    hand.writer.close()


async def test_sessions_are_resumed(secure: SecureTown) -> None:
    await secure.answer(OK)
    client = secure.shown.client()

    def visit(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        import socket

        with (
            socket.create_connection(("127.0.0.1", secure.port)) as sock,
            client.wrap_socket(sock, server_hostname="shop.local", session=session) as tls,
        ):
            tls.sendall(GET)
            tls.recv(65536)
            return bool(tls.session_reused), tls.session

    reused, session = await asyncio.to_thread(visit, None)
    assert not reused
    reused, _ = await asyncio.to_thread(visit, session)
    assert reused


async def test_a_new_certificate_is_for_new_connections(secure: SecureTown) -> None:
    await secure.answer(OK)

    def seen(writer: asyncio.StreamWriter) -> str:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return f"sha256:{hashlib.sha256(der).hexdigest()}"

    reader, writer = await secure.connect()
    assert seen(writer) == secure.shown.pair.facts.fingerprint
    secure.shown.change()
    _, other = await secure.connect()
    assert seen(other) == secure.shown.pair.facts.fingerprint
    writer.write(GET)
    assert status((await read_answer(reader))[0]) == 200
    writer.close()
    other.close()


# -- bodies, tunnels, ends


async def test_fifty_megabytes_there_and_back(secure: SecureTown) -> None:
    received: list[str] = []
    sent: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        received.append(await receive(reader, "length"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        sent.append(await send(writer, "length"))
        await reader.read(-1)

    await secure.serve(handler)
    reader, writer = await secure.connect()
    tracemalloc.start()
    try:
        writer.write(b"PUT /x HTTP/1.1\r\nHost: shop.local\r\nContent-Length: %d\r\n\r\n" % SIZE)
        assert [await send(writer, "length")] != received
        assert status(await reader.readuntil(b"\r\n\r\n")) == 200
        assert [await receive(reader, "length")] == sent == received
        assert tracemalloc.get_traced_memory()[1] < 2 * FLAT, "the client's own TLS is counted too"
    finally:
        tracemalloc.stop()
    writer.close()


async def test_a_reader_that_stops_stops_the_instance(secure: SecureTown) -> None:
    progress = [0]

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        while progress[0] < SIZE:
            writer.write(bytes(1_000_000))
            await writer.drain()
            progress[0] += 1_000_000
        await reader.read(-1)

    await secure.serve(handler)
    hand = Hand(secure, *await secure.bare())
    await hand.step(hand.tls.do_handshake)
    await hand.step(hand.tls.write, GET)
    before = -1
    while progress[0] != before:
        before = progress[0]
        await asyncio.sleep(0.2)
    assert progress[0] < SIZE // 2
    got = 0
    while got < SIZE:
        data = await hand.step(hand.tls.read, 1 << 20)
        assert isinstance(data, bytes)
        assert data
        got += len(data)
    hand.writer.close()


async def test_a_websocket(secure: SecureTown) -> None:
    async with aiohttp_app(secure), aiohttp.ClientSession() as session:
        async with session.ws_connect(
            f"https://127.0.0.1:{secure.port}/ws", ssl=secure.shown.client(check_hostname=False)
        ) as websocket:
            for number in range(20):
                await websocket.send_str(f"hello {number}")
                assert await websocket.receive_str(timeout=PATIENCE) == f"hello {number} 127.0.0.1"
            blob = bytes(range(256)) * 4096
            await websocket.send_bytes(blob)
            assert await websocket.receive_bytes(timeout=PATIENCE) == blob
        await until(lambda: secure.ingress.counters().routes[0].in_flight == 0, "the end of the tunnel")


async def test_a_half_closed_tunnel(secure: SecureTown) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH + b"first")
        writer.write_eof()
        said = await reader.read(-1)
        heard.set_result(said)

    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    await secure.serve(handler)
    hand = Hand(secure, *await secure.bare())
    await hand.step(hand.tls.do_handshake)
    await hand.step(hand.tls.write, UPGRADE)
    said = b""
    while not said.endswith(b"first"):
        data = await hand.step(hand.tls.read, 65536)
        assert isinstance(data, bytes)
        said += data
    assert await hand.step(hand.tls.read, 65536) == b"", "close_notify has come"
    await hand.step(hand.tls.write, b"and still I speak")
    hand.tls.unwrap()
    await hand.flush(1 << 20)
    hand.writer.write_eof()
    assert await soon(heard) == b"and still I speak"
    hand.writer.close()


async def test_a_refusal_arrives_though_the_client_goes_on_sending(secure: SecureTown) -> None:
    await secure.answer(OK)
    hand = Hand(secure, *await secure.bare())
    await hand.step(hand.tls.do_handshake)
    await hand.step(hand.tls.write, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + bytes(500_000))
    said = b""
    while data := await hand.step(hand.tls.read, 65536):
        assert isinstance(data, bytes)
        said += data
    assert status(said) == 400
    hand.writer.close()


async def test_who_goes_away_leaves_nothing(secure: SecureTown) -> None:
    asked = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read(-1)

    server = await secure.serve(handler)
    for polite in (True, False):
        asked.clear()
        _, writer = await secure.connect()
        writer.write(GET)
        await asked.wait()
        writer.close() if polite else writer.transport.abort()
        await until(lambda: secure.ingress.counters().connections == 0 and server.open == 0)
    assert secure.ingress.counters().routes[0].in_flight == 0


async def test_idle_connections_are_let_go_at_the_end(shown: Shown) -> None:
    town = SecureTown(Ingress(), shown)
    async with town:
        await town.answer(OK)
        reader, writer = await town.connect()
        writer.write(GET)
        await read_answer(reader)
        _, waiting = await town.bare()
        await town.ingress.close(PATIENCE)
        assert await soon(reader.read(-1)) == b""
        writer.close()
        waiting.close()


async def test_who_is_in_the_middle_of_a_handshake_is_answered_before_the_end(shown: Shown) -> None:
    async with SecureTown(Ingress(), shown) as town:
        await town.answer(OK)
        hand = Hand(town, *await town.bare())
        with pytest.raises(ssl.SSLWantReadError):
            hand.tls.do_handshake()
        await hand.flush(1 << 20)
        hand.incoming.write(await soon(hand.reader.read(65536)))
        leaving = asyncio.create_task(town.ingress.leave(PATIENCE))
        await yielding()
        await hand.step(hand.tls.do_handshake)
        await hand.step(hand.tls.write, GET)
        answer = await hand.step(hand.tls.read, 65536)
        assert isinstance(answer, bytes)
        assert (status(answer), field(answer, "connection").lower()) == (200, "close")
        await leaving
        hand.writer.close()


# -- those who do not speak TLS, or never get to the end of it


async def test_plain_http_gets_a_page_that_says_what_to_do(secure: SecureTown) -> None:
    reader, writer = await secure.bare()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.local\r\nAccept: text/html\r\n\r\n")
    answer = await soon(reader.read(-1))
    assert status(answer) == 400
    assert field(answer, "X-Minipaas") == "request.plain"
    assert b"https://" in answer
    writer.close()


@pytest.mark.parametrize(
    "nonsense", [b"\x00" * 40, b"\x16\x03\x01\x00\x05hello", b"\x16" + bytes(70000), b"ssh-2.0\r\n"]
)
async def test_nonsense_ends_the_connection(secure: SecureTown, nonsense: bytes) -> None:
    reader, writer = await secure.bare()
    writer.write(nonsense)
    try:
        said = await soon(reader.read(-1))
    except ConnectionError:
        said = b""
    assert b"HTTP" not in said
    await until(lambda: secure.ingress.counters().refused == 1)
    writer.close()


async def test_flipped_bits_break_only_their_own_connection(shown: Shown) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    chance = random.Random(7)
    # A flipped length makes both sides wait for what never comes: short times end that.
    async with SecureTown(Ingress(small(handshake=0.1, keep_alive=0.1)), shown) as town:
        await town.answer(OK)
        for _ in range(80):
            hand = Hand(town, *await town.bare())
            hand.broken = (chance.randrange(3), chance.random(), 1 << chance.randrange(8))
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                await hand.step(hand.tls.do_handshake)
                await hand.step(hand.tls.write, GET)
                await hand.step(hand.tls.read, 65536)
            hand.writer.close()
        await until(lambda: town.ingress.counters().connections == 0)
        assert complaints == []
        async with asyncio.timeout(PATIENCE):
            while not await served(town):
                pass


async def served(town: SecureTown) -> bool:
    """Whether a good client gets an answer."""
    try:
        reader, writer = await town.connect()
        writer.write(GET)
        head, _ = await read_answer(reader)
    except (OSError, EOFError):
        return False
    writer.close()
    return status(head) == 200


@pytest.mark.parametrize("first", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_that_does_not_come_is_cut(shown: Shown, first: bytes) -> None:
    async with SecureTown(Ingress(small(handshake=0.1)), shown) as town:
        reader, writer = await town.bare()
        writer.write(first)
        with contextlib.suppress(ConnectionError):
            assert await soon(reader.read(-1)) == b""
        writer.close()


async def test_slow_handshakes_do_not_keep_others_out(shown: Shown) -> None:
    async with SecureTown(Ingress(Limits(handshakes=3)), shown) as town:
        await town.answer(OK)
        slow = [await town.bare() for _ in range(6)]
        for _, writer in slow:
            writer.write(b"\x16\x03\x01")
        reader, writer = await town.connect()
        writer.write(GET)
        assert status((await read_answer(reader))[0]) == 200
        for _, other in slow:
            other.close()
        writer.close()


# -- redirects


def ask(host: str, target: str = "/", method: str = "GET", more: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode()


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        (ask("shop.local"), "https://shop.local:{port}/"),
        (ask("SHOP.local:8080", "/a/b?c=d&e=%2F"), "https://shop.local:{port}/a/b?c=d&e=%2F"),
        (ask("shop.local", "http://shop.local/x?y"), "https://shop.local:{port}/x?y"),
        (ask("shop.local", "/form", "POST", "Content-Length: 3\r\n") + b"abc", "https://shop.local:{port}/form"),
        (ask("shop.local", "/.well-known/acme-challenge/token"), None),
        (ask("sensors.local", "/x"), None),
        (ask("nobody.local"), None),
    ],
)
async def test_who_comes_without_tls(shown: Shown, request_: bytes, where: str | None) -> None:
    async with SecureTown(Ingress(), shown, plain=frozenset({"sensors.local"})) as town:
        server = await town.answer(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), route="shop.local")
        town.ingress.set_app(
            "sensors",
            tuple(
                type(one)(Route("sensors.local", "/"), "sensors", "web", one.backends) for one in town.ingress.routes()
            ),
        )
        answer = await town.plain(request_)
        if where is None:
            assert status(answer) == (404 if b"nobody" in request_ else 200)
        else:
            assert status(answer) == 308
            assert field(answer, "Location") == where.format(port=town.port)
            assert field(answer, "Strict-Transport-Security") is None
            assert server.heads == []


async def test_a_proof_for_a_certificate_is_shown_without_tls_whoever_has_the_host(shown: Shown) -> None:
    async with SecureTown(Ingress(), shown) as town:
        server = await town.answer(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), route="shop.local")
        path = b"/.well-known/acme-challenge/token"
        town.ingress.challenge(path, b"token.thumbprint")
        for host in ("shop.local", "nobody.local"):
            for said in (await town.plain(ask(host, path.decode())), await town.say(ask(host, path.decode()))):
                assert status(said) == 200
                assert said.endswith(b"\r\n\r\ntoken.thumbprint")
        head = await town.plain(ask("shop.local", path.decode(), "HEAD"))
        assert (status(head), field(head, "Content-Length")) == (200, "16")
        assert head.endswith(b"\r\n\r\n")
        assert server.heads == []
        other = path.decode() + "s"
        assert status(await town.plain(ask("nobody.local", other))) == 404
        assert status(await town.plain(ask("shop.local", other))) == 200, "the app's own proofs go on"


async def test_on_one_connection_a_proof_comes_and_goes(shown: Shown) -> None:
    async with SecureTown(Ingress(), shown) as town:
        path = b"/.well-known/acme-challenge/token"
        request = b"GET %b HTTP/1.1\r\nHost: a.example.com\r\n\r\n" % path
        reader, writer = await asyncio.open_connection(*town.ingress.addresses[0])
        seen = []
        for answer in (None, b"one", b"two", None):
            town.ingress.challenge(path, answer)
            writer.write(request + request)
            for _ in range(2):
                head, body = await read_answer(reader)
                seen.append(body if status(head) == 200 else status(head))
        writer.close()
        assert seen == [404, 404, b"one", b"one", b"two", b"two", 404, 404]


@pytest.mark.parametrize("trusted", ["127.0.0.0/8", "10.0.0.0/8"])
async def test_who_comes_with_tls_to_a_trusted_proxy_is_not_sent_to_tls(shown: Shown, trusted: str) -> None:
    async with SecureTown(Ingress(), shown) as town:
        tls = TlsDoor(certificates=shown, listen=[("127.0.0.1", 0)], hsts=60)
        await town.ingress.start([("127.0.0.1", 0)], tls=tls, proxies=Proxies([ip_network(trusted)]))
        server = await town.answer(OK, route="shop.local")
        told = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
        answer = await town.plain(ask("shop.local", more=told))
        if trusted.startswith("10."):
            assert status(answer) == 308 and not server.heads
        else:
            assert status(answer) == 200
            assert field(answer, "Strict-Transport-Security") == "max-age=60"
            assert field(server.heads[0], "X-Forwarded-For") == "192.0.2.7, 127.0.0.1"
            assert field(server.heads[0], "X-Forwarded-Proto") == "https"


async def test_routes_that_were_there_before_the_listener_are_moved_too(shown: Shown) -> None:
    ingress = Ingress()
    town = SecureTown(ingress, shown)
    await town.answer(OK, route="shop.local")
    async with town:
        assert status(await town.plain(ask("shop.local"))) == 308


async def test_on_a_socket_that_listens_already(shown: Shown) -> None:
    (sock,) = bind([("127.0.0.1", 0)], 5)
    port = sock.getsockname()[1]
    ingress = Ingress()
    town = SecureTown(ingress, shown)
    await town.answer(OK)
    await ingress.start((), tls=TlsDoor(certificates=shown, ready=[sock]))
    try:
        assert ingress.secure == (("127.0.0.1", port),)
        proof = await ingress.prove_route(Route("*", "/"), "/", PATIENCE)
        assert (proof.ok, proof.status) == (True, 200), "also without a listener for plain HTTP"
    finally:
        await town.__aexit__(None, None, None)


async def test_without_redirect_both_answer(shown: Shown) -> None:
    async with SecureTown(Ingress(), shown, redirect=False) as town:
        server = await town.answer(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert status(await town.plain(ask("shop.local"))) == 200
        assert status(await town.say(ask("shop.local"))) == 200
        assert [field(head, "X-Forwarded-Proto") for head in server.heads] == ["http", "https"]


@pytest.mark.parametrize("own", [b"", b"strict-transport-security: max-age=7\r\n"])
async def test_hsts_only_when_it_is_asked_for_and_only_over_tls(shown: Shown, own: bytes) -> None:
    async with SecureTown(Ingress(), shown, hsts=86400, redirect=False) as town:
        await town.answer(OK.replace(b"\r\n\r\n", b"\r\n" + own + b"Connection: close\r\n\r\n"))
        said = field(await town.say(ask("shop.local")), "Strict-Transport-Security")
        assert said == ("max-age=7" if own else "max-age=86400")
        assert field(await town.plain(ask("shop.local")), "Strict-Transport-Security") == ("max-age=7" if own else None)
        assert field(await town.say(ask("shop.local", method="HEAD")), "Strict-Transport-Security") == said


async def test_a_route_is_proven_where_clients_go(secure: SecureTown) -> None:
    server = await secure.answer(OK, route="shop.local/api")
    proof = await secure.ingress.prove_route(Route("shop.local", "/api"), "/api/healthz", PATIENCE)
    assert (proof.ok, proof.status) == (True, 200)
    assert field(server.heads[0], "X-Forwarded-Proto") == "https"
    await server.stop()
    proof = await secure.ingress.prove_route(Route("shop.local", "/api"), "/api/healthz", PATIENCE)
    assert (proof.ok, proof.status) == (False, 502)
