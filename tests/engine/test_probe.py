"""Probes against real sockets, and the prober that holds them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from minipaas.engine.probe import Prober, ProbeResult, probe_http, probe_tcp
from minipaas.model.observed import HealthState, Instance, InstanceState
from minipaas.model.route import Backend
from minipaas.model.spec import Health
from minipaas.model.units import Duration
from tests.engine.conftest import News, until
from tests.fakepodman.behaviour import hold_port

Serve = Callable[[bytes | None], Awaitable[int]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Servers that answer every connection with these bytes and close; with None they never say anything."""
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(answer: bytes | None) -> int:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            if answer is None:
                await reader.read()
                return
            if answer:
                await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for writer in writers:
        writer.transport.abort()
    for server in servers:
        server.close()


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\n\r\nhello", True, "GET /healthz: 200"),
    (b"HTTP/1.0 204 No Content\r\n\r\n", True, "GET /healthz: 204"),
    (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", True, "GET /healthz: 302"),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", False, "GET /healthz: 404"),
    (b"HTTP/1.1 503\r\n\r\n", False, "GET /healthz: 503"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", False, "GET /healthz: not an HTTP answer"),
    (b"HTTP/1.1 fine\r\n\r\n", False, "GET /healthz: not an HTTP answer"),
    (b"x" * 200_000, False, "GET /healthz: not an HTTP answer"),
    (b"", False, "GET /healthz: connection closed without an answer"),
    (None, False, "GET /healthz: no answer within 0.3 s"),
]


@pytest.mark.parametrize(("answer", "ok", "detail"), ANSWERS, ids=[str(case[2]) + str(case[1]) for case in ANSWERS])
async def test_http(serve: Serve, answer: bytes | None, ok: bool, detail: str) -> None:
    port = await serve(answer)
    result = await probe_http("127.0.0.1", port, "web", "/healthz", 0.3 if answer is None else 10)
    if answer == b"" and "reset" in result.detail:
        detail = "GET /healthz: connection reset"  # closing with unread bytes resets
    assert result == ProbeResult(ok, detail)


async def test_http_asks_as_a_client_would() -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        await probe_http("127.0.0.1", server.sockets[0].getsockname()[1], "web", "/a?b=1", 10)
    request = (await heard).decode().split("\r\n")
    assert request[0] == "GET /a?b=1 HTTP/1.1"
    assert "Host: web" in request


async def test_tcp(serve: Serve) -> None:
    silent, closing = await serve(None), await serve(b"")
    assert (await probe_tcp("127.0.0.1", silent, 10)).ok
    assert not (await probe_tcp("127.0.0.1", closing, 10)).ok  # a forwarder with nobody behind it

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        assert (await probe_tcp("127.0.0.1", server.sockets[0].getsockname()[1], 10)).ok


async def test_nobody_listens() -> None:
    held = hold_port("127.0.0.1", 0)
    port = held.getsockname()[1]
    assert await probe_tcp("127.0.0.1", port, 10) == ProbeResult(False, "TCP: connection refused")
    assert await probe_http("127.0.0.1", port, "web", "/", 10) == ProbeResult(False, "GET /: connection refused")
    held.close()


def make_instance(number: int, port: int, started: float = 1.0) -> Instance:
    container = f"{number:064x}"
    return Instance(
        id=container,
        name=f"minipaas-shop-web-{number}-1",
        app="shop",
        service="web",
        release="r",
        fingerprint="f",
        slot=number,
        generation=1,
        attempt=0,
        state=InstanceState.RUNNING,
        started=started,
        backend=Backend(instance=container, host="127.0.0.1", port=port),
    )


class Commands:
    """Stands in for containers in which commands run."""

    def __init__(self) -> None:
        self.result = ProbeResult(True, "ok")
        self.count = 0

    async def __call__(self, container: str, command: tuple[str, ...], timeout: float) -> ProbeResult:  # noqa: ASYNC109
        self.count += 1
        return self.result


