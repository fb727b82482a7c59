"""Logs on the page: live, searched for, by keyboard and screen reader, and without a script."""

from __future__ import annotations

from playwright.async_api import expect

from tests.boxes import RunningBox, toml
from tests.browser.fixtures import Visit
from tests.browser.visitor import Visitor


async def reader(box: RunningBox, visit: Visit, **options: object) -> tuple[Visitor, str]:
    """Somebody who may look, and an instance that has written."""
    await box.deploy(toml())
    key = box.instances()[0].id
    box.fake.log(key, "GET /cart took 3 ms", '{"level":"error","msg":"<b>no</b> database"}')
    one = await visit(box.url, **options)
    await one.sign_in(await box.token("read", "laptop"))
    return one, key


async def test_new_lines_come_by_themselves_and_only_those_asked_for(box: RunningBox, visit: Visit) -> None:
    one, key = await reader(box, visit)
    await one.open("/apps/shop")
    await one.page.get_by_role("link", name="Logs").first.click()
    lines = one.page.locator("#lines")
    await expect(lines).to_contain_text("GET /cart took 3 ms")
    await expect(lines).to_contain_text("<b>no</b> database")
    before = await lines.locator(".line").count()
    await one.live()
    box.fake.log(key, "a line that is new", "and one more")
    await expect(lines).to_contain_text("and one more")
    await expect(lines.locator(".line")).to_have_count(before + 2)
    assert await one.barriers() == []
    assert await one.overflow() == ""

    await one.page.get_by_role("searchbox", name="Text").fill("new")
    await one.page.keyboard.press("Enter")
    await expect(lines.locator(".line")).to_have_count(1)
    await one.live()
    box.fake.log(key, "old", "another new one")
    await expect(lines.locator(".line")).to_have_count(2)
    await expect(lines).not_to_contain_text("old")

    await one.page.get_by_role("button", name="Following").press("Enter")
    await expect(one.page.get_by_role("button", name="Paused")).to_be_focused()
    box.fake.log(key, "new while nobody follows")
    await one.page.get_by_role("button", name="Paused").press("Enter")
    await expect(lines.locator(".line")).to_have_count(3)


async def test_filters_and_chinese(box: RunningBox, visit: Visit) -> None:
    one, _ = await reader(box, visit)
    await one.open("/apps/shop/logs?lang=zh")
    await one.page.get_by_label("级别").select_option("error")
    await one.page.get_by_role("button", name="显示", exact=True).press("Enter")
    await expect(one.page.locator("#lines .line")).to_have_count(1)
    await expect(one.page.locator("#lines .level-error")).to_contain_text("database")
    assert await one.barriers() == []


async def test_without_a_script_the_last_lines_are_there(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    box.fake.log(box.instances()[0].id, *(f"line {number}" for number in range(300)))
    one = await visit(box.url, java_script_enabled=False)
    await one.sign_in(await box.token("read", "laptop"))
    await one.open("/apps/shop/logs")
    lines = one.page.locator("#lines .line")
    await expect(lines).to_have_count(200)
    await expect(lines.last).to_contain_text("line 299")
    await one.page.get_by_role("link", name="Older").click()
    await expect(one.page.locator("#lines")).to_contain_text("line 99")
    await expect(one.page.locator("#lines")).not_to_contain_text("line 100")
    assert await one.page.locator("#follow").is_visible() is False
