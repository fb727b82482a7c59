"""A new version of minipaas that was gone back from: page and status say so until somebody has seen it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from minipaas.surface.wire import Apps
from minipaas.surface.wire_self import SelfView
from minipaas.takeover.record import Kind, Record, State, Story
from tests.surface.small import SmallBox, csrf_of, small_box

SENTENCE = "The upgrade of minipaas to 2.0.0 did not hold, and 1.0.0 serves again: it did not last 60 s, 2 times."


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[SmallBox]:
    (tmp_path / "data").mkdir()
    story = Story(tmp_path / "data")
    record = Record(kind=Kind.UPGRADE, actor="ann", origin="here", began=1.0, from_version="1.0.0", to_version="2.0.0")
    story.begin(record)
    story.end(State.RETURNED, "it did not last 60 s, 2 times")
    async with small_box(tmp_path, own=True) as running:
        yield running


async def apps(box: SmallBox) -> Apps:
    async with box.local() as session, session.get("/api/v1/apps") as answer:
        return msgspec.json.decode(await answer.read(), type=Apps)


async def test_the_api_says_what_happened_and_what_to_do(box: SmallBox) -> None:
    seen = await apps(box)
    assert not seen.well
    assert SENTENCE in seen.sentence
    assert "minipaas upgrade --status" in seen.sentence
    async with box.local() as session, session.post("/api/v1/self/seen") as answer:
        assert answer.status == 200
        assert msgspec.json.decode(await answer.read(), type=SelfView).returned is None
    seen = await apps(box)
    assert (seen.well, "did not hold" in seen.sentence) == (True, False)
    async with box.local() as session, session.post("/api/v1/self/seen") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "self.no_return")
    (row,) = await box.registry.audit_log(1)
    assert (row.action, row.subject) == ("self.seen", "minipaas 2.0.0")
    assert row.result == "1.0.0 serves: it did not last 60 s, 2 times"


async def test_only_who_may_do_everything_can_say_that_they_have_seen_it(box: SmallBox) -> None:
    async with await box.remote("deploy") as session:
        async with session.post("/api/v1/self/seen") as answer:
            assert answer.status == 403
        async with session.get("/") as page:
            text = await page.text()
        assert SENTENCE in text
        assert "/box/self/seen" not in text


async def test_the_button_on_the_page(box: SmallBox) -> None:
    async with await box.remote("admin") as session:
        async with session.get("/") as page:
            text = await page.text()
        assert SENTENCE in text
        assert 'action="/box/self/seen"' in text
        async with session.post("/box/self/seen", data={"csrf": await csrf_of(session)}) as page:
            assert page.status == 200
            assert "did not hold" not in await page.text()