@pytest.fixture
async def commands() -> Commands:
    return Commands()


@pytest.fixture
async def prober(news: News, commands: Commands) -> AsyncIterator[Prober]:
    made = Prober(news, commands)
    yield made
    await made.close()


CHECK = Health(command=("true",), interval=Duration(0.1), grace=Duration(0), retries=2)


def state(prober: Prober, instance: Instance) -> HealthState:
    return prober.health(instance.id)[0]


async def becomes(prober: Prober, instance: Instance, wanted: HealthState) -> None:
    async def check() -> bool:
        return state(prober, instance) is wanted

    await until(check)


async def test_news_only_when_the_state_changes(prober: Prober, news: News, commands: Commands) -> None:
    one = make_instance(1, 1)
    prober.see({one.id: one})
    assert state(prober, one) is HealthState.UNKNOWN
    prober.watch({one.id: CHECK})
    assert state(prober, one) is HealthState.STARTING
    await becomes(prober, one, HealthState.HEALTHY)
    seen = commands.count

    async def some_more() -> bool:
        return commands.count > seen + 3

    await until(some_more)
    assert news.count == 1
    commands.result = ProbeResult(False, "bad")
    await becomes(prober, one, HealthState.UNHEALTHY)
    assert prober.health(one.id)[1] == "bad"
    commands.result = ProbeResult(True, "good")
    await becomes(prober, one, HealthState.HEALTHY)
    assert news.count == 3


async def test_a_restart_begins_anew(prober: Prober) -> None:
    one = make_instance(1, 1)
    prober.see({one.id: one})
    prober.watch({one.id: CHECK})
    await becomes(prober, one, HealthState.HEALTHY)
    prober.see({one.id: make_instance(1, 1, started=2.0)})
    assert state(prober, one) is HealthState.STARTING
    await becomes(prober, one, HealthState.HEALTHY)
    prober.forget(one.id)
    assert state(prober, one) is HealthState.UNKNOWN


async def test_watching_the_same_again_keeps_what_is_known(prober: Prober) -> None:
    one = make_instance(1, 1)
    prober.see({one.id: one})
    prober.watch({one.id: CHECK})
    await becomes(prober, one, HealthState.HEALTHY)
    for _ in range(3):
        prober.see({one.id: one})
        prober.watch({one.id: CHECK})
        assert state(prober, one) is HealthState.HEALTHY


async def test_who_is_gone_or_unwanted_is_probed_no_more(prober: Prober, commands: Commands) -> None:
    one, two = make_instance(1, 1), make_instance(2, 2)
    prober.see({one.id: one, two.id: two})
    prober.watch({one.id: CHECK, two.id: CHECK})
    await becomes(prober, one, HealthState.HEALTHY)
    await becomes(prober, two, HealthState.HEALTHY)
    prober.see({one.id: one})
    assert state(prober, two) is HealthState.UNKNOWN
    prober.watch({})
    assert state(prober, one) is HealthState.UNKNOWN
    assert [
        task for task in asyncio.all_tasks() if task.get_name().startswith("probe ") and not task.cancelling()
    ] == []


async def test_without_a_check_running_for_a_while_is_healthy(prober: Prober, news: News) -> None:
    one = make_instance(1, 1)
    prober.watch({one.id: None})
    prober.see({one.id: one})
    assert state(prober, one) is HealthState.STARTING
    await becomes(prober, one, HealthState.HEALTHY)
    assert news.count == 1


async def test_a_long_interval_does_not_slow_the_start(prober: Prober, serve: Serve) -> None:
    port = await serve(b"HTTP/1.1 200 OK\r\n\r\n")
    one = make_instance(1, port)
    prober.see({one.id: one})
    prober.watch({one.id: Health(http="/", interval=Duration(3600))})
    await becomes(prober, one, HealthState.HEALTHY)
