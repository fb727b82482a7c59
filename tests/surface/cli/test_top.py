"""`minipaas top`: in a pipe, as JSON, and live on a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from typing import Any

import msgspec
import pytest

from minipaas.model.metrics import AppSummary, HostNow, InstanceNow, Seen, Summary

MIB = 1024**2
NONE = (None,) * 60


def instance(slot: int, cpu: float | None, memory: int) -> InstanceNow:
    return InstanceNow(
        service="web",
        slot=slot,
        cpu=cpu,
        memory=memory,
        peak=2 * memory,
        received=1024.0,
        sent=None,
        read=0.0,
        written=0.0,
        pids=3,
    )


def app(name: str, cpu: float, memory: int, requests: float, **more: Any) -> AppSummary:
    plain: dict[str, Any] = {
        "app": name,
        "state": Seen.RUNNING,
        "since": time.time() - 7200,
        "cpu": NONE,
        "memory": NONE,
        "requests": NONE,
        "errors": NONE,
        "requests_now": requests,
        "errors_now": 0.0,
        "p50": 2.5,
        "p99": 1500.0,
        "history": (Seen.RUNNING,) * 48,
        "restarts": 0,
        "restart_gap": None,
        "restarts_since": None,
        "instances": (instance(1, cpu, memory), instance(2, None, memory)),
    }
    return AppSummary(**plain | more)


@pytest.fixture
def summary() -> Summary:
    host = HostNow(
        cpu=0.125,
        cores=4,
        memory_used=512 * MIB,
        memory_total=2048 * MIB,
        disk_used=1,
        disk_total=10,
        load=(0.5, 0.25, 0.1),
        uptime=3 * 86_400.0,
        received=None,
        sent=10.0,
    )
    crashing = app("crashing", 0.0, 1 * MIB, 0.0, state=Seen.DOWN, restarts=9, restart_gap=40.0)
    return Summary(
        at=1.0, step=60, host=host, apps=(app("blog", 0.1, 90 * MIB, 7.0), crashing, app("shop", 0.9, 9, 3.0))
    )


def names(text: str) -> list[str]:
    return [
        line.split()[0]
        for line in text.splitlines()
        if line.split() and line.split()[0] in ("blog", "crashing", "shop")
    ]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("cpu", ["shop", "blog", "crashing"]),
        ("memory", ["blog", "crashing", "shop"]),
        ("requests", ["blog", "shop", "crashing"]),
        ("name", ["blog", "crashing", "shop"]),
    ],
)
def test_one_table_in_a_pipe(box, minipaas, summary, sort, order):
    box.answers["GET /api/v1/metrics"] = (200, summary)
    done = minipaas("top", "--sort", sort)
    assert (done.code, done.err) == (0, "")
    assert "cpu 12 % of 4 cores" in done.out
    assert "512.0 MiB of 2.0 GiB" in done.out
    assert names(done.out) == order
    row = next(line for line in done.out.splitlines() if line.startswith("shop"))
    assert "90.0 %" in row
    assert "2.5 ms" in row and "1.5 s" in row
    assert "9, every 40 s" in done.out


def test_the_instances_of_an_app(box, minipaas, summary):
    box.answers["GET /api/v1/metrics"] = (200, summary)
    done = minipaas("top", "blog", "--once")
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines()[3:]] == [["web", "#1"], ["web", "#2"]]
    assert "180.0 MiB" in done.out


def test_an_app_that_is_not_there(box, minipaas, summary):
    box.answers["GET /api/v1/metrics"] = (200, summary)
    done = minipaas("top", "nothing")
    assert done.code == 4
    assert done.err.startswith("cannot find app nothing")


def test_before_the_first_sample(box, minipaas):
    box.answers["GET /api/v1/metrics"] = (200, Summary(at=0.0, step=60, host=None, apps=()))
    done = minipaas("top")
    assert done.code == 0
    assert "nothing measured yet" in done.out


def test_json_is_the_boxs_answer(box, minipaas, summary):
    box.answers["GET /api/v1/metrics"] = (200, summary)
    done = minipaas("top", "--json")
    assert msgspec.json.decode(done.out, type=Summary) == summary


class Terminal:
    """A `minipaas top` on a pseudo-terminal."""

    def __init__(self, *args: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "MINIPAAS_TOKEN")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minipaas", "top", *args],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env={**plain, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "30"},
        )
        self.told = ""

    def until(self, text: str) -> None:
        """Read on until it was shown."""
        deadline = time.monotonic() + 20
        while text not in self.told:
            assert time.monotonic() < deadline, self.told
            if select.select([self.ours], [], [], 0.1)[0]:
                self.told += os.read(self.ours, 65536).decode()

    def press(self, key: str) -> None:
        self.told = ""
        os.write(self.ours, key.encode())

    def end(self) -> int:
        """The exit code; the terminal is as it was."""
        try:
            deadline = time.monotonic() + 20
            while self.process.poll() is None:
                assert time.monotonic() < deadline, self.told
                if select.select([self.ours], [], [], 0.1)[0]:
                    self.told += os.read(self.ours, 65536).decode()
            assert termios.tcgetattr(self.theirs) == self.before
            return self.process.returncode
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.theirs)
            os.close(self.ours)


def test_live_until_q(box, summary):
    box.answers["GET /api/v1/metrics"] = (200, summary)
    terminal = Terminal()
    terminal.until("shop")
    terminal.until("by cpu")
    terminal.press("m")
    terminal.until("by memory")
    terminal.press("q")
    assert terminal.end() == 0
    assert "\x1b[?1049l" in terminal.told, "the other screen is left"


def test_live_until_ctrl_c_while_the_box_goes_away_and_comes_back(box, summary):
    box.answers["GET /api/v1/metrics"] = [(200, summary), (503, b"{}"), (200, summary)]
    terminal = Terminal("shop")
    terminal.until("trying again")
    terminal.told = ""
    terminal.until("by cpu")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
