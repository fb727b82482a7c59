"""`shipping`: where a box sends its logs, and how far each destination has come."""

from __future__ import annotations

import sys
import time

import click

from minipaas.model.shipping import ShipState
from minipaas.model.units import counted, human_bytes
from minipaas.surface.cli.options import box_options
from minipaas.surface.cli.show import Cell, ago, clean, paint, print_json, print_table
from minipaas.surface.client import Box
from minipaas.surface.wire_shipping import Shipping


@click.command()
@box_options
def shipping(to: str | None, as_json: bool) -> int:
    """Where the box sends its logs, and how far each destination has come. Ends with 1 while one of them does not take
    any."""
    box = Box.at(to)
    answer = box.raw("GET", "/shipping")
    known = box.understand(answer, Shipping).destinations
    if as_json:
        print_json(answer)
    elif not known:
        print("Logs are sent nowhere. Next: write [[logs.ship]] into config.toml, then: minipaas reload")
    else:
        print_table(["DESTINATION", "KIND", "CONFIRMED", "LINES", "BEHIND", "REFUSED", "LOST"], map(_row, known))
        for one in known:
            _tell(one)
    return 1 if any(one.failing for one in known) else 0


def _row(one: ShipState) -> list[Cell]:
    behind = human_bytes(one.behind_bytes) if one.behind_bytes else "-"
    if one.behind_since is not None:
        behind += f", since {ago(one.behind_since)}"
    return [
        (one.name, "red" if one.failing else "green"),
        one.kind.value,
        "never" if one.confirmed_at is None else ago(one.confirmed_at),
        str(one.lines),
        (behind, "yellow") if one.failing else behind,
        (str(one.refused), "yellow") if one.refused else "-",
        (str(one.lost) if one.lost else human_bytes(one.lost_bytes), "red") if one.lost_bytes else "-",
    ]


def _tell(one: ShipState) -> None:
    said = []
    if one.failing:
        again = f"; again in {max(0, one.retry_at - time.time()):.0f} s" if one.retry_at is not None else ""
        said.append(f"{one.name}: {one.error}{again}")
    if one.refused:
        said.append(f"{one.name} refused {counted(one.refused, 'line')}, the last ones because: {one.refused_why}")
    if one.lost_bytes and one.lost_at is not None:
        said.append(
            f"{one.name}: {counted(one.lost, 'line')} ({human_bytes(one.lost_bytes)}) made way before they were sent, "
            f"the last {ago(one.lost_at)}; a larger logs.quota would have kept them"
        )
    for line in said:
        print(paint(f"! {clean(line, sys.stderr)}", "red", sys.stderr), file=sys.stderr)
