"""The keeper: which certificate speaks for a name, whatever files, disk and clock do."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from pathlib import Path

import pytest

from minipaas.certs.keeper import Keeper
from minipaas.certs.limits import DAY, Limits
from minipaas.model.certificate import Certificate, Source
from minipaas.model.release import TrustedTime
from tests.certs.made import OtherCa, at

NOW = at(2026, 11, 24)
EAGER = Limits(damp=0)


class Clock:
    """A box's clock that a test sets."""

    def __init__(self, clock: float = NOW, floor: float = 0.0) -> None:
        self.clock, self.floor = clock, floor

    async def __call__(self) -> TrustedTime:
        return TrustedTime(clock=self.clock, floor=self.floor, synced=False)


async def opened(tmp_path: Path, clock: Clock, *own: Path, routes: tuple[str, ...] = ("shop.local",)) -> Keeper:
    keeper = await Keeper.open(tmp_path / "tls", "0123456789abcdef", [(one, one) for one in own], clock, EAGER)
    keeper.routed = lambda: routes
    await keeper.look()
    return keeper


async def shown(keeper: Keeper, name: str | None) -> str:
    """The fingerprint that a client sees that asks for a name."""
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=keeper.context("127.0.0.1")
    )
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=blind, server_hostname=name or "")
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def named(keeper: Keeper, *names: str) -> Certificate:
    return next(one for one in keeper.certificates() if one.names == names)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("shop.local", ("shop.local",)),
        ("SHOP.local", ("shop.local",)),
        ("a.dev.lan", ("*.dev.lan",)),
        ("a.b.dev.lan", ("a.b.dev.lan",)),
        ("never.heard.of", ("never.heard.of",)),
        (None, ("127.0.0.1",)),
    ],
)
async def test_who_asks_for_a_name_gets_a_certificate_for_it(
    tmp_path: Path, asked: str | None, names: tuple[str, ...]
) -> None:
    keeper = await opened(tmp_path, Clock(), routes=("shop.local", "*.dev.lan", "*"))
    assert await shown(keeper, asked) == named(keeper, *names).fingerprint


async def test_the_operators_certificate_comes_first_and_the_narrowest_name(tmp_path: Path) -> None:
    ca = OtherCa()
    wild = ca.file(tmp_path / "wild.pem", "*.example.com", now=NOW)
    exact = ca.file(tmp_path / "exact.pem", "shop.example.com", now=NOW)
    keeper = await opened(tmp_path, Clock(), wild, exact, routes=("shop.example.com", "x.example.com"))
    assert keeper.pair("shop.example.com").facts.file == str(exact)
    assert keeper.pair("x.example.com").facts.file == str(wild)
    assert [one.source for one in keeper.certificates()] == [Source.FILE, Source.FILE]
    assert keeper.pair("a.b.example.com").facts.source is Source.INTERNAL
    assert await shown(keeper, "x.example.com") == named(keeper, "*.example.com").fingerprint


async def test_of_two_for_one_name_the_one_that_is_good(tmp_path: Path) -> None:
    ca = OtherCa()
    early = ca.file(tmp_path / "early.pem", "a.b", now=NOW + 900 * DAY)
    good = ca.file(tmp_path / "good.pem", "a.b", now=NOW)
    keeper = await opened(tmp_path, Clock(), early, good)
    assert keeper.pair("a.b").facts.file == str(good)


async def test_a_new_file_serves_new_connections_and_a_broken_one_takes_nothing_away(tmp_path: Path) -> None:
    ca = OtherCa()
    path = ca.file(tmp_path / "shop.pem", "shop.local", now=NOW)
    keeper = await opened(tmp_path, Clock(), path)
    first = await shown(keeper, "shop.local")

    ca.file(path, "shop.local", now=NOW)
    await keeper.look()
    second = await shown(keeper, "shop.local")
    assert second != first
    assert keeper.troubles() == ()

    path.write_text("nonsense")
    await keeper.look()
    assert await shown(keeper, "shop.local") == second
    (trouble,) = keeper.troubles()
    assert str(path) in trouble
    assert trouble == keeper.trouble_of(named(keeper, "shop.local"))

    path.unlink()
    await keeper.look()
    assert await shown(keeper, "shop.local") == second

    ca.file(path, "shop.local", now=NOW)
    await keeper.look()
    assert await shown(keeper, "shop.local") not in (first, second)
    assert keeper.troubles() == ()


async def test_a_file_that_cannot_be_read_at_the_start_leaves_the_name_to_the_ca(tmp_path: Path) -> None:
    keeper = await opened(tmp_path, Clock(), tmp_path / "nowhere.pem")
    assert keeper.pair("shop.local").facts.source is Source.INTERNAL
    (trouble,) = keeper.troubles()
    assert trouble.startswith(f"cannot read {tmp_path}/nowhere.pem")


