"""A shell in the page: a real terminal on a real shell (the fake Podman runs processes), on a lease that is seen."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from aiohttp import web
from playwright.async_api import WebSocketRoute, expect

from minipaas.model.lease import Ending
from tests.boxes import RunningBox, toml
from tests.browser.fixtures import Visit
from tests.browser.test_app_page import operator
from tests.browser.visitor import PHONE, Visitor

ROWS = ".xterm-rows"
STRANGE = "<!doctype html><link rel=icon href='data:,'><title>Strange</title>"


async def open_shell(one: Visitor, reason: str = "to see what it says") -> None:
    """From the row of the instance to a prompt."""
    await one.open("/apps/shop")
    await one.page.get_by_role("link", name="Open a shell in web #1").click()
    await begin(one, reason)


async def begin(one: Visitor, reason: str) -> None:
    await one.page.get_by_label("Reason").fill(reason)
    await one.page.get_by_role("button", name="Open a shell").click()
    await expect(one.page.locator("#lease")).to_contain_text("shop-web-1")
    await expect(one.page.locator(".xterm textarea")).to_be_focused()
    await expect(one.page.locator(ROWS)).to_contain_text(re.compile(r"[$#]"))


async def typed(one: Visitor, text: str) -> None:
    await one.page.keyboard.type(text)
    await one.page.keyboard.press("Enter")


async def test_a_shell_from_its_row_to_its_exit_code(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit)
    await open_shell(one)
    rows = one.page.locator(ROWS)
    await typed(one, "echo $((6*7))$TERM")
    await expect(rows).to_contain_text("42xterm-256color")

    looker = await visit(box.url)
    await looker.sign_in(await box.token("read", "looker"))
    await looker.open("/apps/shop")
    await expect(looker.page.locator("#access")).to_contain_text("to see what it says")
    await expect(looker.page.locator("#access")).to_contain_text("a shell: minipaas-shop-web-1-1, until")
    await expect(looker.page.locator("#service-web")).to_contain_text("entered by token laptop")
    assert await looker.page.get_by_role("link", name="Open a shell").count() == 0, "they may only look"
    await looker.live()

    await typed(one, "exit 7")
    await expect(one.page.locator("#told")).to_have_text("It has ended with exit code 7.")
    await expect(one.page.get_by_role("button", name="Open another")).to_be_focused()
    await expect(looker.page.locator("#access")).to_have_count(0)
    async with one.page.expect_download() as downloading:
        await one.page.get_by_role("link", name="The recording").click()
    path = await (await downloading.value).path()
    header, *events = await asyncio.to_thread(lambda: [json.loads(line) for line in path.read_text().splitlines()])
    assert header["title"].endswith("to see what it says")
    assert "42xterm-256color" in "".join(text for _, kind, text in events if kind == "o")
    audit = [row.action for row in await box.control.registry.audit_log(9)]
    assert {"access.shell", "access.shell.end"} <= set(audit)


async def test_size_colours_and_ctrl_c(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit)
    await open_shell(one)
    rows = one.page.locator(ROWS)

    await typed(one, "clear; while :; do printf '\\rnow %s wide' $(stty size | cut -d' ' -f2); sleep 0.1; done")
    await expect(rows).to_have_text(re.compile(r"now 1\d\d wide"))
    await one.page.set_viewport_size({"width": 600, "height": 900})
    await expect(rows).to_have_text(re.compile(r"now [5-7]\d wide"))
    await one.page.keyboard.press("Control+c")
    await typed(one, "clear; echo be$((6*7))gun; sleep 1000; echo no")
    await expect(rows).to_contain_text("be42gun")
    await one.page.keyboard.press("Control+c")
    await typed(one, "echo left with $?")
    await expect(rows).to_contain_text("left with 130")

    await typed(one, "printf '\\033[38;2;10;60;200mblue\\033[0m \\033[32mgreen\\033[0m\\n'")
    await expect(rows.locator("span", has_text=re.compile("^green$"))).to_be_visible()
    plain = await rows.evaluate("one => getComputedStyle(one).color")
    for word in ("blue", "green"):
        colour = rows.locator("span", has_text=re.compile(f"^{word}$"))
        assert await colour.evaluate("one => getComputedStyle(one).color") != plain

    await typed(one, "yes flood")
    await expect(rows).to_contain_text("flood")
    await asyncio.sleep(1)
    await one.page.keyboard.press("Control+c")
    await typed(one, "clear; echo quiet")
    await expect(rows).to_have_text(re.compile("quiet"))
    await expect(rows).not_to_contain_text("flood")


async def test_it_works_and_can_be_left_by_keyboard(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit)
    await one.open("/apps/shop/shell")
    assert await one.barriers() == []
    await expect(one.page.get_by_label("Reason")).to_be_focused()
    await one.page.keyboard.type("by keyboard")
    await one.page.keyboard.press("Enter")
    await expect(one.page.locator(".xterm textarea")).to_be_focused()
    await one.page.keyboard.press("Tab")
    await expect(one.page.locator(".xterm textarea")).to_be_focused()
    await typed(one, "echo for everybody")
    await expect(one.page.get_by_role("listitem").filter(has_text="for everybody").last).to_be_attached()
    assert await one.barriers() == []
    await one.page.keyboard.press("Control+Shift+Enter")
    await expect(one.page.get_by_role("button", name="End it")).to_be_focused()
    await one.page.keyboard.press("Enter")
    await expect(one.page.locator("#told")).to_have_text("It has ended.")
    (lease,) = await box.control.access.kept.newest(9)
    assert lease.ending is Ending.DONE
    await one.page.keyboard.press("Enter")
    await expect(one.page.get_by_label("Reason")).to_have_value("by keyboard")
    await begin(one, "again")
    await typed(one, "echo a second one")
    await expect(one.page.locator(ROWS)).to_contain_text("a second one")
    await expect(one.page.locator(ROWS)).not_to_contain_text("for everybody")


async def test_on_a_phone_in_the_dark_in_chinese(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await visit(box.url, viewport=PHONE, color_scheme="dark", locale="zh-CN", has_touch=True, is_mobile=True)
    await one.open("/sign-in")
    await one.page.locator("#token").fill(await box.token("admin", "phone"))
    await one.page.keyboard.press("Enter")
    await one.page.get_by_role("button", name="退出登录").wait_for()
    await one.open("/apps/shop/shell?service=web&slot=1")
    await one.page.locator("#reason").fill("看看")
    await one.page.get_by_role("button", name="打开终端").click()
    await expect(one.page.locator("#lease")).to_contain_text("身份 token phone")
    await typed(one, "echo be$((6*7))gun; sleep 1000")
    await expect(one.page.locator(ROWS)).to_contain_text("be42gun")
    await one.page.get_by_role("button", name="Ctrl-C").click()
    await typed(one, "echo left with $?")
    await expect(one.page.locator(ROWS)).to_contain_text("left with 130")
    assert await one.overflow() == ""
    assert await one.barriers() == []
    await one.page.get_by_role("button", name="Ctrl-D").click()
    await expect(one.page.locator("#told")).to_contain_text("已结束，退出码")


async def test_every_end_is_said(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit)
    await open_shell(one)
    told = one.page.locator("#told")
    other = await visit(box.url)
    await other.sign_in(await box.token("admin", "chief"))
    await other.open("/apps/shop")
    await other.page.get_by_role("button", name="End it").click()
    await expect(told).to_have_text("The access was taken back: ended by token chief via page.")

    await one.page.get_by_role("button", name="Open another").click()
    await begin(one, "for a second")
    (first,) = box.running()
    box.fake.crash(first, 137)
    await expect(told).to_have_text("The instance has ended, and the shell with it.")

    await box.until(lambda: [one for one in box.instances("shop") if one.healthy and one.name != first])
    await one.page.get_by_role("button", name="Open another").click()
    await begin(one, "until nobody may")
    await box.control.registry.revoke_token("laptop", actor="test", origin="test", now=time.time())
    await expect(told).to_contain_text("whoever opened it may not be inside any more")


async def test_a_connection_that_is_lost_is_said(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit)
    between: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        between.extend((route, route.connect_to_server()))

    await one.page.route_web_socket(re.compile("/exec$"), through)
    await open_shell(one)
    for end in between:
        await end.close(code=3000)
    await expect(one.page.locator("#told")).to_have_text("The connection was lost, and the shell has ended with it.")
    await box.until(lambda: not box.control.access.leases.open_now)
    (lease,) = await box.control.access.kept.newest(9)
    assert lease.ending is Ending.LOST


async def test_without_a_shell_there_are_tools(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    (name,) = box.running()
    box.fake.change(name, replace(box.fake.container(name).behaviour, lacks=("sh",)))
    one = await operator(box, visit)
    await open_shell(one)
    await expect(one.page.locator(ROWS)).to_contain_text("no shell of its own")
    await typed(one, "echo tools")
    await expect(one.page.locator(ROWS)).to_contain_text("tools")


async def test_into_a_crash_scene(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    box.fake.crash(box.running()[0], 139)
    await box.until(lambda: box.control.shelf.groups("shop"))
    one = await operator(box, visit)
    await one.open(f"/crashes/{box.control.shelf.groups('shop')[0].id}")
    await one.page.get_by_role("link", name="Open a shell").click()
    await begin(one, "what did it write?")
    await typed(one, "echo in the scene")
    await expect(one.page.locator(ROWS)).to_contain_text("in the scene")
    await other_sees(box, visit, "a shell in a kept scene")
    await typed(one, "exit")
    await expect(one.page.locator("#told")).to_contain_text("It has ended")


async def other_sees(box: RunningBox, visit: Visit, text: str) -> None:
    looker = await visit(box.url)
    await looker.sign_in(await box.token("read", "looker"))
    await looker.open("/apps/shop")
    await expect(looker.page.locator("#access")).to_contain_text(text)


async def test_no_page_of_another_site_opens_one(box: RunningBox, visit: Visit) -> None:
    """Also one on another port of this host, where an app may listen: for cookies that is the same site."""
    await box.deploy(toml())
    one = await operator(box, visit)
    async with strange_page() as url:
        one.expect(re.escape(url))
        one.expect("WebSocket connection to .* failed")
        await one.page.goto(url)
        outcome = await one.page.evaluate(
            """(url) => new Promise((done) => {
                const socket = new WebSocket(url);
                socket.onopen = () => done("open");
                socket.onclose = ({ code }) => done(code);
            })""",
            box.url.replace("http", "ws") + "/api/v1/apps/shop/exec",
        )
    assert outcome == 1006
    assert not box.control.access.leases.open_now
    refused = [row for row in await box.control.registry.audit_log(9) if row.action == "refused"]
    assert refused and refused[0].actor == "token laptop via page", "the cookie came along, and was not enough"


@asynccontextmanager
async def strange_page() -> AsyncIterator[str]:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=STRANGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site.port}"
    finally:
        await runner.cleanup()
