"""A visitor: one tab on one box. What always holds: an error in the browser's console (every violation of the Content
Security Policy is one), an exception in a script, or a request to anywhere but the box fails the test."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, Response, expect

from tests.npm import node_modules

PATIENCE = 30_000
"""Milliseconds that the browser waits for what should come."""
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
_SERIOUS = ("serious", "critical")


NETWORK_CHANGED = r"net::ERR_NETWORK_CHANGED|htmx:(sendError|afterRequest)"
"""Chromium gives up what is under way when an interface comes or goes, as one does with every container beside it, and
says so in its console; the page asks again by itself (test_network.py)."""


class Visitor:
    """`page` is Playwright's; this adds what all tests of the page look for."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        self._wanted: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        page.on("request", lambda request: self._asked(request.url))

    @classmethod
    async def come(cls, browser: Browser, url: str, **options: Any) -> Visitor:
        """A new visitor without any past. Options: those of Playwright's `new_context`."""
        settings = {"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "UTC", "reduced_motion": "reduce", **options}
        context = await browser.new_context(base_url=url, **settings)
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        return cls(await context.new_page(), url)

    async def leave(self) -> None:
        """Close the tab and forget everything. Fails when something was wrong on the way."""
        await self.page.context.close()
        wrong = [error for error in self.errors if not any(re.search(one, error) for one in self._wanted)]
        assert not wrong, "\n".join(wrong)

    def expect(self, pattern: str) -> None:
        """Errors in the console that match belong to the story: a browser reports each answer of 4xx there."""
        self._wanted.append(pattern)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _asked(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.errors.append(f"a request to {url}")

    async def open(self, path: str = "/") -> Response:
        """Go to a page of the box."""
        response = await self.page.goto(path, wait_until="load")
        assert response is not None
        return response

    async def sign_in(self, secret: str) -> None:
        """With a token, by the form; ends on the overview."""
        await self.open("/sign-in")
        await self.page.locator("#token").fill(secret)
        await self.page.keyboard.press("Enter")
        await self.page.get_by_role("button", name="Sign out").wait_for()

    async def live(self) -> None:
        """Wait until the page hears of news."""
        await self.page.locator("#live.good").wait_for(state="attached")

    async def barriers(self) -> list[str]:
        """What axe-core finds on this page that keeps people out: serious and critical only, one line each."""
        await self.page.evaluate(_axe())
        found = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['impact']}: {one['id']}: {one['help']}: {node['html'][:200]} {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in _SERIOUS
            for node in one["nodes"]
        ]

    async def overflow(self) -> str:
        """What is wider than the window; empty when nothing scrolls sideways."""
        wide: str = await self.page.evaluate("""() => {
            const root = document.documentElement;
            if (root.scrollWidth <= root.clientWidth) return "";
            const wide = [...document.querySelectorAll("body *")].filter(
                (one) => one.getBoundingClientRect().right > root.clientWidth + 1);
            return [`${root.scrollWidth} > ${root.clientWidth}:`, ...wide.map((one) => one.outerHTML.slice(0, 80))]
                .join("\\n");
        }""")
        return wide


@cache
def _axe() -> str:
    package = Path(__file__).with_name("package.json")
    return (node_modules(package) / "axe-core/axe.min.js").read_text()
