"""status, rollback, remove, changes, logs: what is asked of the box, and what a person reads."""

from __future__ import annotations

import json

import pytest

from minipaas.model.change import ChangeKind, ChangeState
from minipaas.surface import wire
from minipaas.surface.cli.show import ago, span


def test_status_is_a_table(box, views, minipaas):
    broken = views.app(
        "till", state=wire.AppState.DOWN, sentence="web is down", needs_you=True, serving=None, change=None
    )
    box.answers["GET /api/v1/apps"] = (200, views.apps(broken, views.app()))
    box.answers["GET /api/v1/box"] = (200, views.box(trouble="Podman does not answer"))
    done = minipaas("status")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "Everything is well."
    assert "minipaas 0.1.0, podman 4.3.1, 3.0 GiB free" in done.out
    assert "Podman does not answer" in done.out
    head = next(line for line in lines if line.startswith("APP"))
    row = next(line for line in lines if line.startswith("shop"))
    assert row.split() == ["shop", "1.4.2", "running", "1/1", "2023-11-14", "http://shop.local"]
    assert [head.index(word) for word in ("VERSION", "STATE")] == [row.index(word) for word in ("1.4.2", "running")]
    assert lines[-1] == "! till: web is down; minipaas status till"
    assert "\x1b" not in done.out


def test_status_of_an_empty_box_says_what_next(box, views, minipaas):
    box.answers["GET /api/v1/apps"] = (200, views.apps())
    box.answers["GET /api/v1/box"] = [(200, views.box(root_version=None)), (200, views.box())]
    assert "Next: minipaas trust add root.json, then: minipaas deploy" in minipaas("status").out
    assert "Next: minipaas deploy" in minipaas("status").out


def test_status_of_an_app(box, views, minipaas):
    box.answers["GET /api/v1/apps/shop"] = (200, views.app())
    old = views.release("1.4.1", sequence=2, serving=False, retired=True)
    box.answers["GET /api/v1/apps/shop/releases"] = (200, wire.Releases(releases=(views.release(), old)))
    done = minipaas("status", "shop")
    assert (done.code, done.err) == (0, "")
    for part in (
        "shop 1.4.2  running",
        "change 7: deploy 1.4.2  done",
        "web  running  1 of 1 healthy, 256.0 MiB",
        "minipaas-shop-web-1-1",
        "GET /healthz: 200",
        "http://shop.local",
        "abababababab",
        "retired",
    ):
        assert part in done.out


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("the hook of web exited with code 3", "  the hook of web exited with code 3"),
        ("web #1 died\nno table\n", "  web #1 died; its output: minipaas changes 7"),
    ],
)
def test_status_of_an_app_says_why_its_last_change_failed(box, views, minipaas, reason, line):
    change = views.change(state=ChangeState.FAILED, reason=reason)
    box.answers["GET /api/v1/apps/shop"] = (200, views.app(change=change))
    box.answers["GET /api/v1/apps/shop/releases"] = (200, wire.Releases(releases=()))
    lines = minipaas("status", "shop").out.splitlines()
    assert lines[1].startswith("change 7: deploy 1.4.2  failed")
    assert lines[2] == line


def test_json_is_what_the_box_said(box, minipaas):
    box.answers["GET /api/v1/apps"] = (200, b'{"apps":[],"of a newer version":1}')
    assert json.loads(minipaas("status", "--json").out) == {"apps": [], "of a newer version": 1}


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        ([], {"to": None}),
        (["--to", "1.4.1"], {"to": "1.4.1"}),
        (["--to", "sha256:abcdef"], {"to": "sha256:abcdef"}),
    ],
)
def test_rollback_is_followed_to_its_end(box, views, minipaas, args, asked):
    box.answers["POST /api/v1/apps/shop/rollback"] = (202, views.accepted(version="1.4.1"))
    steps = [views.step(1, "start web #1"), views.step(2, "switch to 1.4.1")]
    story = views.story(*steps, kind=ChangeKind.ROLLBACK, version="1.4.1")
    box.answers["GET /api/v1/changes/7/events"] = story
    done = minipaas("rollback", "shop", *args)
    assert (done.code, done.err) == (0, "")
    assert box.seen[0].json == asked
    shown = ["✓ start web #1  1.5 s", "✓ switch to 1.4.1  1.5 s", "shop 1.4.1 serves", "  http://shop.local"]
    assert done.out.splitlines() == shown


