"""events: the past of an app as a table."""

from __future__ import annotations

import json

from minipaas.surface.wire_history import EventKind, Events, EventView


def event(number: int, title: str, well: bool | None, detail: str = "", actor: str | None = None) -> EventView:
    return EventView(
        id=f"{number}-2-1",
        at=1_700_000_000.0,
        kind=EventKind.UPKEEP,
        title=title,
        step="",
        well=well,
        detail=detail,
        change=None,
        actor=actor,
        service=None,
        instance=None,
    )


def test_a_table_that_says_how_to_see_more(box, minipaas):
    rows = (event(2, "web died", False, "exit code 3\nlast words"), event(1, "deploy: shop", None, actor="token ci"))
    box.answers["GET /api/v1/apps/shop/events"] = (200, Events(events=rows, more=True))
    done = minipaas("events", "shop", "-n", "2")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[1].split() == ["✗", "2023-11-14", "web", "died", "-", "exit", "code", "3"]
    assert "token ci" in lines[2]
    assert lines[3] == "Older: minipaas events shop --before 1-2-1"


def test_json(box, minipaas):
    box.answers["GET /api/v1/apps/shop/events"] = (200, Events(events=(), more=False))
    assert json.loads(minipaas("events", "shop", "--json").out) == {"events": [], "more": False}
