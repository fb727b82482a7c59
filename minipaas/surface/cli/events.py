"""`events`: what happened to an app, in one order of time."""

from __future__ import annotations

import click

from minipaas.surface.cli.options import box_options
from minipaas.surface.cli.show import Cell, ago, print_json, print_table
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_history import Events, EventView

_MARKS: dict[bool | None, tuple[str, str]] = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "")}


@click.command()
@click.argument("app")
@click.option("-n", "limit", type=click.IntRange(1, 500), default=30, show_default=True, help="How many.")
@click.option("--before", metavar="ID", help="Only what stands before this one; --json shows the ids.")
@box_options
def events(app: str, limit: int, before: str | None, to: str | None, as_json: bool) -> None:
    """What happened to an app, the newest first: changes, upkeep, deaths, and who asked for what."""
    box = Box.at(to)
    answer = box.raw("GET", f"/apps/{segment(app)}/events", query={"limit": limit, "before": before})
    if as_json:
        print_json(answer)
        return
    found = box.understand(answer, Events)
    print_table(["", "WHEN", "WHAT", "WHO", "WHY"], [_row(event) for event in found.events])
    if found.more:
        print(f"Older: minipaas events {app} --before {found.events[-1].id}")


def _row(event: EventView) -> list[Cell]:
    why = event.detail.strip().partition("\n")[0]
    return [_MARKS[event.well], ago(event.at), event.title, event.actor or "", why]
