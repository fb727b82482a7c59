"""`logs`: what is asked of the box, and how lines are shown."""

from __future__ import annotations

import json

import pytest

from minipaas.surface import wire


@pytest.mark.parametrize(
    ("name", "query"),
    [("shop", {"tail": "100"}), ("shop/web", {"tail": "100", "service": "web"})],
)
def test_logs_of_one_instance_are_its_lines(box, minipaas, name, query):
    told = wire.Logs(
        lines=(wire.LogLine(instance="web-1", text="hello"), wire.LogLine(instance="web-1", text="\x1b[31m"))
    )
    box.answers["GET /api/v1/apps/shop/logs"] = (200, told)
    done = minipaas("logs", name)
    assert box.seen[0].query == query
    assert done.out == "hello\n\x1b[31m\n"


def test_logs_of_several_instances_say_whose(box, minipaas):
    lines = (wire.LogLine(instance="web-1", text="a"), wire.LogLine(instance="worker-1", text="b"))
    box.answers["GET /api/v1/apps/shop/logs"] = (200, wire.Logs(lines=lines))
    assert minipaas("logs", "shop", "-n", "3").out == "web-1    │ a\nworker-1 │ b\n"


def test_when_no_line_fits_that_is_said(box, minipaas):
    box.answers["GET /api/v1/apps/shop/logs"] = (200, wire.Logs(lines=()))
    done = minipaas("logs", "shop/wep")
    assert (done.code, done.out) == (0, "")
    assert "no line of shop/wep fits" in done.err
    assert "minipaas status shop" in done.err


def test_an_instance_is_no_service(box, minipaas):
    for command in (("logs", "shop/web/2"), ("restart", "shop/web/2")):
        done = minipaas(*command)
        assert done.code == 2
        assert "'shop/web/2': it is not APP or APP/SERVICE" in done.err
    assert box.seen == []


def test_every_filter_is_the_boxs_to_apply(box, minipaas):
    box.answers["GET /api/v1/apps/shop/logs"] = (200, wire.Logs(lines=()))
    minipaas(
        *("logs", "shop/web", "-n", "7", "--grep", "time out", "--level", "warn", "--stream", "stderr"),
        *("--instance", "shop-web-1-1", "--release", "1.2", "--since", "2026-11-24", "--until", "2026-11-25"),
    )
    query = box.seen[0].query
    since, until = int(query.pop("since")), int(query.pop("until"))
    assert until - since == 86400
    assert query == {
        "service": "web",
        "tail": "7",
        "text": "time out",
        "level": "warn",
        "stream": "stderr",
        "instance": "shop-web-1-1",
        "release": "1.2",
    }


def test_what_is_missing_is_said_by_minipaas(box, minipaas):
    lines = (wire.LogLine(instance="web-1", text="dropped 3 lines here", stream="minipaas"),)
    box.answers["GET /api/v1/apps/shop/logs"] = (200, wire.Logs(lines=lines))
    assert minipaas("logs", "shop").out == "[minipaas: dropped 3 lines here]\n"


def test_times_are_shown_when_asked_for(box, minipaas):
    lines = (wire.LogLine(instance="web-1", text="hello", time=1_700_000_000.5),)
    box.answers["GET /api/v1/apps/shop/logs"] = (200, wire.Logs(lines=lines))
    assert minipaas("logs", "shop", "-t").out.endswith(" hello\n")
    assert minipaas("logs", "shop", "-t").out.startswith("2023-11-1")


def test_as_json_it_is_the_boxs_answer(box, minipaas):
    lines = (wire.LogLine(instance="web-1", text="hello"),)
    box.answers["GET /api/v1/apps/shop/logs"] = (200, wire.Logs(lines=lines))
    assert json.loads(minipaas("logs", "shop", "--json").out)["lines"][0]["text"] == "hello"


@pytest.mark.parametrize("args", [("--since", "soon"), ("--level", "bad"), ("-n", "0")])
def test_what_cannot_be_asked_is_a_usage_error(box, minipaas, args):
    assert minipaas("logs", "shop", *args).code == 2
