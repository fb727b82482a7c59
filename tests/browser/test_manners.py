"""How every page behaves: for screen readers, on a phone, in the dark, without JavaScript, while news come in."""

from __future__ import annotations

import pytest

from tests.boxes import RunningBox
from tests.browser.fixtures import Visit
from tests.browser.scene import APPS
from tests.browser.visitor import PHONE

PAGES = ("/", "/apps/shop", "/apps/gateway", "/apps/sensors", "/box", "/upload", "/sign-in")
SIGNED_IN = (*PAGES, "/audit", "/audit?result=maybe")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_nothing_keeps_people_out(scene: RunningBox, visit: Visit, scheme: str, size: str) -> None:
    options = {"viewport": PHONE} if size == "phone" else {}
    visitor = await visit(scene.url, color_scheme=scheme, **options)
    visitor.expect("400")
    if scheme == "dark":
        await visitor.sign_in(await scene.token("admin"))
        await visitor.open("/?lang=zh" if size == "phone" else "/")
    for path in SIGNED_IN if scheme == "dark" else PAGES:
        await visitor.open(path)
        assert await visitor.barriers() == [], path
        assert await visitor.overflow() == "", path


async def test_without_javascript_it_is_a_plain_page(scene: RunningBox, visit: Visit) -> None:
    visitor = await visit(scene.url, java_script_enabled=False)
    for path in PAGES:
        await visitor.open(path)
        assert await visitor.page.locator("h1").count() == 1
    await visitor.open("/")
    await visitor.page.locator("main").get_by_role("link", name="shop", exact=True).click()
    assert visitor.page.url.endswith("/apps/shop")


async def test_the_most_urgent_app_comes_first(scene: RunningBox, visit: Visit) -> None:
    visitor = await visit(scene.url)
    await visitor.open("/")
    names = await visitor.page.locator("main h3 a").all_inner_texts()
    assert names == list(APPS)
