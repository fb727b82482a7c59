"""restart and scale, and what `--dry-run` says of them."""

from __future__ import annotations

import json

import pytest

from minipaas.model.change import ChangeKind, ChangeState

RESTART, SCALE = "POST /api/v1/apps/shop/restart", "POST /api/v1/apps/shop/scale"


@pytest.mark.parametrize(
    ("args", "path", "body", "words"),
    [
        (["restart", "shop"], RESTART, {"service": None}, "shop was restarted"),
        (["restart", "shop/web"], RESTART, {"service": "web"}, "shop/web was restarted"),
        (["scale", "shop/web", "4"], SCALE, {"service": "web", "replicas": 4}, "shop/web runs 4 times"),
        (["scale", "shop/web", "0"], SCALE, {"service": "web", "replicas": 0}, "shop/web runs 0 times"),
        (
            ["scale", "shop/web", "--reset"],
            SCALE,
            {"service": "web", "replicas": None},
            "shop/web runs as its release says",
        ),
    ],
)
def test_what_is_asked_of_the_box(box, views, minipaas, args, path, body, words):
    box.answers[path] = (202, views.accepted())
    box.answers["GET /api/v1/changes/7/events"] = views.story(kind=ChangeKind.RESTART)
    done = minipaas(*args)
    assert (done.code, done.err) == (0, "")
    assert words in done.out
    assert json.loads(box.seen[0].body) == body


def test_a_restart_that_failed_says_that_the_old_ones_serve(box, views, minipaas):
    box.answers[RESTART] = (202, views.accepted())
    box.answers["GET /api/v1/changes/7/events"] = views.story(
        kind=ChangeKind.RESTART, state=ChangeState.FAILED, reason="web #1 exited with code 1", fallback_version="1.4.2"
    )
    done = minipaas("restart", "shop")
    assert done.code == 1
    assert "cannot restart shop: web #1 exited with code 1" in done.err
    assert "1.4.2, as it ran before, still serves" in done.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["scale", "shop", "4"], "say which service: APP/SERVICE"),
        (["scale", "shop/", "4"], "it is not APP or APP/SERVICE"),
        (["scale", "shop/web"], "give a number, or --reset"),
        (["scale", "shop/web", "4", "--reset"], "give a number, or --reset"),
        (["scale", "shop/web", "many"], "'many' is not a valid integer"),
        (["scale", "shop/web", "--", "-1"], "-1 is not in the range"),
        (["restart", "/web"], "it is not APP or APP/SERVICE"),
    ],
)
def test_what_is_not_even_sent(box, minipaas, args, words):
    done = minipaas(*args)
    assert done.code == 2
    assert words in done.err
    assert box.seen == []


@pytest.mark.parametrize(
    ("args", "query"),
    [
        (["restart", "shop/web"], {"what": "restart", "service": "web"}),
        (["scale", "shop/web", "3"], {"what": "scale", "service": "web", "replicas": "3"}),
        (["scale", "shop/web", "--reset"], {"what": "scale", "service": "web"}),
        (["rollback", "shop", "--to", "1.4.1"], {"what": "rollback", "to": "1.4.1"}),
        (["remove", "shop", "--volumes"], {"what": "remove", "volumes": "true"}),
    ],
)
def test_a_dry_run_only_looks(box, views, minipaas, args, query):
    box.answers["GET /api/v1/apps/shop/preview"] = (200, views.preview(volumes_deleted=("minipaas-shop.data",)))
    done = minipaas(*args, "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert [(seen.method, seen.query) for seen in box.seen] == [("GET", query)]
    lines = [line.strip() for line in done.out.splitlines()]
    for line in (
        "shop: remove (1.4.2 serves now)",
        "web      gone      2 → 0    -",
        "db       replaced  1 → 1    for at most 12 min (requests wait, up to 1 min): it holds a volume",
        "1. drain web",
        "after it, without haste:",
        "remove web-1",
        "deleted with all data in them: minipaas-shop.data",
        "given up and taken back if it is not done within 10 min",
    ):
        assert line in lines
    assert json.loads(minipaas(*args, "--dry-run", "--json").out)["kind"] == "remove"
