"""The service manager hears what it has to, and nothing from a box that is stuck."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from minipaas.model.errors import MinipaasError
from minipaas.takeover.notify import notify, reloading, watch, watchdog_interval


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.bind(str(tmp_path / "notify"))
        one.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield one


def test_states_go_out_one_a_line(manager: socket.socket) -> None:
    notify("READY=1", "STATUS=well")
    assert manager.recv(100) == b"READY=1\nSTATUS=well"
    reloading()
    first, second = manager.recv(100).split(b"\n")
    assert first == b"RELOADING=1"
    assert int(second.removeprefix(b"MONOTONIC_USEC=")) > 0


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_interval_is_half_of_what_is_waited(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_interval(environ) == seconds


async def test_a_start_is_a_sign_and_a_box_that_does_not_answer_gives_none() -> None:
    states = iter(["well", "stuck", "broken", "well"])
    said: list[str] = []
    asked = asyncio.Event()

    async def alive() -> None:
        state = next(states, None)
        if state is None:
            asked.set()
            await asyncio.sleep(60)
        said.append(str(state))
        if state == "stuck":
            await asyncio.sleep(60)
        if state == "broken":
            raise MinipaasError("cannot read the registry: it is gone")

    watching = asyncio.create_task(watch(0.02, alive, lambda: said.append("sign")), name="watchdog")
    async with asyncio.timeout(60):
        await asked.wait()
    watching.cancel()
    assert said == ["sign", "well", "sign", "stuck", "broken", "well", "sign"]
