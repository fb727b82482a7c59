"""What all tests share: e2e tests run one after the other, on one worker; the summary says what was tested."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

KINDS = {"e2e": "on real Podman", "chromium": "in Chromium", "strangers": "other people's tools"}


def pytest_configure() -> None:
    """Ctrl-C works in what tests start, also where a shell has started these in the background and told them to
    ignore it (POSIX 2.11)."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One private Podman serves all e2e tests, so they share a worker; said before the workers look at the groups."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group("podman"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many of which kind, above pytest's own closing line."""
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            kind = next((word for mark, word in KINDS.items() if mark in report.keywords), "unit tests")
            counts[kind, outcome] += 1
    if not counts:
        return
    terminalreporter.section("what was tested")
    for kind in ("unit tests", *KINDS.values()):
        told = [
            f"{counts[kind, outcome]} {outcome}"
            for outcome in ("passed", "failed", "error", "skipped")
            if counts[kind, outcome]
        ]
        if told:
            terminalreporter.write_line(f"{kind:22} {', '.join(told)}")
