"""The overview and an app's page, as an operator uses them: what is asked for is told, done, and seen as it happens."""

from __future__ import annotations

import asyncio

from playwright.async_api import Route, expect

from tests.boxes import RunningBox, toml
from tests.browser.fixtures import Visit
from tests.browser.visitor import Visitor
from tests.fakepodman.behaviour import Behaviour


async def operator(box: RunningBox, visit: Visit, role: str = "admin") -> Visitor:
    one = await visit(box.url)
    await one.sign_in(await box.token(role, "laptop"))
    return one


async def test_going_back_is_one_click_and_a_yes(box: RunningBox, visit: Visit) -> None:
    for version in ("1.0", "2.0"):
        await box.deploy(toml(version=version), version=version)
    one = await operator(box, visit)
    await one.open("/apps/shop")
    await one.page.get_by_role("link", name="Roll back", exact=True).click()
    dialog = one.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Roll shop back to 1.0?")
    await expect(dialog).to_contain_text("The new ones take over before the old ones stop.")
    assert await one.barriers() == []
    await one.page.keyboard.press("Escape")
    await expect(dialog).not_to_be_visible()
    assert len(await box.control.registry.changes("shop", 9)) == 2, "looking does nothing"
    await one.page.get_by_role("link", name="Roll back", exact=True).click()
    await dialog.get_by_role("button", name="Roll back").click()
    await expect(dialog).not_to_be_visible()
    await expect(one.page.locator("#verdict")).to_contain_text("1.0 serves.")
    await expect(one.page.locator("#changes details").first).to_contain_text("Roll back to 1.0")
    await expect(one.page.locator("#changes details").first).to_contain_text("token laptop via page")


async def test_more_instances_by_the_stepper(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit, "deploy")
    await one.open("/apps/shop")
    await one.page.get_by_role("button", name="One more").click()
    await one.page.get_by_role("button", name="Scale").click()
    dialog = one.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("goes from 1 to 2.")
    await dialog.get_by_role("button", name="Scale").click()
    await expect(one.page.locator("#service-web .count")).to_have_text("2 of 2")
    await expect(one.page.locator("#service-web")).to_contain_text("set by hand; the release says 1")
    assert await one.page.get_by_role("link", name="Remove").count() == 0


async def test_an_app_is_removed_only_by_its_name(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit)
    one.expect("422")
    await one.open("/apps/shop")
    await one.page.get_by_role("link", name="Remove").click()
    dialog = one.page.get_by_role("dialog")
    await dialog.get_by_label("Type shop to go on").fill("shopp")
    await dialog.get_by_role("button", name="Remove").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("what was typed is not its name")
    await expect(dialog.get_by_label("Type shop to go on")).to_have_value("shopp")
    await dialog.get_by_label("Type shop to go on").fill("shop")
    await dialog.get_by_role("button", name="Remove").click()
    await expect(one.page.locator("#verdict")).to_contain_text("It was removed")


async def test_what_a_removal_takes_follows_what_is_chosen(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml(extra='volumes = { data = "/data" }\n'))
    one = await operator(box, visit)
    await one.open("/apps/shop")
    await one.page.get_by_role("link", name="Remove").click()
    dialog = one.page.get_by_role("dialog")
    name = dialog.get_by_label("Type shop to go on")
    await name.fill("sho")
    await dialog.locator(".plan summary").click()
    await dialog.get_by_label("delete it for good").check()
    await expect(dialog).to_contain_text("Deleted with everything in it: minipaas-shop.data")
    await expect(dialog.locator(".plan")).to_contain_text("delete volume minipaas-shop.data")
    await expect(dialog.get_by_label("delete it for good")).to_be_focused()
    await expect(dialog.get_by_label("delete it for good")).to_be_checked()
    await expect(name).to_have_value("sho")
    answered = asyncio.Event()

    async def slowly(route: Route) -> None:
        await answered.wait()
        await route.continue_()

    await one.page.route("**/apps/shop/remove?*", slowly)
    await dialog.get_by_label("keep it").check()
    await name.fill("shop")
    answered.set()
    await expect(dialog.locator(".plan")).not_to_contain_text("delete volume")
    await expect(name).to_have_value("shop")
    await expect(name).to_be_focused()
    assert await one.barriers() == []


async def test_all_of_it_works_without_javascript(box: RunningBox, visit: Visit) -> None:
    for version in ("1.0", "2.0"):
        await box.deploy(toml(version=version), version=version)
    one = await visit(box.url, java_script_enabled=False)
    await one.sign_in(await box.token("deploy", "laptop"))
    await one.open("/apps/shop")
    await one.page.get_by_role("link", name="Roll back to this").click()
    await expect(one.page.get_by_role("heading", name="Roll shop back to 1.0?")).to_be_visible()
    await one.page.get_by_role("button", name="Roll back").click()
    assert "/apps/shop#change-" in one.page.url
    await expect(one.page.locator("main")).to_contain_text("Roll back to 1.0")


