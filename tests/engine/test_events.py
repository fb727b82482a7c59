"""The event stream: prompt news, and none missed when Podman goes away and comes back."""

from __future__ import annotations

import msgspec
import pytest

from minipaas.engine.engine import Engine
from minipaas.engine.events import is_news
from tests.engine.conftest import BOX, News, launch_one, look, make_launch, until
from tests.fakepodman import FakePodman


def event(kind: str, action: str, box: str | None = BOX) -> bytes:
    attributes = {"io.minipaas.box": box} if box else {}
    return msgspec.json.encode({"Type": kind, "Action": action, "Actor": {"ID": "x", "Attributes": attributes}})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (event("container", "died"), True),
        (event("container", "die"), True),
        (event("container", "oom"), True),
        (event("container", "start"), True),
        (event("container", "remove"), True),
        (event("container", "died", "another box"), False),
        (event("container", "died", None), False),
        (event("container", "exec"), False),  # our own probes
        (event("container", "exec_died"), False),
        (event("container", "health_status"), False),
        (event("image", "remove", None), True),
        (event("image", "tag", None), False),
        (event("volume", "remove", None), True),
        (event("system", "refresh", None), False),
        (b"{", True),
    ],
)
def test_what_is_news(line: bytes, expected: bool) -> None:
    assert is_news(line, BOX) is expected


async def test_a_crash_is_told_at_once(engine: Engine, fake: FakePodman, news: News) -> None:
    container = await launch_one(engine, make_launch(fake.add_image()))
    await until(lambda: _watched(fake))
    fake.crash(container, 1)
    await news.next()
    assert not (await look(engine, container)).running


async def test_after_a_break_everything_is_looked_at_again(engine: Engine, fake: FakePodman, news: News) -> None:
    container = await launch_one(engine, make_launch(fake.add_image()))
    await until(lambda: _watched(fake))
    fake.down()
    fake.world.state.containers.clear()  # lost while nobody listened
    opened = fake.calls["GET events"]
    fake.up()

    async def opened_again() -> bool:
        return fake.calls["GET events"] > opened and bool(fake.world.watchers)

    before = news.count
    await until(opened_again)

    async def told() -> bool:
        return news.count > before

    await until(told)
    assert container not in {instance.id for instance in (await engine.observe()).instances}
    before = news.count
    await engine.ensure_volume("minipaas-shop.x", "shop")
    await until(told)


async def _watched(fake: FakePodman) -> bool:
    return bool(fake.world.watchers)
