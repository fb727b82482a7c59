"""Chromium, one for all tests of a worker. Its tests share one event loop, because a browser belongs to one."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.visitor import Visitor

FLAGS = (
    "--no-sandbox",  # the tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Visit = Callable[..., Coroutine[Any, Any, Visitor]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Debian's Chromium with an empty profile, without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("chromium is not installed; on Debian: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(chromium: Browser) -> AsyncIterator[Visit]:
    """`await visit(url)` brings a visitor; what it saw is judged at the end of the test."""
    here: list[Visitor] = []

    async def come(url: str, **options: Any) -> Visitor:
        here.append(await Visitor.come(chromium, url, **options))
        return here[-1]

    yield come
    for visitor in here:
        await visitor.leave()
