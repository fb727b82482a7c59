"""timeline: an app's past as a table."""

from __future__ import annotations

import json

from minipaas.model.metrics import AppPast, Seen
from minipaas.surface.wire_timeline import Lane, MarkView, Timeline

T0 = 1_700_000_000.0


def mark(lane: Lane, at: float, title: str, **more: object) -> MarkView:
    usual: dict[str, object] = {
        "until": at, "count": 1, "well": None, "detail": "", "change": None, "crash": None, "lease": None,
        "recorded": False, "service": None, "instance": None, "actor": None,
    }  # fmt: skip
    return MarkView(lane=lane, at=at, title=title, **{**usual, **more})  # type: ignore[arg-type]


def line(*marks: MarkView) -> Timeline:
    past = AppPast(
        start=T0,
        step=600,
        seen=(Seen.UNKNOWN, Seen.RUNNING, Seen.DOWN),
        cpu=(None, 0.25, 1.5),
        memory=(None, 1024.0, 1024.0),
        requests=(None, 3.0, 0.5),
        errors=(None, 0.0, 0.0),
    )
    return Timeline(app="shop", start=T0, end=T0 + 86_400, now=T0 + 1800, marks=marks, past=past)


def test_what_came_together(box, minipaas):
    marks = (
        mark(Lane.CHANGE, T0 + 60, "the deploy of 1.1 is done", until=T0 + 72, well=True, change=4, actor="token ci"),
        mark(Lane.CRASH, T0 + 300, "3 × web failed", until=T0 + 420, count=3, well=False, crash="b8a3c00cbf3e"),
        mark(Lane.ACCESS, T0 + 900, "ann had a shell in web-1", until=None, lease="0a", recorded=True, actor="ann"),
    )
    box.answers["GET /api/v1/apps/shop/timeline"] = (200, line(*marks))
    done = minipaas("timeline", "shop", "--range", "24h")
    assert (done.code, done.err) == (0, "")
    assert box.seen[0].query == {"range": "24h"}
    lines = done.out.splitlines()
    assert lines[0] == "shop from 2023-11-14 22:13:20 to 2023-11-14 22:43:20"
    assert lines[1:5] == [
        "  health: down at times within 10 min",
        "  requests: up to 3/s, 2023-11-14 22:23:20",
        "  cpu: up to 150 %, 2023-11-14 22:33:20",
        "  memory: up to 1.0 KiB, 2023-11-14 22:23:20",
    ]
    head, *rows = lines[6:]
    assert head.split() == ["WHEN", "TOOK", "WHAT", "WHO", "WHY", "MORE"]
    assert rows[0].startswith("✓  11-14 22:14:20  12 s")
    assert rows[0].endswith("minipaas changes 4")
    assert rows[1].endswith("minipaas crash show b8a3c00cbf3e")
    assert "15 min, goes on" in rows[2]
    assert rows[2].endswith("minipaas access play 0a")


def test_nothing_and_json(box, minipaas):
    box.answers["GET /api/v1/apps/shop/timeline"] = (200, line())
    assert "Nothing happened in this time." in minipaas("timeline", "shop", "--until", "2023-11-15").out
    assert box.seen[0].query == {"range": "24h", "until": "1700006400"}
    assert json.loads(minipaas("timeline", "shop", "--json").out)["app"] == "shop"
    assert minipaas("timeline", "shop", "--until", "soon").code == 2
