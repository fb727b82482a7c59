"""The main flows without a mouse: everything is reached by Tab, done by Enter or Space, and left by Escape."""

from __future__ import annotations

import asyncio

from playwright.async_api import FileChooser, Page, expect

from tests.boxes import RunningBox, toml
from tests.browser.fixtures import Visit
from tests.browser.visitor import PATIENCE

MOST = 60
"""Presses of Tab until something must have been reached."""


FOCUSED = """() => {
    const one = document.activeElement;
    const told = one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText;
    return [told.trim(), getComputedStyle(one).outlineStyle !== "none" || one.closest(".drop") !== null];
}"""
"""[what has the focus is called, whether that is seen]"""


async def tab_to(page: Page, name: str) -> None:
    """Go on until the focus is on what is called so."""
    for _ in range(MOST):
        await page.keyboard.press("Tab")
        told, seen = await page.evaluate(FOCUSED)
        if told.startswith(name):
            assert seen, f"{name} has the focus, and nobody sees it"
            return
    raise AssertionError(f"{name} is not reached by {MOST} presses of Tab")


async def test_signing_in_restarting_and_uploading(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    visitor = await visit(box.url)
    page = visitor.page
    await visitor.open("/")
    await tab_to(page, "Sign in")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    await page.wait_for_load_state()
    await tab_to(page, await page.locator("label[for=token]").inner_text())
    await page.keyboard.type(await box.token("deploy", "laptop"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()

    await tab_to(page, "shop")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("shop")
    await tab_to(page, "Restart")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("link", name="Restart")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog").get_by_role("button", name="Restart")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#changes")).to_contain_text("Restart")

    chosen: asyncio.Future[FileChooser] = asyncio.get_running_loop().create_future()
    # Long before the key, so that the browser has heard of it; Playwright takes no built-in method.
    page.once("filechooser", lambda one: chosen.set_result(one))  # noqa: PLW0108
    await visitor.open("/upload")
    await tab_to(page, "Choose bundles")
    await page.keyboard.press("Enter")
    async with asyncio.timeout(PATIENCE / 1000):
        chooser = await chosen
    await chooser.set_files(box.bundle(toml(version="2.0"), version="2.0"))
    await expect(page.get_by_role("button", name="Deploy shop 2.0")).to_be_visible()
    await tab_to(page, "Deploy shop 2.0")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("shop 2.0 serves.")).to_be_visible()
