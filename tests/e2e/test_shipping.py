"""Logs of real containers, sent on while `serve` is killed and the destination is away: every line is there."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import counting
from kit.box import Author, Box, fetch, wait_for

from minipaas.model.config import Config
from minipaas.surface import diagnosis
from tests.e2e.hello import HelloBundles
from tests.telemetry.shipping.receivers import Elastic
from tests.telemetry.shipping.rsyslog import Rsyslog

SERVICES, LINES = 2, 6000
CONFIG = """
[[logs.ship]]
name = "search"
kind = "elasticsearch"
url = "{elastic}"
delay = "200ms"

[[logs.ship]]
name = "syslog"
kind = "syslog"
url = "tcp://127.0.0.1:{syslog}"
delay = "200ms"
"""


class Beside:
    """Runs servers beside the test."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def beside() -> Iterator[Beside]:
    one = Beside()
    yield one
    one.close()


def test_every_line_is_sent(
    boxes: Callable[..., Box], author: Author, hello: HelloBundles, beside: Beside, tmp_path: Path
) -> None:
    elastic, rsyslog = Elastic(), Rsyslog(tmp_path / "rsyslog")
    beside.run(elastic.start())
    beside.run(rsyslog.start())
    try:
        hello()  # prepares the example that the writers are made from
        box = boxes(config=CONFIG.format(elastic=elastic.url, syslog=rsyslog.port))
        box.start()
        box.cli("trust", "add", author.root)
        box.cli("deploy", counting.bundle(author, SERVICES, LINES, 0.5), timeout=300)
        wait_for("they are ready", lambda: elastic.lines().count("ready") == SERVICES)
        for container in box.program.podman.containers(counting.APP):
            box.program.podman.run("exec", container, "touch", "/tmp/go")
        time.sleep(0.5)
        beside.run(elastic.stop())
        beside.run(rsyslog.stop(signal.SIGKILL))
        box.kill()
        box.start()
        told = wait_for(
            "it says that they are away",
            lambda: _failing(box) == {"search", "syslog"} and box.cli("shipping", check=False),
        )
        assert told.code == 1
        assert "search: nobody listens there" in told.err
        troubles = diagnosis.box(box.data, Config()).shipping_troubles  # what doctor says of it
        assert "search: nobody listens there" in troubles
        beside.run(elastic.start())
        beside.run(rsyslog.start())
        box.cli("reload")  # one process after the other, both with all destinations
        numbers = [f"number {number} of {LINES}" for number in range(1, LINES + 1)]
        wait_for("all is there", lambda: _of(elastic, numbers[-1]) == SERVICES, seconds=120)
        wait_for("nothing is behind", lambda: not any(one["behind_bytes"] for one in _destinations(box)), seconds=120)
    finally:
        beside.run(elastic.stop())
        beside.run(rsyslog.stop(signal.SIGKILL))
    for service in ("writer0", "writer1"):
        got = [one["message"] for one in elastic.documents.values() if one["service"]["name"] == service]
        assert Counter(got) == Counter(["ready", *numbers])
        said = [one for one in rsyslog.messages() if f'service="{service}"' in one["fields"]]
        ids = {re.search(r'id="([^"]+)"', one["fields"])[1]: one["message"].strip() for one in said}  # type: ignore[index]
        assert Counter(ids.values()) == Counter(["ready", *numbers])
    metrics = fetch(box.page, "/metrics").text
    assert 'minipaas_shipping_up{destination="search"}' in metrics


def _destinations(box: Box) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = box.cli("shipping", "--json", check=False).json["destinations"]
    return found


def _failing(box: Box) -> set[str]:
    return {one["name"] for one in _destinations(box) if one["failing"]}


def _of(elastic: Elastic, text: str) -> int:
    return elastic.lines().count(text)
