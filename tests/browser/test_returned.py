"""A version of minipaas that was gone back from, on top of the overview, until somebody has seen it."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import expect

from minipaas.takeover.record import Kind, Record, State, Story
from tests.browser.fixtures import Visit
from tests.surface.small import small_box


async def test_it_is_told_until_it_was_seen(tmp_path: Path, visit: Visit) -> None:
    (tmp_path / "data").mkdir()
    story = Story(tmp_path / "data")
    story.begin(Record(kind=Kind.UPGRADE, actor="a", origin="b", began=1.0, from_version="1.0.0", to_version="2.0.0"))
    story.end(State.RETURNED, "it did not last 60 s, 2 times")
    async with small_box(tmp_path, own=True) as box:
        secret = await box.registry.add_token("laptop", "admin", 1.0, actor="test", origin="test")
        one = await visit(box.url)
        await one.sign_in(secret)
        await one.open("/")
        verdict = one.page.locator("#verdict")
        await expect(verdict).to_contain_text("The upgrade of minipaas to 2.0.0 did not hold, and 1.0.0 serves again")
        await expect(verdict).to_contain_text("minipaas upgrade --status")
        assert await one.barriers() == []
        await verdict.get_by_role("button", name="I have seen it").click()
        await expect(verdict).not_to_contain_text("did not hold")
