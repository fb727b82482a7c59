"""Limits of a service, its queue and its pauses, as clients meet them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from minipaas.ingress import Ingress
from minipaas.ingress.limits import Limits

from .peers import CLOSE, GET, OK, Server, Town, field, read_answer, requests, small, status, until

POST = b"POST / HTTP/1.1\r\nHost: shop.local\r\n"


class Gate(Server):
    """An instance that answers when it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(name, self._answer)
        self.open_gate = asyncio.Event()
        self.at_once = 0
        self.most = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head, _ in requests(reader):
            self.heads.append(head)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            await self.open_gate.wait()
            self.at_once -= 1
            writer.write(OK)


async def gates(town: Town, count: int = 1) -> list[Gate]:
    found = []
    for number in range(count):
        one = Gate(f"gate{number}")
        await one.start()
        town.servers.append(one)
        found.append(one)
    return found


@pytest.fixture
async def quick() -> AsyncIterator[Town]:
    async with Town(Ingress(small())) as town:
        yield town


async def ask(town: Town, request: bytes = CLOSE) -> bytes:
    return await town.say(request)


def waiting(town: Town) -> int:
    return sum(route.waiting for route in town.ingress.counters().routes)


@contextlib.asynccontextmanager
async def watched(town: Town) -> AsyncIterator[set[int]]:
    """How many waited, at all moments of the block."""
    seen = {waiting(town)}

    async def look() -> None:
        while True:
            seen.add(waiting(town))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look(), name="look")
    try:
        yield seen
    finally:
        looking.cancel()


# -- how large


async def test_a_body_that_says_it_is_too_large_reaches_nobody(quick: Town) -> None:
    server = await quick.answer(OK)
    quick.route("*", server, max_body=10)
    answer = await ask(quick, POST + b"Content-Length: 11\r\n\r\n")
    assert status(answer) == 413
    assert field(answer, "x-minipaas") == "route.body"
    assert field(answer, "connection") == "close"
    assert server.connections == 0
    reader, writer = await quick.connect()
    writer.write(POST + b"Content-Length: 10\r\n\r\n0123456789")
    head, _ = await read_answer(reader)
    assert status(head) == 200
    assert server.bodies == [b"0123456789"]
    writer.close()