@pytest.mark.parametrize(
    ("later", "trouble"),
    [(0, ""), (70, "it ends in 20 days"), (89.5, "it ends in less than a day"), (100, "it ended 10 days ago")],
)
async def test_the_end_of_the_operators_certificate_is_told_in_time(tmp_path: Path, later: float, trouble: str) -> None:
    path = OtherCa().file(tmp_path / "shop.pem", "shop.local", now=NOW, days=90)
    clock = Clock()
    keeper = await opened(tmp_path, clock, path)
    clock.clock = NOW + later * DAY
    await keeper.look()
    assert keeper.trouble_of(named(keeper, "shop.local")) == trouble
    assert keeper.troubles() == ((f"certificate {path}: {trouble}",) if trouble else ())
    assert keeper.pair("shop.local").facts.file == str(path)


@pytest.mark.parametrize(
    ("made", "then", "floor", "kept"),
    [
        ((2026, 11, 24), (2027, 6, 1), (2026, 11, 1), True),
        ((2026, 11, 24), (2027, 11, 24), (2026, 11, 1), False),  # long before its end
        ((2026, 11, 24), (2018, 1, 1), (2026, 11, 1), True),  # woke up in the past: the floor holds
        ((2026, 11, 24), (1970, 1, 1), (2026, 11, 1), True),
        ((1970, 1, 1), (2026, 12, 1), (2026, 11, 1), True),  # made by a clock that stood still
        ((2040, 1, 1), (2026, 11, 24), (2026, 11, 1), False),  # made by one that ran ahead
        ((2026, 11, 24), (2040, 1, 1), (2026, 11, 1), False),
        ((2026, 11, 24), (2099, 1, 1), (2026, 11, 1), False),  # past the root itself
    ],
)
async def test_clocks(
    tmp_path: Path, made: tuple[int, int, int], then: tuple[int, int, int], floor: tuple[int, int, int], kept: bool
) -> None:
    clock = Clock(at(*made), at(*floor))
    keeper = await opened(tmp_path, clock)
    before = named(keeper, "shop.local")
    clock.clock = at(*then)
    await keeper.look()
    after = named(keeper, "shop.local")
    assert (after == before) is kept
    trusted = min(max(at(*then), at(*floor)), at(2069, 12, 31))
    assert after.not_before <= trusted <= after.not_after
    assert after.not_after - after.not_before < 825 * DAY
    # the same after a start with that clock
    again = await opened(tmp_path, clock)
    assert named(again, "shop.local") == after
    assert again.authority.pem == keeper.authority.pem


