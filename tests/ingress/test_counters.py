"""What the data path counts: every answer once, by its exact status and by its time."""

from __future__ import annotations

import asyncio
import time

import pytest

from minipaas.ingress.counters import Tally, picture
from minipaas.model.route import Route
from minipaas.model.traffic import BOUNDS, RouteCounters
from tests.ingress.peers import CLOSE, GET, OK, Server, Town, read_answer, requests, status, until


def frozen(tally: Tally) -> RouteCounters:
    return picture(Route("shop.local", "/"), "shop", "web", tally)


@pytest.mark.parametrize("number", range(len(BOUNDS) + 1))
def test_each_time_is_counted_below_its_bound(number: int) -> None:
    lower = BOUNDS[number - 1] if number else 0.0
    upper = BOUNDS[number] if number < len(BOUNDS) else 1e9
    tally = Tally()
    for seconds in (lower, (lower + upper) / 2, upper * 0.999):
        tally.answered(200, seconds)
    buckets = frozen(tally).buckets
    assert len(buckets) == len(BOUNDS) + 1
    assert buckets[number] == sum(buckets) == 3


def test_statuses_and_their_classes() -> None:
    tally = Tally()
    for code in (101, 200, 204, 304, 404, 502, 503, 999):
        tally.answered(code, 0.5)
    counted = frozen(tally)
    assert counted.codes == tuple((code, 1) for code in (101, 200, 204, 304, 404, 502, 503, 999))
    assert counted.answers == (1, 2, 1, 1, 3)
    assert counted.seconds == 4.0


async def test_the_time_runs_from_the_whole_head_to_the_head_of_the_answer(town: Town) -> None:
    """A client that is slow to ask, and a body that is slow to end, are not the app's slowness."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for _ in requests(reader):
            await asyncio.sleep(0.15)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
            await asyncio.sleep(0.6)
            writer.write(b"k")

    await town.serve(handler)
    reader, writer = await town.connect()
    writer.write(GET[:10])
    await asyncio.sleep(0.6)
    asked = time.monotonic()
    writer.write(GET[10:])
    await reader.readuntil(b"\r\n\r\n")
    answered = time.monotonic()
    await reader.readexactly(2)
    writer.close()
    (route,) = town.ingress.counters().routes
    assert 0.15 <= route.seconds <= answered - asked
    assert (route.codes, sum(route.buckets)) == (((200, 1),), 1)


async def test_every_request_of_a_connection_has_a_time_of_its_own(town: Town) -> None:
    await town.answer(OK)
    reader, writer = await town.connect()
    seen = 0.0
    for _ in range(3):
        asked = time.monotonic()
        writer.write(GET)
        assert status((await read_answer(reader))[0]) == 200
        seen += time.monotonic() - asked
        await asyncio.sleep(0.1)
    writer.close()
    (route,) = town.ingress.counters().routes
    assert route.codes == ((200, 3),)
    assert route.seconds <= seen, "idle time between two requests is nobody's"


async def test_pages_of_the_proxy_count_too(town: Town) -> None:
    server: Server = await town.answer(OK)
    await server.stop()
    assert status(await town.say(CLOSE)) == 502
    await until(lambda: town.ingress.counters().routes[0].in_flight == 0)
    (route,) = town.ingress.counters().routes
    assert (route.codes, sum(route.buckets)) == (((502, 1),), 1)
