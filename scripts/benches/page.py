"""What the status page costs with 200 apps: the reader's browser, and the box while the page is just open.

The box is a `serve` of its own on the tests' fake Podman, so that only its own work is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kit.box import Box, BoxError, Program, fetch, wait_for
from kit.podman import PrivatePodman
from playwright.sync_api import Browser, Page, sync_playwright

from benches.idle import cpu_seconds
from benches.many import fake_process, running
from benches.rows import Row, note

APPS = 200
WINDOW = 60.0
"""Seconds that the page is just open."""
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
PAINT = "performance.getEntriesByName('first-contentful-paint').map((one) => one.startTime)[0] ?? 0"
"""Milliseconds from the navigation to the first content on the screen (W3C Paint Timing)."""

TAKEN = "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.transferSize, 0)"
"""Bytes that the page has asked for since it was opened; the stream of news itself is not among them."""


def bench_page(runs: int) -> list[Row]:
    """First paint, sizes, the server's time for a page, and CPU with one page open against none."""
    with _box() as box:
        wait_for("all run", lambda: box.api("/box")["counts"]["healthy"] == APPS, seconds=180)
        time.sleep(15)  # the first samples and probes are over
        whole = [_timed(box) for _ in range(max(runs, 5) * 4)]
        with _browser() as browser:
            note("the first paint")
            paints = [_first_paint(browser, box) for _ in range(max(runs, 5))]
            alone: list[float] = []
            watched: list[float] = []
            news: list[float] = []
            for number in range(max(runs // 3, 1)):
                note(f"measuring for twice {WINDOW:g} s, run {number + 1}")
                alone.append(_cpu(box))
                page = _open_page(browser, box)
                before = page.evaluate(TAKEN)
                watched.append(_cpu(box))
                news.append((page.evaluate(TAKEN) - before) / 1024)
                page.context.close()
        body = fetch(box.page, "/", headers={"Accept": "text/html"}).body
    costs = [max(0.0, with_page - without) for with_page, without in zip(watched, alone, strict=True)]
    return [
        Row(f"first paint of {APPS} apps, on loopback", paints, "ms", 150),
        Row("  of it the server's work for the page", [one * 1000 for one in whole], "ms"),
        Row("  for each app", [one * 1000 / APPS for one in whole], "ms"),
        Row("size of the page", [len(body) / 1024], "KiB"),
        Row("  what news bring in a minute without any change", news, "KiB"),
        Row("CPU of serve while nobody looks", alone, "%", beside="of one core"),
        Row("  what one open page adds", costs, "%", 0.3, "of one core"),
    ]


@contextlib.contextmanager
def _box() -> Iterator[Box]:
    """`serve` with 200 running apps."""
    directory = Path(tempfile.mkdtemp(prefix="minipaas-page-"))
    try:
        with fake_process(directory) as image, PrivatePodman() as podman:
            note(f"starting {APPS} apps")
            asyncio.run(_bring_up(directory, image))
            box = Box(directory / "box", Program(podman))
            box.data = directory
            box.config.write_text(box.config.read_text().replace(podman.url, f"unix://{directory}/podman.sock"))
            with box:
                yield box
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _bring_up(directory: Path, image: str) -> None:
    async with running(directory, image, APPS, 1):
        pass


@contextlib.contextmanager
def _browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        raise BoxError("chromium is not installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def _timed(box: Box) -> float:
    """Seconds for the whole page, without a browser."""
    began = time.monotonic()
    fetch(box.page, "/", headers={"Accept": "text/html"})
    return time.monotonic() - began


def _first_paint(browser: Browser, box: Box) -> float:
    """Of a second visit, milliseconds: scripts and styles are in the browser's store, as they are for whoever comes
    more than once."""
    with browser.new_context(base_url=f"http://127.0.0.1:{box.page}") as context:
        page = context.new_page()
        taken: list[float] = []
        for _ in range(2):
            page.goto("/", wait_until="load")
            # as a function: an expression would be evaluated by the page, whose policy forbids that
            page.wait_for_function(f"() => ({PAINT}) > 0")
            taken.append(page.evaluate(PAINT))
        return taken[-1]


def _open_page(browser: Browser, box: Box) -> Page:
    """A page that is open, and has come to rest."""
    page = browser.new_context(base_url=f"http://127.0.0.1:{box.page}").new_page()
    page.goto("/", wait_until="load")
    page.locator("#live.good").wait_for(state="attached")
    page.wait_for_timeout(3000)
    return page


def _cpu(box: Box) -> float:
    """Percent of a core that `serve` uses."""
    before, began = cpu_seconds(box.pid), time.monotonic()
    time.sleep(WINDOW)
    return 100 * (cpu_seconds(box.pid) - before) / (time.monotonic() - began)
