"""Every error, wherever it comes from, is a sentence, a hint and an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from minipaas.surface.cli.main import run

CASES = [
    ("failed", 500, 1),
    ("invalid", 422, 2),
    ("refused", 422, 3),
    ("conflict", 409, 3),
    ("forbidden", 403, 3),
    ("missing", 404, 4),
    ("unreachable", 502, 5),
    ("no_space", 507, 1),
    ("engine", 502, 1),
    ("engine_down", 503, 1),
    ("deadline", 504, 1),
]


@pytest.mark.parametrize(("kind", "status", "code"), CASES)
def test_what_the_box_says_becomes_text_and_exit_code(box, boxes, minipaas, kind, status, code):
    box.answers["GET /api/v1/apps/shop"] = (status, boxes.error(kind, "cannot show shop: no", "do this", "a.rule"))
    done = minipaas("status", "shop")
    assert (done.code, done.out) == (code, "")
    assert done.err == "cannot show shop: no\n→ do this\n"


@pytest.mark.parametrize(("kind", "status", "code"), CASES)
def test_errors_are_json_with_json(box, boxes, minipaas, kind, status, code):
    box.answers["GET /api/v1/apps/shop"] = (status, boxes.error(kind, "cannot show shop: no", "do this", "a.rule"))
    done = minipaas("status", "shop", "--json")
    assert (done.code, done.out) == (code, "")
    assert json.loads(done.err) == boxes.error(kind, "cannot show shop: no", "do this", "a.rule")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, b"<html>nginx</html>", 4),
        (403, b"", 3),
        (401, b"{}", 3),
        (502, b"bad gateway", 5),
        (503, b"", 5),
        (500, b"\xff\xfe", 1),
        (418, b'{"error": "teapot"}', 1),
        (422, b'{"error": {"kind": "of a newer version", "message": "cannot do it: new"}}', 2),
    ],
)
def test_an_answer_that_is_not_ours_still_ends_well(box, minipaas, status, body, code):
    box.answers["GET /api/v1/apps"] = (status, body)
    done = minipaas("status")
    assert done.code == code
    assert done.err.startswith("cannot ")
    assert "Traceback" not in done.err


@pytest.mark.parametrize("body", [b"not json", b"", b'{"apps": 3}', b"[]"])
def test_an_answer_that_cannot_be_understood(box, minipaas, body):
    box.answers["GET /api/v1/apps"] = (200, body)
    done = minipaas("status")
    assert done.code == 1
    assert "cannot understand the answer of unix://" in done.err
    assert "minipaas version" in done.err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["stats"], "did you mean: minipaas status"),
        (["frobnicate"], "minipaas --help"),
        (["status", "--jason"], "minipaas status --help"),
        (["logs"], "minipaas logs --help"),
        (["logs", "shop/"], "APP/SERVICE"),
        (["token", "new", "ci"], "minipaas token new --help"),
        (["token", "new", "ci", "--role", "king"], "king"),
        (["status", "--to", "edge1"], "unix:///path"),
        (["deploy", "/nonexistent.bundle"], "nonexistent.bundle"),
    ],
)
def test_usage_errors_exit_2_and_say_what_to_type(box, minipaas, args, says):
    done = minipaas(*args)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("cannot ")
    assert says in done.err
    assert box.seen == []


def test_no_box_says_how_to_start_it(minipaas, tmp_path, monkeypatch):
    monkeypatch.delenv("MINIPAAS_HOST", raising=False)
    monkeypatch.setenv("MINIPAAS_DATA", str(tmp_path))
    done = minipaas("status")
    assert done.code == 5
    assert f"there is no socket {tmp_path}/minipaas.sock" in done.err
    assert "minipaas serve" in done.err


def test_an_error_in_minipaas_itself_shows_no_stack(capsys, tmp_path):
    def broken(*_: object) -> int:
        raise KeyError("oh")

    (tmp_path / "config.toml").write_bytes(b"")
    assert run(["serve", "--config", str(tmp_path / "config.toml"), "--data", str(tmp_path)], serve=broken) == 1
    told = capsys.readouterr().err
    assert "an error in minipaas itself (KeyError: 'oh')" in told
    assert "MINIPAAS_DEBUG=1" in told
    assert "Traceback" not in told


def test_debug_shows_the_stack(minipaas, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIPAAS_DEBUG", "1")
    done = minipaas("status", "--to", "ftp://x")
    assert done.code == 2
    assert "Traceback" in done.err


def _start(*args: str, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "minipaas", *args],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_ctrl_c_is_130_and_quiet(box, minipaas):
    asked, let_go = threading.Event(), threading.Event()

    def hang(handler):
        asked.set()
        let_go.wait(20)
        handler.close_connection = True

    box.answers["GET /api/v1/apps"] = hang
    process = _start("status")
    try:
        assert asked.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        let_go.set()
        process.kill()
    assert (process.returncode, out, err) == (130, b"", b"")


def test_a_closed_pipe_is_quiet(box):
    row = {"id": 1, "at": 0.0, "actor": "a" * 200, "action": "b", "subject": "c", "origin": "d", "result": "e"}
    box.answers["GET /api/v1/audit"] = (200, {"rows": [row] * 5000})
    process = _start("audit", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(60) != 0
    assert process.stderr.read() == b""
    process.stderr.close()
