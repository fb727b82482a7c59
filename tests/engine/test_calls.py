"""Control calls: answers that make no sense, and calls that come too late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from minipaas.engine.calls import Calls, lines
from minipaas.engine.engine import Engine
from minipaas.engine.limits import MAX_LINE
from minipaas.model.errors import EngineDown, EngineError
from tests.fakepodman import FakePodman


async def test_an_answer_of_another_shape(engine: Engine, fake: FakePodman) -> None:
    fake.refuse("GET containers/json", 200)  # an object where a list belongs
    with pytest.raises(EngineError, match="cannot list containers: Podman's answer makes no sense") as caught:
        await engine.observe()
    assert caught.value.code == "engine.answer"


async def test_after_close_nothing_is_begun(engine: Engine, fake: FakePodman) -> None:
    await engine.close()
    with pytest.raises(EngineDown, match="minipaas is stopping"):
        await engine.start("0" * 64)
    assert fake.calls["POST containers/{name}/start"] == 0


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\n", b"c"], [b"ab", b"c"]),
        ([], []),
        ([b"\n"], [b""]),
    ],
)
def test_pieces_as_lines(chunks: list[bytes], expected: list[bytes]) -> None:
    assert list(lines(iter(chunks))) == expected


def test_a_line_without_end_is_not_kept() -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * (MAX_LINE // 8)

    assert max(len(line) for line in lines(endless())) <= MAX_LINE * 2


async def test_a_cancellation_that_comes_with_the_result_is_not_lost(fake: FakePodman) -> None:
    calls = Calls(fake.socket)
    loop = asyncio.get_running_loop()
    task: asyncio.Task[None]

    def work() -> None:
        loop.call_soon_threadsafe(task.cancel)  # and then the result, in the same turn of the loop

    for _ in range(50):
        task = loop.create_task(calls.run("work", work, 5))
        with pytest.raises(asyncio.CancelledError):
            await task
    await calls.close()