async def test_what_was_made_is_there_after_a_start_and_is_nobody_elses_business(tmp_path: Path) -> None:
    keeper = await opened(tmp_path, Clock(), routes=("shop.local", "*.dev.lan"))
    await shown(keeper, "stranger.example")
    await keeper.look()
    again = await opened(tmp_path, Clock(), routes=("shop.local", "*.dev.lan"))
    assert {one.names for one in again.certificates()} == {("*.dev.lan",), ("127.0.0.1",), ("shop.local",)}
    assert named(again, "shop.local") == named(keeper, "shop.local")
    for path in [tmp_path / "tls", *(tmp_path / "tls").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


async def test_a_new_name_is_on_the_disk_soon(tmp_path: Path) -> None:
    routes = ["shop.local"]
    keeper = await Keeper.open(tmp_path / "tls", "0123456789abcdef", [], Clock(), Limits(soon=0, look=3600))
    keeper.routed = lambda: routes
    task = asyncio.create_task(keeper.run(), name="keeper")
    routes.append("late.local")
    made = keeper.pair("late.local").facts
    async with asyncio.timeout(60):
        while len(list((tmp_path / "tls").glob("issued/*"))) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    task.cancel()
    assert named(await opened(tmp_path, Clock(), routes=("late.local",)), "late.local") == made


async def test_keys_of_session_tickets_do_not_last(tmp_path: Path) -> None:
    keeper = await Keeper.open(tmp_path / "tls", "0123456789abcdef", [], Clock(), Limits(tickets=0))
    keeper.routed = lambda: ("shop.local",)
    blind = ssl.create_default_context()
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE

    async def visit(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession]:
        listening = socket.create_server(("127.0.0.1", 0))
        door = keeper.context("127.0.0.1")

        def serve() -> None:
            with door.wrap_socket(listening.accept()[0], server_side=True) as one:
                one.sendall(one.recv(10))

        def ask() -> tuple[bool, ssl.SSLSession]:
            with (
                socket.create_connection(listening.getsockname()) as plain,
                blind.wrap_socket(plain, server_hostname="shop.local", session=session) as one,
            ):
                one.sendall(b"x")
                one.recv(10)
                assert one.session is not None
                return bool(one.session_reused), one.session

        with listening:
            _, answer = await asyncio.gather(asyncio.to_thread(serve), asyncio.to_thread(ask))
        return answer

    _, session = await visit(None)
    assert (await visit(session))[0]
    before = keeper.pair("shop.local")
    await keeper.look()
    assert not (await visit(session))[0]
    assert keeper.pair("shop.local") == before, "the certificate stays"


async def test_names_without_end_cost_no_more_than_a_limit(tmp_path: Path) -> None:
    limits = Limits(issued=8)
    keeper = await Keeper.open(tmp_path / "tls", "0123456789abcdef", [], Clock(), limits)
    keeper.routed = lambda: ("shop.local",)
    await keeper.look()
    kept = named(keeper, "shop.local")
    for number in range(50):
        keeper.pair(f"name{number}.example")
    assert len(keeper.certificates()) == 8
    assert named(keeper, "shop.local") == kept
    await keeper.look()
    assert len(list((tmp_path / "tls/issued").iterdir())) == 1


async def test_a_flood_of_names_gets_what_there_is(tmp_path: Path) -> None:
    keeper = await Keeper.open(
        tmp_path / "tls", "0123456789abcdef", [], Clock(), Limits(strangers=2, stranger_every=3600)
    )
    keeper.routed = lambda: ("shop.local",)
    own = [await shown(keeper, f"name{number}.example") for number in range(4)]
    address = named(keeper, "127.0.0.1").fingerprint
    assert own[0] != own[1]
    assert address not in own[:2]
    assert own[2:] == [address, address]
    assert await shown(keeper, "shop.local") == named(keeper, "shop.local").fingerprint
    assert await shown(keeper, "name0.example") == own[0]


async def test_a_damaged_ca_is_set_aside_and_told(tmp_path: Path) -> None:
    keeper = await opened(tmp_path, Clock())
    path = tmp_path / "tls/authority.pem"
    path.write_bytes(path.read_bytes()[:300])
    again = await opened(tmp_path, Clock())
    assert again.authority.pem != keeper.authority.pem
    assert again.troubles() == (
        f"cannot use the CA in {path}: not a key and a certificate; clients have to trust the new one",
    )
    assert named(again, "shop.local").issuer == again.authority.facts.subject
    assert path.with_suffix(".damaged").exists()
    assert (await opened(tmp_path, Clock())).troubles() == ()


async def test_a_ca_that_cannot_be_read_just_now_is_not_replaced(tmp_path: Path) -> None:
    keeper = await opened(tmp_path, Clock())
    path, aside = tmp_path / "tls/authority.pem", tmp_path / "aside"
    path.rename(aside)
    path.mkdir()  # what root cannot read either
    other = await opened(tmp_path, Clock())
    assert other.troubles()[0].startswith(f"cannot read the CA in {path}: ")
    assert other.pair("shop.local").facts.issuer == other.authority.facts.subject
    await other.look()
    path.rmdir()
    aside.rename(path)
    again = await opened(tmp_path, Clock())
    assert (again.authority.pem, again.troubles()) == (keeper.authority.pem, ())


async def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path) -> None:
    keeper = await opened(tmp_path, Clock(), routes=())
    (tmp_path / "tls/issued").write_text("in the way")
    keeper.routed = lambda: ("shop.local",)
    await keeper.look()
    assert await shown(keeper, "shop.local") == named(keeper, "shop.local").fingerprint
    (tmp_path / "tls/issued").unlink()
    await keeper.look()
    assert len(list((tmp_path / "tls/issued").iterdir())) >= 1


async def test_a_listener_follows_its_names_and_files(tmp_path: Path) -> None:
    keeper = await opened(tmp_path, Clock(), routes=())
    names = ["192.168.1.10", "box.lan"]
    context = keeper.listener(lambda: names)
    assert named(keeper, "box.lan", "192.168.1.10").fingerprint in keeper.of_listeners()
    names.append("192.168.1.11")
    await keeper.look()
    named(keeper, "box.lan", "192.168.1.10", "192.168.1.11")
    assert isinstance(context, ssl.SSLContext)

    ca = OtherCa()
    path = ca.file(tmp_path / "api.pem", "box.example.com", now=NOW)
    keeper.listener(lambda: names, (path, path))
    assert named(keeper, "box.example.com").fingerprint in keeper.of_listeners()
    ca.file(path, "other.example.com", now=NOW)
    await keeper.look(force=True)
    assert named(keeper, "other.example.com").fingerprint in keeper.of_listeners()
    assert keeper.pair("other.example.com").facts.source is Source.INTERNAL, "the API's file is the API's"
