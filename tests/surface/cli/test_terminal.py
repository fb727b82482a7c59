"""On a terminal: colour, questions, live steps; and nothing from elsewhere that could take the terminal over."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from minipaas.model.change import ChangeKind
from minipaas.surface import wire
from tests.bundle.builders import make_bundle


def on_terminal(
    *args: str, answer: str = "", interrupt: Callable[[], bool] | None = None, **env: str
) -> tuple[int, str]:
    """Run a command on a pseudo-terminal; its exit code and everything it wrote."""
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "MINIPAAS_TOKEN")}
    process = subprocess.Popen(
        [sys.executable, "-m", "minipaas", *args],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**plain, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", **env},
    )
    os.close(theirs)
    told, until = b"", time.monotonic() + 30
    try:
        while time.monotonic() < until:
            if interrupt is not None and interrupt():
                process.send_signal(signal.SIGINT)
                interrupt = None
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            told += data
            if answer and b"[y/N]" in told:
                os.write(ours, answer.encode())
                answer = ""
        code = process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return code, told.decode().replace("\r\n", "\n")


@pytest.fixture
def shop(box, views):
    box.answers["GET /api/v1/apps"] = (200, views.apps(views.app()))
    box.answers["GET /api/v1/apps/shop"] = (200, views.app())
    box.answers["GET /api/v1/box"] = (200, views.box())
    box.answers["GET /api/v1/apps/shop/preview"] = (200, views.preview())
    box.answers["DELETE /api/v1/apps/shop"] = (202, views.accepted(version=None))
    steps = [views.step(1, "drain web"), views.step(2, "stop web #1 (removed)", ok=False, detail="slow")]
    box.answers["GET /api/v1/changes/7/events"] = views.story(*steps, kind=ChangeKind.REMOVE, version=None)
    return box


def test_colour_only_where_it_is_wanted(shop):
    code, told = on_terminal("status")
    assert code == 0
    assert "\x1b[32mrunning\x1b[0m" in told
    code, told = on_terminal("status", NO_COLOR="1")
    assert code == 0
    assert "\x1b" not in told
    assert "running" in told


def test_errors_are_readable(shop):
    code, told = on_terminal("status", "nothing")
    assert code == 4
    assert told.startswith("\x1b[31mcannot find")


def test_what_apps_write_cannot_take_the_terminal_over(shop):
    nasty = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m \x9b31m\x07 bell\rover"
    shop.answers["GET /api/v1/apps/shop/logs"] = (200, wire.Logs(lines=(wire.LogLine(instance="w", text=nasty),)))
    code, told = on_terminal("logs", "shop")
    assert code == 0
    assert told == "red �31m� bell�over\n"


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 3), ("\n", 3), ("\x04", 130)])
def test_remove_asks(shop, answer, code):
    done, told = on_terminal("remove", "shop", "--volumes", answer=answer)
    assert "DELETE ITS VOLUMES" in told
    assert done == code
    assert ("DELETE /api/v1/apps/shop" in shop.requests()) is (code == 0)


def test_steps_are_shown_live(shop):
    code, told = on_terminal("remove", "shop", "--yes")
    assert code == 0
    assert "drain web" in told
    assert "stop web #1 (removed)" in told
    assert "slow" in told
    assert "shop is removed" in told


def test_deploy_with_a_progress_bar(shop, views, tmp_path):
    bundle = make_bundle(tmp_path, app="shop", version="1.4.2")
    shop.answers["POST /api/v1/bundles/missing"] = (403, {})
    shop.answers["PUT /api/v1/bundles"] = (202, views.accepted())
    shop.answers["GET /api/v1/changes/7/events"] = views.story(views.step(1, "start web #1"))
    code, told = on_terminal("deploy", str(bundle))
    assert code == 0, told
    assert "sending" in told
    for line in ("sent ", "start web #1", "shop 1.4.2 serves", "http://shop.local"):
        assert line in told


def test_a_change_that_is_interrupted_goes_on_and_says_how_to_look(shop, views):
    let_go = threading.Event()

    def hang(handler):
        handler.note_without_body()
        let_go.wait(20)

    shop.answers["POST /api/v1/apps/shop/rollback"] = (202, views.accepted())
    shop.answers["GET /api/v1/changes/7/events"] = hang
    code, told = on_terminal("rollback", "shop", interrupt=lambda: "GET /api/v1/changes/7/events" in shop.requests())
    let_go.set()
    assert code == 130
    assert "change 7 goes on; look with: minipaas changes 7" in told
    assert "Traceback" not in told
