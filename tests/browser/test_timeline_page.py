"""The timeline of an app, as a picture and as a list; with a keyboard, on a phone, without a script."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.boxes import RunningBox
from tests.browser.fixtures import Visit
from tests.browser.visitor import PHONE, Visitor


async def operator(scene: RunningBox, visit: Visit, **options: object) -> Visitor:
    one = await visit(scene.url, **options)
    await one.sign_in(await scene.token("read"))
    return one


@pytest.mark.parametrize("options", [{"viewport": PHONE}, {"color_scheme": "dark"}], ids=["phone", "dark"])
async def test_nothing_keeps_people_out(scene: RunningBox, visit: Visit, options: dict[str, object]) -> None:
    one = await operator(scene, visit, **options)
    for path in ("/apps/shop/timeline", "/apps/shop"):
        await one.open(path)
        await expect(one.page.locator("#timeline .axis")).to_be_visible()
        assert await one.barriers() == []
        assert await one.overflow() == ""


async def test_from_a_bad_hour_to_its_cause(scene: RunningBox, visit: Visit) -> None:
    one = await operator(scene, visit)
    await one.open("/apps/shop")
    lane = one.page.get_by_role("group", name="Crashes")
    await lane.get_by_role("link", name="web failed: the kernel killed it").first.click()
    await expect(one.page.get_by_role("heading", name="Timeline of shop")).to_be_visible()
    assert "range=1h" in one.page.url
    happened = one.page.locator("#happened")
    await expect(happened.locator("li", has_text="start web #1, attempt 2").first).to_be_visible()
    assert "live" not in (await one.page.locator("main").get_attribute("hx-trigger") or "")
    await happened.get_by_role("link", name="web failed").first.click()
    await expect(one.page.get_by_role("heading", name="Logs of shop")).to_be_visible()


async def test_with_the_keyboard_and_in_words(scene: RunningBox, visit: Visit) -> None:
    one = await operator(scene, visit, java_script_enabled=False)
    await one.open("/apps/shop/timeline")
    access = one.page.get_by_role("group", name="Accesses").get_by_role("link").first
    await access.focus()
    await expect(access).to_be_focused()
    await expect(one.page.get_by_role("img", name="How it was: ")).to_be_visible()
    await one.page.get_by_role("link", name="7 days").click()
    await expect(one.page.locator("#happened")).to_contain_text("ann via socket had a shell in shop-web-2-1")
    await one.page.get_by_role("link", name="Earlier").click()
    await expect(one.page.locator("#happened")).to_have_text(
        "One after the other, the newest first Nothing in this time."
    )
    await one.page.get_by_role("link", name="Later").click()
    await expect(one.page.locator("#happened")).to_contain_text("the deploy of 2.1.0 is done")