async def test_news_change_what_they_concern_and_leave_the_rest(box: RunningBox, visit: Visit) -> None:
    for name in ("alpha", "beta"):
        await box.deploy(toml(name, routes=f'"{name}.local"'), app=name)
    one = await visit(box.url)
    await one.open("/")
    await one.live()
    await expect(one.page.locator("h1")).to_contain_text("Everything runs.")
    await one.page.evaluate("document.querySelector('#app-alpha a').mine = 'kept'")
    await one.page.locator("#app-alpha h3 a").focus()
    box.fake.behave(Behaviour(exit_code=1, lifetime=0.02), app="beta")
    box.fake.crash(box.running("beta")[0], 1)
    await expect(one.page.locator("h1")).to_contain_text("1 app needs you: beta is down since")
    await expect(one.page.locator("#group-need #app-beta")).to_be_visible()
    assert await one.page.evaluate("document.querySelector('#app-alpha a').mine") == "kept", "the same element"
    assert await one.page.evaluate("document.activeElement.textContent") == "alpha"
    await expect(one.page).to_have_title("! 1 app needs you: beta is down since " + await clock(one) + ". – minipaas")


async def clock(one: Visitor) -> str:
    return await one.page.locator("h1 time").inner_text()


async def test_in_chinese(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await visit(box.url, locale="zh-CN")
    await one.open("/apps/shop")
    assert await one.page.locator("html").get_attribute("lang") == "zh"
    await expect(one.page.locator("#verdict")).to_contain_text("1.0 正在提供服务。")
    await one.page.locator("#changes summary").first.click()
    await expect(one.page.locator("#changes")).to_contain_text("启动 web #1")
    await one.page.get_by_role("link", name="English").click()
    await expect(one.page.locator("#verdict")).to_contain_text("1.0 serves.")
    await one.open("/")
    await expect(one.page.locator("h1")).to_contain_text("Everything runs.")


async def test_why_an_instance_died_is_one_click_away(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    (name,) = box.running()
    box.fake.log(name, "opening the shop", "cannot find the key")
    box.fake.write(name, "/tmp/last", b"the last order")
    box.fake.crash(name, 139)
    await box.until(lambda: box.control.shelf.groups("shop"))
    stranger = await visit(box.url)
    await stranger.open("/apps/shop")
    assert await stranger.page.locator("#crashes").count() == 0, "what an instance wrote is not for strangers"
    one = await operator(box, visit)
    await one.open("/apps/shop")
    await one.page.locator("#crashes").get_by_role("link", name="web: ended by SIGSEGV").click()
    await expect(one.page.locator("h1")).to_contain_text("shop/web #1")
    await expect(one.page.locator("#words")).to_contain_text("cannot find the key")
    await expect(one.page.locator("#probes")).to_contain_text("GET /: 200")
    await expect(one.page.locator("#circumstances")).to_contain_text("deploy")
    assert await one.barriers() == []
    async with one.page.expect_download() as downloading:
        await one.page.get_by_role("link", name="All in one signed file").click()
    assert (await downloading.value).suggested_filename.endswith(".crash")


async def test_what_each_route_answers(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml(routes='"shop.local", "shop.local/api"'))
    for path in ("/", "/", "/api"):
        assert (await box.get(path=path))[0] == 200
    one = await operator(box, visit, "read")
    await one.open("/apps/shop")
    rows = one.page.locator("#answers tbody tr")
    await expect(rows).to_have_count(2)
    for number, route, count in ((0, "shop.local", 2), (1, "shop.local/api", 1)):
        cells = rows.nth(number).locator("th, td")
        await expect(cells.nth(0)).to_have_text(route)
        assert int(await cells.nth(1).inner_text()) >= count, "probes through the ingress are counted too"
        assert int(await cells.nth(3).inner_text()) >= count
        assert (await cells.nth(7).inner_text()).endswith(" ms")
    assert await one.barriers() == []


async def test_charts_of_the_first_minute(box: RunningBox, visit: Visit) -> None:
    """No empty axes: first when there will be figures, then those that there are."""
    await box.deploy(toml())
    one = await visit(box.url)
    nothing: list[float | None] = [None] * 360
    known = {name: [*nothing[:-2], 0.25, 0.5] for name in ("cpu", "memory")}
    web = {"service": "web", "slot": 1, **known}
    answers = [
        {"app": "shop", "start": 1.7e9, "step": 10, "instances": [], "routes": []},
        {"app": "shop", "start": 1.7e9, "step": 10, "instances": [web], "routes": []},
    ]

    async def answer(route: Route) -> None:
        await route.fulfill(json=answers.pop(0) if len(answers) > 1 else answers[0])

    await one.page.route("**/api/v1/apps/shop/metrics?*", answer)
    await one.open("/apps/shop")
    charts = one.page.locator("#charts")
    await charts.scroll_into_view_if_needed()
    cpu = charts.locator("[data-chart=cpu]")
    await expect(cpu.locator(".now")).to_contain_text("first figures in")
    await expect(cpu.locator(".plot")).to_be_hidden()
    await charts.get_by_text("24 hours").click()  # asks again
    await expect(cpu.locator(".now")).to_contain_text("50 %")
    await expect(cpu.locator("canvas")).to_be_visible()
    await cpu.locator("summary").click()
    await expect(cpu.locator("tbody tr")).to_have_count(6)
    await expect(charts.locator("[data-chart=requests] .now")).to_have_text("nothing measured yet")
