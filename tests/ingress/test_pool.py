from __future__ import annotations

import asyncio

from minipaas.ingress import Ingress
from minipaas.ingress.core import Core
from minipaas.ingress.limits import Limits
from minipaas.ingress.pool import Pool
from minipaas.model.route import Backend

from .peers import GET, OK, PATIENCE, Server, Town, read_answer, requests, small, status, until

LIMITS = Limits(aside=1.0, aside_most=5.0, connect=3.0)


def pool() -> Pool:
    return Pool(Core(LIMITS), Backend("a", "127.0.0.1", 1))


def test_the_time_aside_doubles_up_to_its_limit() -> None:
    one, now, times = pool(), 100.0, []
    for _ in range(5):
        one.set_aside(now)
        times.append(one.aside - now)
        now = one.aside
    assert times == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_what_fails_together_counts_once() -> None:
    one = pool()
    for _ in range(32):
        one.set_aside(100.0)
    assert (one.failures, one.aside) == (1, 101.0)


def test_a_trial_that_fails_counts_at_once() -> None:
    one = pool()
    one.set_aside(100.0)
    one.chosen(101.0)
    one.set_aside(101.5)
    assert (one.failures, one.aside) == (2, 103.5)


def test_an_answer_brings_it_back_whole() -> None:
    one = pool()
    one.set_aside(100.0)
    one.recovered()
    one.set_aside(100.1)
    assert (one.failures, one.aside) == (1, 101.1)


async def test_one_that_resets_before_an_answer_is_asked_last() -> None:
    """Least outstanding requests alone would send every second request into the broken one."""
    async with Town(Ingress(small(aside=60.0))) as town:
        good = await town.answer(OK, route=None)

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")

        broken = await town.serve(hang_up, route=None)
        town.route("*", broken, good)
        reader, writer = await town.connect()
        for _ in range(10):
            writer.write(GET)
            head, _ = await read_answer(reader)
            assert status(head) == 200
        assert broken.connections == 1
        assert [one.set_aside for one in town.ingress.counters().routes] == [1]
        writer.close()


async def test_one_that_is_back_takes_its_share_again() -> None:
    async with Town(Ingress(small(aside=0.05))) as town:
        good = await town.answer(OK, route=None)
        late = await town.answer(OK, route=None)
        await late.stop()
        town.route("*", late, good)
        reader, writer = await town.connect()

        async def ask() -> None:
            writer.write(GET)
            head, _ = await read_answer(reader)
            assert status(head) == 200

        await ask()
        await ask()
        assert late.heads == []
        await Server.start(late)
        async with asyncio.timeout(PATIENCE):
            while len(late.heads) < 3:
                await ask()
                await asyncio.sleep(0.01)
        assert [one.set_aside for one in town.ingress.counters().routes] == [0]
        writer.close()


async def test_connections_that_many_at_once_needed_stay_for_the_next_and_then_go() -> None:
    async with Town(Ingress(small(idle_upstream=1, upstream_spare=2.0))) as town:
        together = asyncio.Barrier(3)

        async def at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async for _ in requests(reader):
                await together.wait()
                writer.write(OK)

        server = await town.serve(at_once)
        clients = [await town.connect() for _ in range(3)]
        for _ in range(5):
            for _, writer in clients:
                writer.write(GET)
            for reader, _ in clients:
                head, _ = await read_answer(reader)
                assert status(head) == 200
        assert server.connections == 3
        await until(lambda: server.open == 1, "that the spare ones were closed")
        for _, writer in clients:
            writer.close()