def test_rollback_takes_version_and_box(boxes, views, minipaas, monkeypatch):
    monkeypatch.setenv("MINIPAAS_HOST", "http://127.0.0.1:1")
    other = boxes.unix("other.sock")
    other.answers["POST /api/v1/apps/shop/rollback"] = (202, views.accepted())
    done = minipaas("rollback", "shop", "--to", other.url, "--to", "1.4.1", "--no-wait")
    assert (done.code, other.seen[0].json) == (0, {"to": "1.4.1"})
    assert "minipaas changes 7" in done.out
    assert minipaas("rollback", "shop", "--to", "1", "--to", "2").code == 2


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        (ChangeState.FAILED, "1.4.1 still serves"),
        (ChangeState.ROLLED_BACK, "1.4.1 serves again"),
        (ChangeState.SUPERSEDED, "minipaas changes shop"),
    ],
)
def test_a_change_that_ends_badly_fails_with_its_reason(box, views, minipaas, state, hint):
    box.answers["POST /api/v1/apps/shop/rollback"] = (202, views.accepted())
    failed = views.step(1, "start web #1", ok=False, detail="exit code 1")
    back = views.step(2, "give up: web #1 exited", kind="RevertChange")
    reason = "web #1 exited with code 1\nTraceback: boom"
    box.answers["GET /api/v1/changes/7/events"] = views.story(
        failed, back, kind=ChangeKind.ROLLBACK, state=state, reason=reason, fallback_version="1.4.1"
    )
    done = minipaas("rollback", "shop")
    assert done.code == 1
    assert done.out == "✗ start web #1  1.5 s: exit code 1\n↩ give up: web #1 exited\n"
    assert "cannot roll back shop to 1.4.2: web #1 exited with code 1\nTraceback: boom\n→ " in done.err
    assert hint in done.err
    told = minipaas("rollback", "shop", "--json")
    assert json.loads(told.out)["outcome"] == state
    assert json.loads(told.err)["error"]["code"] == f"change.{state}"


def test_remove_asks_and_here_nobody_can_answer(box, views, minipaas):
    box.answers["GET /api/v1/apps/shop/preview"] = (200, views.preview())
    done = minipaas("remove", "shop")
    assert done.code == 2
    assert "--yes" in done.err
    assert box.requests() == ["GET /api/v1/apps/shop/preview"]


@pytest.mark.parametrize(("args", "query"), [([], {}), (["--volumes"], {"volumes": "true"})])
def test_remove(box, views, minipaas, args, query):
    kept = () if args else ("minipaas-shop.data",)
    box.answers["GET /api/v1/apps/shop/preview"] = (200, views.preview(volumes_kept=kept))
    box.answers["DELETE /api/v1/apps/shop"] = (202, views.accepted(version=None))
    box.answers["GET /api/v1/changes/7/events"] = views.story(kind=ChangeKind.REMOVE, version=None)
    done = minipaas("remove", "shop", "--yes", *args)
    assert (done.code, done.err) == (0, "")
    assert "shop is removed" in done.out
    assert next(seen.query for seen in box.seen if seen.method == "DELETE") == query
    assert ("kept: minipaas-shop.data; to delete them: minipaas remove shop --volumes" in done.out) == bool(kept)


def test_remove_what_is_not_there_does_not_even_ask(box, minipaas):
    assert minipaas("remove", "shop", "--yes").code == 4


def test_changes(box, views, minipaas):
    failed = views.change(id=8, state=ChangeState.FAILED, reason="web exited\nlog line", version="2")
    box.answers["GET /api/v1/changes"] = (200, wire.Changes(changes=(failed, views.change())))
    done = minipaas("changes", "shop", "-n", "5")
    assert box.seen[0].query == {"app": "shop", "limit": "5"}
    rows = done.out.splitlines()
    assert rows[1].split()[:5] == ["8", "shop", "deploy", "2", "failed"]
    assert rows[1].endswith("web exited log line") or rows[1].endswith("web exited")
    assert rows[2].startswith("7 ")


def test_one_change_with_its_steps(box, views, minipaas):
    steps = (views.step(1, "start web #1"), views.step(2, "drain web", ended=None, ok=None))
    detail = wire.ChangeDetail(change=views.change(reason="because"), steps=steps, urls=("http://shop.local",))
    box.answers["GET /api/v1/changes/7"] = (200, detail)
    lines = minipaas("changes", "7").out.splitlines()
    assert lines[1:] == ["✓ start web #1  1.5 s", "… drain web", "because", "  http://shop.local"]


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (0, "just now"),
        (7.24, "7.2 s ago"),
        (45, "45 s ago"),
        (200, "3 min ago"),
        (7300, "2 h ago"),
        (86400, "1 day ago"),
        (5 * 86400, "5 days ago"),
        (90 * 86400, "2023-08-16"),
        (-200, "in 3 min"),
    ],
)
def test_times_for_people(before, words):
    assert ago(1_700_000_000 - before, 1_700_000_000) == words


@pytest.mark.parametrize(("seconds", "words"), [(0.04, "0.0 s"), (1.26, "1.3 s"), (59, "59 s"), (61, "1 min")])
def test_lengths_for_people(seconds, words):
    assert span(seconds) == words
