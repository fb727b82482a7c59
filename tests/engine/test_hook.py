"""Release hooks: to their end, once, and again after a crash of ours."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from minipaas.engine.engine import Engine
from minipaas.engine.hook import hook_name
from minipaas.model.errors import Deadline, EngineError
from tests.engine.conftest import BOX, News, make_launch, until
from tests.fakepodman import Behaviour, FakePodman


@pytest.mark.parametrize("code", [0, 3])
async def test_code_and_last_words(engine: Engine, fake: FakePodman, tmp_path: Path, code: int) -> None:
    output = tuple(f"line {number}" for number in range(40))
    fake.behave(Behaviour(exit_code=code, lifetime=0.05, output=output), kind="hook")
    await engine.ensure_network("shop")
    result = await engine.run_hook(make_launch(fake.add_image()), 7, 20)
    assert result.exit_code == code
    assert result.output_tail.split("\n") == list(output[-20:])
    assert fake.containers == {}
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_it_is_no_instance_and_has_no_ports(engine: Engine, fake: FakePodman) -> None:
    fake.behave(Behaviour(exit_code=0, lifetime=0.5), kind="hook")
    await engine.ensure_network("shop")
    task = asyncio.create_task(engine.run_hook(make_launch(fake.add_image()), 7, 20))
    await until(lambda: _runs(fake))
    assert (await engine.observe()).instances == ()
    assert fake.container("minipaas-shop-hook-web-c7").ports == []
    await task


async def _runs(fake: FakePodman) -> bool:
    return bool(fake.running)


async def test_too_slow(engine: Engine, fake: FakePodman) -> None:
    fake.behave(Behaviour(output=("migrating 1 of 900",)), kind="hook")
    await engine.ensure_network("shop")
    with pytest.raises(
        Deadline, match=r"the release hook of web: not done within 0\.3 s: migrating 1 of 900"
    ) as caught:
        await engine.run_hook(make_launch(fake.add_image()), 7, 0.3)
    assert "hooks.timeout" in caught.value.hint
    assert fake.containers == {}


@pytest.mark.parametrize("ended_meanwhile", [False, True])
async def test_after_a_crash_of_ours_it_is_attached_to(
    engine: Engine, fake: FakePodman, tmp_path: Path, news: News, ended_meanwhile: bool
) -> None:
    fake.behave(Behaviour(output=("working",)), kind="hook")
    await engine.ensure_network("shop")
    launch = make_launch(fake.add_image())
    first = asyncio.create_task(engine.run_hook(launch, 7, 20))
    await until(lambda: _runs(fake))
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await engine.close()
    name = hook_name("shop", "web", 7)
    if ended_meanwhile:
        fake.crash(name, 5)
    again = await Engine.connect(fake.socket, data=tmp_path, box=BOX, on_news=news)
    try:
        second = asyncio.create_task(again.run_hook(launch, 7, 20))
        if not ended_meanwhile:
            await until(lambda: _waited_for(fake, 2))
            fake.crash(name, 5)
        result = await second
    finally:
        await again.close()
    assert (result.exit_code, result.output_tail) == (5, "working")
    assert fake.calls["POST containers/create"] == 1
    assert fake.containers == {}


async def _waited_for(fake: FakePodman, times: int) -> bool:
    return fake.calls["POST containers/{name}/wait"] >= times


async def test_one_that_cannot_start_leaves_nothing(engine: Engine, fake: FakePodman) -> None:
    fake.behave(Behaviour(fails_to_start='exec: "migrate": executable file not found in $PATH'), kind="hook")
    await engine.ensure_network("shop")
    with pytest.raises(EngineError, match=r"cannot start minipaas-shop-hook-web-c7: .*not found"):
        await engine.run_hook(make_launch(fake.add_image()), 7, 20)
    assert fake.containers == {}
