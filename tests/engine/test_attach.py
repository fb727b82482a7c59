"""Commands in containers, with their streams."""

from __future__ import annotations

import asyncio
import os

import pytest

from minipaas.engine.attach import ERR, OUT, Command, Size
from minipaas.engine.engine import Engine
from minipaas.model.errors import EngineDown, EngineError
from tests.engine.conftest import make_launch
from tests.fakepodman import Behaviour, FakePodman


@pytest.fixture
async def container(engine: Engine, fake: FakePodman) -> str:
    """A running one."""
    await engine.ensure_network("shop")
    made = await engine.create(make_launch(fake.add_image()))
    await engine.start(made)
    return made


async def shown(
    engine: Engine, container: str, command: Command, given: bytes = b""
) -> tuple[bytes, bytes, int | None]:
    """Both outputs and the exit code."""
    said = {OUT: b"", ERR: b""}
    async with engine.attach(container, command) as attached:
        if given:
            await attached.write(given)
        if command.size is None:
            attached.end_input()
        async for stream, data in attached.output():
            said[stream] += data
        return said[OUT], said[ERR], await attached.exit_code()


async def test_outputs_are_apart_and_the_exit_code_is_its_own(engine: Engine, container: str) -> None:
    command = Command(argv=("sh", "-c", "cat; echo oops >&2; exit 7"))
    assert await shown(engine, container, command, b"given") == (b"given", b"oops\n", 7)


async def test_much_goes_through_in_both_directions(engine: Engine, container: str) -> None:
    much = os.urandom(2_000_000)
    told, _, _ = await shown(engine, container, Command(argv=("cat",)), much[:60_000])
    assert told == much[:60_000]
    async with engine.attach(container, Command(argv=("sh", "-c", "wc -c"))) as attached:
        await attached.write(much)
        attached.end_input()
        assert [data async for _, data in attached.output()] == [b"2000000\n"]


async def test_a_terminal_has_a_size_and_gets_others(engine: Engine, container: str) -> None:
    command = Command(argv=("sh", "-c", "stty size; read x; stty size"), size=Size(100, 30))
    async with engine.attach(container, command) as attached:
        output = attached.output()
        assert await anext(output) == (OUT, b"30 100\r\n")
        await attached.resize(Size(71, 19))
        await attached.write(b"\n")
        rest = b"".join([data async for _, data in output])
        assert rest.endswith(b"19 71\r\n")


@pytest.mark.parametrize("size", [None, Size(80, 24)], ids=["pipes", "terminal"])
async def test_what_is_not_in_the_image_is_told_as_that(
    engine: Engine, fake: FakePodman, container: str, size: Size | None
) -> None:
    fake.change(container, Behaviour(lacks=("bash",)))
    with pytest.raises(EngineError) as error:
        await shown(engine, container, Command(argv=("bash",), size=size))
    assert error.value.code == "engine.no_command"
    assert "cannot run bash" in error.value.message


async def test_a_command_that_says_what_podman_could_say_is_believed_to_be_itself(
    engine: Engine, container: str
) -> None:
    command = Command(argv=("sh", "-c", "echo Error: OCI something; exit 3"))
    assert await shown(engine, container, command) == (b"Error: OCI something\n", b"", 3)


async def test_what_is_left_alone_is_ended_whatever_it_listens_to(engine: Engine, container: str) -> None:
    command = Command(argv=("sh", "-c", "trap '' HUP TERM; echo $$; while :; do sleep 0.1; done"))
    async with engine.attach(container, command) as attached:
        _, data = await anext(attached.output())
        os.kill(int(data), 0)
    for _ in range(100):
        try:
            os.kill(int(data), 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.05)
    pytest.fail("it still runs")


async def test_the_end_of_the_container_is_the_end_of_its_commands(
    engine: Engine, fake: FakePodman, container: str
) -> None:
    async with engine.attach(container, Command(argv=("sh", "-c", "echo in; sleep 100"))) as attached:
        output = attached.output()
        await anext(output)
        fake.crash(container)
        assert [piece async for piece in output] == []
        assert await attached.exit_code() == 137


async def test_what_does_not_run_cannot_be_entered(engine: Engine, fake: FakePodman, container: str) -> None:
    fake.crash(container)
    with pytest.raises(EngineError, match=r"cannot run true in .*running containers"):
        await shown(engine, container, Command(argv=("true",)))


async def test_nobody_there(engine: Engine, fake: FakePodman, container: str) -> None:
    fake.drop("exec/.*/start")
    with pytest.raises(EngineDown):
        await shown(engine, container, Command(argv=("true",)))
    fake.down()
    with pytest.raises(EngineDown):
        await shown(engine, container, Command(argv=("true",)))