async def test_a_body_in_chunks_that_grows_too_large_is_cut_before_the_chunk_that_is_too_much(quick: Town) -> None:
    got, ended = bytearray(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                got.extend(data)
        finally:
            ended.set()

    server = await quick.serve(handler)
    quick.route("*", server, max_body=10)
    reader, writer = await quick.connect()
    writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n")
    await until(lambda: b"abcdef" in got)
    writer.write(b"5\r\nghijk\r\n0\r\n\r\n")
    head, _ = await read_answer(reader)
    assert status(head) == 413
    await asyncio.wait_for(ended.wait(), 5)
    assert b"g" not in bytes(got).partition(b"\r\n\r\n")[2]
    assert not got.endswith(b"0\r\n\r\n"), "what was cut does not look complete"
    writer.close()


async def test_chunks_up_to_the_limit_pass(quick: Town) -> None:
    server = await quick.answer(OK)
    quick.route("*", server, max_body=10)
    answer = await ask(
        quick, POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n4\r\nghij\r\n0\r\n\r\n"
    )
    assert status(answer) == 200
    assert server.bodies == [b"abcdefghij"]


# -- how many


async def test_one_more_than_an_instance_may_have_waits_its_turn(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, max_in_flight=2, queue=10, queue_timeout=30.0)
    asked = [asyncio.create_task(ask(quick)) for _ in range(6)]
    await until(lambda: (waiting(quick), gate.at_once) == (4, 2))
    gate.open_gate.set()
    assert {status(answer) for answer in await asyncio.gather(*asked)} == {200}
    assert gate.most == 2
    assert waiting(quick) == 0


async def test_who_waits_longest_is_next(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, max_in_flight=1, queue=10, queue_timeout=30.0)
    asked = []
    for number in range(4):
        asked.append(asyncio.create_task(ask(quick, CLOSE.replace(b"GET /", b"GET /%d" % number))))
        await until(lambda: waiting(quick) + gate.at_once == len(asked))
    gate.open_gate.set()
    await asyncio.gather(*asked)
    assert [head.split()[1] for head in gate.heads] == [b"/0", b"/1", b"/2", b"/3"]


async def test_beyond_the_queue_it_is_503_at_once_and_the_connection_stays(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, max_in_flight=1, queue=1, queue_timeout=30.0)
    asked = []
    for number in (1, 2):
        asked.append(asyncio.create_task(ask(quick)))
        await until(lambda: waiting(quick) + gate.at_once == number)  # noqa: B023
    reader, writer = await quick.connect()
    writer.write(GET)
    head, _ = await read_answer(reader)
    assert (status(head), field(head, "x-minipaas")) == (503, "route.busy")
    assert field(head, "retry-after") == "2"
    gate.open_gate.set()
    await asyncio.gather(*asked)
    writer.write(GET)
    head, _ = await read_answer(reader)
    assert status(head) == 200
    writer.close()


async def test_who_has_waited_too_long_is_told_so(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, max_in_flight=1, queue=5, queue_timeout=0.1)
    first = asyncio.create_task(ask(quick))
    await until(lambda: gate.at_once == 1)
    answer = await ask(quick)
    assert (status(answer), field(answer, "x-minipaas")) == (503, "route.busy")
    gate.open_gate.set()
    assert status(await first) == 200
    assert len(gate.heads) == 1


async def test_a_client_that_goes_while_it_waits_leaves_no_trace(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, max_in_flight=1, queue=5, queue_timeout=30.0)
    first = asyncio.create_task(ask(quick))
    await until(lambda: gate.at_once == 1)
    _, writer = await quick.connect()
    writer.write(GET)
    await until(lambda: waiting(quick) == 1)
    writer.close()
    await until(lambda: waiting(quick) == 0)
    gate.open_gate.set()
    await first
    assert len(gate.heads) == 1
    assert [route.in_flight for route in quick.ingress.counters().routes] == [0]


async def test_what_comes_of_a_body_meanwhile_arrives_whole(quick: Town) -> None:
    (gate,) = await gates(quick)
    plain = await quick.answer(OK, route=None)
    quick.route("*", gate, max_in_flight=1, queue=5, queue_timeout=30.0)
    first = asyncio.create_task(ask(quick))
    await until(lambda: gate.at_once == 1)
    body = bytes(range(256)) * 4096
    upload = asyncio.create_task(
        ask(quick, POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    )
    await until(lambda: waiting(quick) == 1)
    quick.route("*", plain, max_in_flight=1, queue=5, queue_timeout=30.0)
    assert status(await upload) == 200
    assert plain.bodies == [body]
    gate.open_gate.set()
    await first


async def test_a_body_that_waited_goes_over_a_kept_connection_too(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, max_in_flight=1, queue=5, queue_timeout=30.0)
    gate.open_gate.set()
    for _ in range(2):
        await ask(quick)
    gate.open_gate.clear()
    first = asyncio.create_task(ask(quick))
    await until(lambda: gate.at_once == 1)
    body = bytes(range(256)) * 4096
    upload = asyncio.create_task(
        ask(quick, POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    )
    await until(lambda: waiting(quick) == 1)
    gate.open_gate.set()
    assert {status(await first), status(await upload)} == {200}
    assert gate.connections == 1


async def test_the_next_goes_on_when_one_is_answered_and_not_later() -> None:
    async with Town(Ingress(Limits(tick=3600.0))) as town:
        (gate,) = await gates(town)
        town.route("*", gate, max_in_flight=1, queue=5, queue_timeout=30.0)
        asked = [asyncio.create_task(ask(town)) for _ in range(3)]
        await until(lambda: waiting(town) == 2)
        gate.open_gate.set()
        assert {status(answer) for answer in await asyncio.gather(*asked)} == {200}


async def test_one_client_cannot_take_all(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, max_per_client=2)
    asked = [asyncio.create_task(ask(quick)) for _ in range(2)]
    await until(lambda: gate.at_once == 2)
    answer = await ask(quick)
    assert (status(answer), field(answer, "x-minipaas")) == (429, "route.client")
    assert field(answer, "retry-after") == "2"
    gate.open_gate.set()
    assert {status(answer) for answer in await asyncio.gather(*asked)} == {200}
    assert status(await ask(quick)) == 200, "those that ended count no more"


async def test_a_route_is_as_patient_as_it_says(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, first_byte=0.1)
    for request in (CLOSE, POST + b"Connection: close\r\nContent-Length: 2\r\n\r\nab"):
        answer = await ask(quick, request)
        assert (status(answer), field(answer, "x-minipaas")) == (504, "backend.slow")


async def test_a_route_may_be_more_patient_than_usual() -> None:
    async with Town(Ingress(small(first_byte=0.05))) as town:
        (gate,) = await gates(town)
        town.route("*", gate, first_byte=30.0)
        asked = asyncio.create_task(ask(town))
        await until(lambda: gate.at_once == 1)
        await asyncio.sleep(0.2)
        gate.open_gate.set()
        assert status(await asked) == 200


# -- nobody there


async def test_a_pause_keeps_requests_for_who_comes(quick: Town) -> None:
    quick.route("*", held=True, hold=30.0)
    asked = [asyncio.create_task(ask(quick)) for _ in range(3)]
    await until(lambda: waiting(quick) == 3)
    quick.route("*", await quick.answer(OK, route=None), hold=30.0)
    assert {status(answer) for answer in await asyncio.gather(*asked)} == {200}


async def test_the_route_may_belong_to_another_service_then(quick: Town) -> None:
    quick.route("*", held=True, hold=30.0, max_per_client=1)
    asked = asyncio.create_task(ask(quick))
    await until(lambda: waiting(quick) == 1)
    quick.route("*", await quick.answer(OK, route=None), service="site", max_per_client=1)
    assert status(await asked) == 200
    assert status(await ask(quick)) == 200


@pytest.mark.parametrize("entries", ["given up", "gone"])
async def test_when_nobody_is_to_come_it_is_503_at_once(quick: Town, entries: str) -> None:
    quick.route("*", held=True, hold=30.0)
    asked = asyncio.create_task(ask(quick))
    await until(lambda: waiting(quick) == 1)
    if entries == "gone":
        quick.ingress.set_app("shop", ())
    else:
        quick.route("*", hold=30.0)
    answer = await asked
    assert (status(answer), field(answer, "x-minipaas")) == (503, "route.no_backend")
    assert field(answer, "retry-after") == "2"


async def test_a_pause_ends_by_itself_for_all(quick: Town) -> None:
    quick.route("*", held=True, hold=0.3)
    async with watched(quick) as waited:
        assert status(await ask(quick)) == 503
    assert max(waited) == 1
    async with watched(quick) as waited:
        answers = [await ask(quick) for _ in range(10)]
    assert {status(answer) for answer in answers} == {503}
    assert waited == {0}, "a pause that is over keeps nobody waiting"


async def test_only_so_many_are_kept() -> None:
    async with Town(Ingress(Limits(tick=0.02, waiting=2))) as town:
        town.route("*", held=True, hold=30.0)
        asked = [asyncio.create_task(ask(town)) for _ in range(2)]
        await until(lambda: waiting(town) == 2)
        assert status(await ask(town)) == 503
        town.route("*", await town.answer(OK, route=None))
        assert {status(answer) for answer in await asyncio.gather(*asked)} == {200}


async def test_those_who_waited_do_not_rush_in_all_at_once() -> None:
    async with Town(Ingress(Limits(tick=0.02, rush=3))) as town:
        town.route("*", held=True, hold=30.0)
        asked = [asyncio.create_task(ask(town)) for _ in range(10)]
        await until(lambda: waiting(town) == 10)
        (gate,) = await gates(town)
        town.route("*", gate, hold=30.0)
        await until(lambda: gate.at_once == 3)
        assert waiting(town) == 7
        gate.open_gate.set()
        assert {status(answer) for answer in await asyncio.gather(*asked)} == {200}
        assert gate.most == 3


async def test_a_request_that_all_have_refused_waits_for_another_instance(quick: Town) -> None:
    dead = await quick.answer(OK, route=None)
    await dead.stop()
    quick.route("*", dead, hold=30.0)
    asked = asyncio.create_task(ask(quick))
    await until(lambda: waiting(quick) == 1)
    quick.route("*", await quick.answer(OK, route=None), hold=30.0)
    assert status(await asked) == 200


async def test_one_that_listens_again_gets_what_waits(quick: Town) -> None:
    dead = await quick.answer(OK, route=None)
    await dead.stop()
    quick.route("*", dead, hold=30.0)
    asked = asyncio.create_task(ask(quick))
    await until(lambda: waiting(quick) == 1)
    await dead.start()
    assert status(await asked) == 200


async def test_nobody_waits_long_for_an_instance_that_only_refuses() -> None:
    async with Town(Ingress(small())) as town:
        dead = await town.answer(OK, route=None)
        await dead.stop()
        town.route("*", dead, hold=1.0)
        async with watched(town) as waited:
            answer = await ask(town)
        assert (status(answer), field(answer, "x-minipaas")) == (502, "backend.refused")
        assert max(waited) == 1
        async with watched(town) as waited:
            assert status(await ask(town)) == 502
        assert waited == {0}, "the next one does not wait at all"


async def test_a_request_that_ends_every_connection_is_not_sent_for_ever(quick: Town) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    server = await quick.serve(hang_up, route=None)
    quick.route("*", server, hold=30.0)
    answer = await ask(quick)
    assert (status(answer), field(answer, "x-minipaas")) == (502, "backend.reset")
    assert server.connections == 4


async def test_one_that_was_killed_with_the_request_in_hand_is_waited_for(quick: Town) -> None:
    (gate,) = await gates(quick)
    quick.route("*", gate, hold=30.0)
    asked = asyncio.create_task(ask(quick))
    await until(lambda: gate.at_once == 1)
    await gate.stop()
    await until(lambda: waiting(quick) == 1)
    quick.route("*", await quick.answer(OK, route=None), hold=30.0)
    assert status(await asked) == 200


async def test_who_waits_when_the_box_stops_is_told_at_once() -> None:
    async with Town(Ingress(small())) as town:
        town.route("*", held=True, hold=30.0)
        asked = asyncio.create_task(ask(town))
        await until(lambda: waiting(town) == 1)
        await town.ingress.close(20.0)
        answer = await asked
        assert (status(answer), field(answer, "connection")) == (503, "close")
