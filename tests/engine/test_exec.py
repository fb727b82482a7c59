"""Health checks that are commands in the container."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from minipaas.engine.engine import Engine
from minipaas.engine.exec import Executor
from minipaas.engine.streams import Streams
from minipaas.model.errors import EngineError
from tests.engine.conftest import launch_one, make_launch, until
from tests.fakepodman import Behaviour, FakePodman


@pytest.fixture
async def executor(fake: FakePodman) -> AsyncIterator[Executor]:
    streams = Streams(fake.socket)
    yield Executor(streams)
    await streams.close()


@pytest.mark.parametrize(
    ("code", "output", "detail"), [(0, "fine", "pg_isready: exit code 0"), (2, "no", "pg_isready: exit code 2: no")]
)
async def test_exit_codes(
    engine: Engine, fake: FakePodman, executor: Executor, code: int, output: str, detail: str
) -> None:
    fake.behave(Behaviour(exec_code=code, exec_output=output))
    container = await launch_one(engine, make_launch(fake.add_image()))
    result = await executor.probe(container, ("pg_isready",), 10)
    assert (result.ok, result.detail) == (code == 0, detail)


async def test_a_command_that_hangs_does_not_pile_up(engine: Engine, fake: FakePodman, executor: Executor) -> None:
    fake.behave(Behaviour(exec_delay=1.0))
    container = await launch_one(engine, make_launch(fake.add_image()))
    first = await executor.probe(container, ("sleep",), 0.2)
    assert (first.ok, first.detail) == (False, "sleep: not done within 0.2 s")
    second = await executor.probe(container, ("sleep",), 0.2)
    assert (second.ok, second.detail) == (False, "sleep: the one before is still not done")
    assert fake.calls["POST containers/{name}/exec"] == 1

    async def tried_again() -> bool:
        await executor.probe(container, ("sleep",), 5)
        return fake.calls["POST containers/{name}/exec"] > 1

    await until(tried_again)


async def test_a_container_that_does_not_run(engine: Engine, fake: FakePodman, executor: Executor) -> None:
    container = await launch_one(engine, make_launch(fake.add_image()))
    fake.crash(container, 1)
    with pytest.raises(EngineError, match="can only create exec sessions on running containers"):
        pytest.fail(f"it ran: {await executor.probe(container, ('true',), 60)}")
