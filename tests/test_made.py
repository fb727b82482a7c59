"""What the documents take from the program is what the program says now."""

from __future__ import annotations

import made

from minipaas.plan.lifecycle import NEXT


def test_nothing_that_is_made_is_out_of_date() -> None:
    stale = [path.name for path, text in made.made().items() if path.read_text() != text]
    assert not stale, f"{', '.join(stale)}: run scripts/docs"


def test_the_diagram_has_every_row_of_the_table_and_what_the_last_switch_decides() -> None:
    drawn = made.lifecycle()
    for (state, event), then in NEXT.items():
        assert any(f"{state} --> {then}: {event}" in line for line in drawn.splitlines()), (state, event)
    assert "reverting --> failed: restored, never switched" in drawn
    assert "rolling --> superseded: superseded" in drawn
