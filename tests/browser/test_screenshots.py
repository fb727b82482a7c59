"""The pictures of docs/screenshots. `scripts/test --screenshots` takes them anew; a usual run proves with two that they
can be taken, and leaves the files as they are."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.boxes import RunningBox
from tests.browser.fixtures import Visit
from tests.browser.scene import toml
from tests.browser.visitor import PHONE, Visitor

WHERE = os.environ.get("MINIPAAS_SCREENSHOTS", "")
PICTURES: dict[str, tuple[str, dict[str, object]]] = {
    "overview": ("/", {}),
    "overview-dark": ("/", {"color_scheme": "dark"}),
    "overview-zh": ("/?lang=zh", {}),
    "overview-phone": ("/", {"viewport": PHONE}),
    "app": ("/apps/guestbook", {}),
    "app-failed-phone-dark": ("/apps/shop", {"viewport": PHONE, "color_scheme": "dark"}),
    "box": ("/box", {}),
    "box-dark-zh": ("/box?lang=zh", {"color_scheme": "dark"}),
    "audit": ("/audit?action=deploy", {}),
    "logs": ("/apps/shop/logs", {}),
    "timeline": ("/apps/shop/timeline", {}),
}
NARROW = {"width": 1000, "height": 640}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def secret(scene: RunningBox) -> str:
    """One token for all pictures."""
    if WHERE:
        await asyncio.sleep(12)  # two samples, so that the pictures show what is used now
    return await scene.token("admin", "laptop")


@pytest.mark.parametrize("name", PICTURES if WHERE else ["app", "timeline"])
async def test_picture(scene: RunningBox, visit: Visit, secret: str, name: str) -> None:
    path, options = PICTURES[name]
    visitor = await visit(scene.url, **{"viewport": NARROW, **options})
    await visitor.sign_in(secret)
    await visitor.open(path)
    if path.startswith(("/apps", "/box")) and not path.endswith(("/logs", "/timeline")):
        await visitor.page.locator("#charts").scroll_into_view_if_needed()  # they are drawn when they are seen
        await expect(visitor.page.locator("#charts canvas").first).to_be_attached()
    await asyncio.to_thread(keep, name, await whole(visitor))


async def test_picture_of_a_crash(scene: RunningBox, visit: Visit, secret: str) -> None:
    group = scene.control.shelf.groups("shop")[0]
    visitor = await visit(scene.url, viewport=NARROW)
    await visitor.sign_in(secret)
    await visitor.open(f"/crashes/{group.id}")
    await expect(visitor.page.locator("#words")).to_contain_text("cannot find the database")
    await asyncio.to_thread(keep, "crash", await whole(visitor))


async def test_picture_of_an_upload(scene: RunningBox, visit: Visit, secret: str) -> None:
    visitor = await visit(scene.url, viewport=NARROW)
    await visitor.sign_in(secret)
    await visitor.open("/upload")
    text = toml("guestbook", "1.5.0", "Visitors leave a line", ("guestbook.local",), replicas=3)
    path = scene.bundle(text, version="1.5.0", app="guestbook").rename(scene.directory / "guestbook-1.5.0.bundle")
    await visitor.page.get_by_label("Choose bundles").set_input_files(path)
    await expect(visitor.page.get_by_role("button", name="Deploy guestbook 1.5.0")).to_be_visible()
    await visitor.page.locator("details").first.locator("summary").click()
    await asyncio.to_thread(keep, "upload", await whole(visitor))
    await visitor.page.get_by_role("button", name="Throw away").click()
    await expect(visitor.page.get_by_text("Thrown away. Nothing was changed.")).to_be_visible()


async def test_picture_of_a_terminal(scene: RunningBox, visit: Visit, secret: str) -> None:
    visitor = await visit(scene.url, viewport=NARROW)
    await visitor.sign_in(secret)
    await visitor.open("/apps/guestbook/shell?service=redis&slot=1")
    await visitor.page.get_by_label("Reason").fill("orders of this morning are missing")
    await visitor.page.get_by_role("button", name="Open a shell").click()
    rows = visitor.page.locator(".xterm-rows")
    await expect(rows).to_contain_text("#")
    for line, shown in (
        ("PS1='/data # '; clear", "/data #"),
        ("grep --color=always -n root /etc/passwd", "/bin/"),
        ("ls --color=always -l /usr", "src/data # "),
    ):
        await visitor.page.keyboard.type(line)
        await visitor.page.keyboard.press("Enter")
        await expect(rows).to_contain_text(shown)
    await asyncio.to_thread(keep, "terminal", await visitor.page.screenshot())
    await visitor.page.keyboard.type("exit\n")
    await expect(visitor.page.locator("#told")).to_contain_text("It has ended with exit code 0.")


async def whole(visitor: Visitor) -> bytes:
    """All of the page. The window grows to its height, because what nobody sees is not painted."""
    page = visitor.page
    height = await page.evaluate("document.documentElement.scrollHeight")
    await page.set_viewport_size({"width": page.viewport_size["width"], "height": height})
    await page.wait_for_timeout(300)
    return await page.screenshot()


def keep(name: str, picture: bytes) -> None:
    """Into the directory that was asked for, if one was."""
    if WHERE:
        Path(WHERE).mkdir(parents=True, exist_ok=True)
        (Path(WHERE) / f"{name}.png").write_bytes(picture)
