"""`minipaas doctor`: what is wrong with this box and its host, and the mend."""

from __future__ import annotations

import click
from msgspec import Struct

from minipaas.install.findings import Finding, Level
from minipaas.surface.cli.options import json_option
from minipaas.surface.cli.show import Cell, paint, print_json, print_table

COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.BAD: "red"}


class Diagnosis(Struct, frozen=True):
    """What `--json` prints."""

    well: bool
    findings: list[Finding]


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Look at this host, its Podman and its box: what is wrong, and what to do about it.

    Works without a box too. Ends with 0 when nothing is bad (warnings do not count), else with 1.
    """
    from minipaas.surface.diagnosis import diagnose, facts, here

    found = diagnose(facts(here()))
    well = all(one.level is not Level.BAD for one in found)
    if as_json:
        print_json(Diagnosis(well, found))
    else:
        show(found)
    return 0 if well else 1


def show(found: list[Finding]) -> None:
    """A table, the worst first; below it what to do about each."""
    rows: list[list[Cell]] = [[(one.level.value, COLOURS[one.level]), one.name, one.says] for one in found]
    print_table(["", "WHAT", "FOUND"], rows)
    mends = [one for one in found if one.mend and one.level is not Level.OK]
    if mends:
        print()
    for one in mends:
        print(f"{paint(one.name, COLOURS[one.level])}: {one.mend}")
    counts = {level: sum(1 for one in found if one.level is level) for level in Level}
    if not counts[Level.BAD] and not counts[Level.WARN]:
        print("\nAll is well.")
    else:
        print(f"\n{counts[Level.BAD]} bad, {counts[Level.WARN]} to look at")
