"""A network that loses requests: what only asks is asked again, what changes something is not, and it is said."""

from __future__ import annotations

from playwright.async_api import Route, expect

from tests.boxes import RunningBox, toml
from tests.browser.fixtures import Visit
from tests.browser.test_app_page import operator
from tests.browser.visitor import Visitor
from tests.fakepodman.behaviour import Behaviour

LOST = r"net::ERR_|htmx:(sendError|afterRequest)"


class Losing:
    """Loses the next so many requests of the page's scripts, as Chromium does when an interface comes."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self.left = 0
        self.lost: list[str] = []

    async def begin(self, count: int, error: str = "internetdisconnected") -> None:
        self._visitor.expect(LOST)
        self.left, self._error = count, error
        await self._visitor.page.route("**/*", self._pass)

    async def _pass(self, route: Route) -> None:
        if self.left and route.request.headers.get("hx-request"):
            self.left -= 1
            self.lost.append(route.request.method)
            await route.abort(self._error)
        else:
            await route.continue_()


async def test_news_that_were_lost_are_asked_for_again(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await visit(box.url)
    await one.open("/")
    await one.live()
    network = Losing(one)
    await network.begin(3)
    box.fake.behave(Behaviour(exit_code=1, lifetime=0.02))
    box.fake.crash(box.running()[0], 1)
    await expect(one.page.locator("h1")).to_contain_text("shop is down since")
    assert network.lost == ["GET", "GET", "GET"]
    await expect(one.page.locator("#live.good")).to_have_text("live")


async def test_a_click_that_was_lost_is_asked_again(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit)
    await one.open("/apps/shop")
    network = Losing(one)
    await network.begin(2)
    await one.page.get_by_role("link", name="Restart").click()
    dialog = one.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Restart shop?")
    assert network.lost[:2] == ["GET", "GET"]
    before = len(await box.control.registry.changes("shop", 9))

    await one.page.unroute_all()
    await network.begin(1)
    await dialog.get_by_role("button", name="Restart").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("it is not known whether it has heard of this")
    assert network.lost[-1] == "POST"
    assert await one.barriers() == []
    assert len(await box.control.registry.changes("shop", 9)) == before, "what changes something is sent once"
    await dialog.get_by_role("button", name="Restart").click()
    await expect(dialog).not_to_be_visible()
    assert len(await box.control.registry.changes("shop", 9)) == before + 1


async def test_a_box_that_cannot_be_reached_is_said_and_so_is_its_return(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await visit(box.url)
    one.expect(LOST)
    await one.open("/")
    await one.live()
    await one.page.context.set_offline(True)
    await one.page.evaluate("document.body.dispatchEvent(new Event('news'))")
    await expect(one.page.locator("#live.bad")).to_have_text("box does not answer")
    await expect(one.page.locator("#announce")).to_have_text("box does not answer")
    await expect(one.page.locator("h1")).to_contain_text("Everything runs.")
    await one.page.context.set_offline(False)
    await expect(one.page.locator("#live.good")).to_have_text("live")
    await expect(one.page.locator("#announce")).to_have_text("The box answers again.")
