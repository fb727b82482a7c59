"""The page in Chromium with real Podman and real software: bundles of megabytes, verified, deployed, and used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from kit.box import Box
from playwright.async_api import expect

from tests.browser.fixtures import Visit, chromium, visit
from tests.browser.visitor import NETWORK_CHANGED

__all__ = ["chromium", "visit"]
pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]
DEPLOYED = 60_000
"""Milliseconds for containers to start and to be found healthy."""


async def test_guestbook_is_brought_by_a_browser(box: Box, example: Callable[[str], Path], visit: Visit) -> None:
    bundle = example("guestbook")
    visitor = await visit(f"http://127.0.0.1:{box.page}")
    page = visitor.page
    visitor.expect(NETWORK_CHANGED)
    await visitor.sign_in(box.cli("token", "new", "laptop", "--role", "deploy").out.strip())
    await visitor.open("/upload")
    await page.get_by_label("Choose bundles").set_input_files(bundle)
    await page.get_by_role("button", name="Deploy guestbook").click(timeout=DEPLOYED)
    await expect(page.locator(".upload p.good")).to_contain_text("serves.", timeout=DEPLOYED)
    await expect(page.locator(".upload")).to_contain_text("run the release hook of web")
    assert box.get("/", host="guestbook.localhost").status == 200
    await visitor.open("/")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Everything runs.")


async def test_a_large_bundle_of_a_stranger_is_refused_before_the_bulk(
    boxes: Callable[..., Box], example: Callable[[str], Path], visit: Visit
) -> None:
    box = boxes()
    box.start()  # it trusts nobody
    visitor = await visit(f"http://127.0.0.1:{box.page}")
    visitor.expect("422")
    visitor.expect(NETWORK_CHANGED)
    await visitor.sign_in(box.cli("token", "new", "laptop", "--role", "deploy").out.strip())
    await visitor.open("/upload")
    await visitor.page.get_by_label("Choose bundles").set_input_files(example("guestbook"))
    alert = visitor.page.get_by_role("alert")
    await expect(alert).to_contain_text("cannot accept a bundle: this box trusts nobody yet", timeout=DEPLOYED)
    await expect(alert).to_contain_text("minipaas trust add")
