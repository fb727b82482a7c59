"""Logs on the page: live, searched for, by keyboard and screen reader, and without a script."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from playwright.async_api import expect

from tests.boxes import RunningBox, toml
from tests.browser.fixtures import Visit
from tests.browser.visitor import PHONE, Visitor


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


async def test_times_are_the_readers_and_an_instance_can_be_chosen(box: RunningBox, visit: Visit) -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    await box.deploy(toml(replicas=2))
    first, second = box.instances()
    box.fake.log(first.id, "early")
    await asyncio.sleep(1.1)  # the form knows whole seconds
    box.fake.log(first.id, "late")
    box.fake.log(second.id, "of the other one")
    one = await visit(box.url, timezone_id=str(shanghai), viewport=PHONE)
    await one.sign_in(await box.token("read", "laptop"))
    await one.open("/apps/shop/logs")
    lines = one.page.locator("#lines")
    await expect(lines).to_contain_text("of the other one")
    late = int(float(await lines.locator(".line", has_text="late").locator("time").get_attribute("data-date") or 0))

    await one.page.get_by_label("Instance").select_option(label="web-1-1")
    await one.page.get_by_label("From").fill(f"{datetime.fromtimestamp(late, shanghai):%Y-%m-%dT%H:%M:%S}")
    await one.page.get_by_label("From").press("Enter")
    await expect(lines.locator(".line")).to_have_text([re.compile("late")])
    assert parse_qs(urlsplit(one.page.url).query) == {"instance": ["shop-web-1-1"], "since": [str(late)]}
    assert (
        await one.page.get_by_label("From").input_value()
        == f"{datetime.fromtimestamp(late, shanghai):%Y-%m-%dT%H:%M:%S}"
    )
    assert await one.overflow() == ""
    assert await one.barriers() == []

    await one.page.get_by_label("Within the last").select_option("1h")
    await expect(one.page.get_by_label("From")).to_have_value("")
    await one.page.get_by_label("Until").fill(f"{datetime.fromtimestamp(late, shanghai):%Y-%m-%dT%H:%M:%S}")
    await one.page.get_by_role("button", name="Show", exact=True).press("Enter")
    await expect(lines).to_contain_text("early")
    await expect(lines).not_to_contain_text("late")
    await expect(one.page.get_by_role("button", name="Following")).to_have_count(0)  # what is over does not grow

    one.expect("422")
    await one.page.get_by_label("From").fill("2999-01-01T00:00:00")
    await one.page.get_by_role("button", name="Show", exact=True).press("Enter")
    await expect(one.page.get_by_role("alert")).to_contain_text("the end is not after the beginning")


async def test_the_log_of_another_app_is_one_choice_away(box: RunningBox, visit: Visit) -> None:
    one, _ = await reader(box, visit)
    await box.deploy(toml("cafe", routes='"cafe.local"'), app="cafe")
    box.fake.log(box.instances("cafe")[0].id, "no coffee", "no tea")
    await one.open("/apps/shop/logs?service=web&text=coffee")
    await one.page.get_by_role("combobox", name="App", exact=True).select_option("cafe")
    await one.page.get_by_role("button", name="Show", exact=True).press("Enter")
    await expect(one.page.locator("#lines .line")).to_have_count(1)
    await expect(one.page.get_by_role("heading", name="Logs of cafe")).to_be_visible()
    assert urlsplit(one.page.url).path == "/apps/cafe/logs"


async def test_without_a_script_times_are_in_utc(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    box.fake.log(box.instances()[0].id, "written today")
    one = await visit(box.url, java_script_enabled=False)
    await one.sign_in(await box.token("read", "laptop"))
    await one.open("/apps/shop/logs")
    await expect(one.page.get_by_text("Times are in UTC.")).to_be_visible()
    await one.page.get_by_label("From").fill("2001-02-03T04:05:06")
    await one.page.get_by_role("button", name="Show", exact=True).click()
    await expect(one.page.locator("#lines")).to_contain_text("written today")
    assert await one.page.get_by_label("From").input_value() == "2001-02-03T04:05:06"
    await one.page.get_by_label("Until").fill("2001-02-03T04:05:07")
    await one.page.get_by_role("button", name="Show", exact=True).click()
    await expect(one.page.get_by_text("Nothing fits.")).to_be_visible()


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
