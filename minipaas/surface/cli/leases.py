"""`access`: who is in instances, who was, what they saw; and the end of it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from minipaas.model.errors import MinipaasError
from minipaas.surface.cli.options import box_options, instance_named, to_option
from minipaas.surface.cli.show import Cell, ago, on_terminal, print_json, print_table, span
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_access import Drift, Leases, LeaseView

LONGEST_PAUSE = 2.0
"""Seconds that a pause lasts at most when a recording is played."""


@click.group()
def access() -> None:
    """Who is in instances, and who was."""


@access.command("list")
@click.argument("app", required=False)
@click.option("-n", "limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--before", metavar="ID", help="Only those that are over and began before this one.")
@box_options
def listing(app: str | None, limit: int, before: str | None, to: str | None, as_json: bool) -> None:
    """Who is in an instance now, and who was, the newest first."""
    box = Box.at(to)
    answer = box.raw("GET", "/leases", query={"app": app, "limit": limit, "before": before})
    if as_json:
        print_json(answer)
        return
    leases = box.understand(answer, Leases).leases
    if not leases:
        print(f"Nobody was in an instance before {before}." if before else "Nobody is in an instance, and nobody was.")
        return
    print_table(["ID", "WHO", "INSTANCE", "WHAT", "STARTED", "STATE", "PLAY", "WHY"], map(_row, leases))


def _row(lease: LeaseView) -> list[Cell]:
    if lease.ended is None:
        state: Cell = (f"open, {span(max(0.0, lease.until - time.time()))} left", "yellow")
    else:
        state = f"{lease.ending.value if lease.ending else ''}: {lease.result}".strip(": ")
    what = f"{lease.kind.value} {lease.what}".rstrip()
    played = "yes" if lease.recording else "-"
    instance = lease.instance.removeprefix("minipaas-")
    return [lease.id, lease.actor, instance, what, ago(lease.started), state, played, lease.reason]


@access.command()
@click.argument("lease", metavar="ID")
@to_option
def end(lease: str, to: str | None) -> None:
    """End an access that is open, whoever has it."""
    Box.at(to).raw("DELETE", f"/leases/{segment(lease)}")
    print(f"access {lease} is ended")


@access.command()
@click.argument("lease", metavar="ID")
@click.option("--speed", type=click.FloatRange(0.1, 100), default=1.0, show_default=True, help="So many times as fast.")
@click.option("-o", "file", type=click.Path(path_type=Path), help="Save it instead, as asciicast v2.")
@to_option
def play(lease: str, speed: float, file: Path | None, to: str | None) -> None:
    """Show again what a session showed, in its time; pauses are cut to 2 seconds. Into a pipe, all at once."""
    recording = Box.at(to).raw("GET", f"/leases/{segment(lease)}/recording")
    if file is not None:
        file.write_bytes(recording)
        print(f"{file}: play it with minipaas access play, or asciinema play {file}")
        return
    at = 0.0
    for line in recording.splitlines()[1:]:
        try:
            when, kind, text = json.loads(line)
        except ValueError:
            raise MinipaasError(f"cannot play {lease}: the recording is damaged", code="access.damaged") from None
        if kind != "o":
            continue
        if on_terminal():
            time.sleep(min(max(0.0, float(when) - at) / speed, LONGEST_PAUSE))
        at = float(when)
        sys.stdout.write(text)
        sys.stdout.flush()


@click.command()
@click.argument("name", metavar="APP[/SERVICE[/N]]")
@box_options
def drift(name: str, to: str | None, as_json: bool) -> None:
    """What differs in an instance from the image of its release, and who has been in it.

    Volumes and /tmp are not looked at. A clean one takes its place with: minipaas restart.
    """
    app, service, slot = instance_named(name)
    box = Box.at(to)
    answer = box.raw("GET", f"/apps/{segment(app)}/drift", query={"service": service, "slot": slot})
    if as_json:
        print_json(answer)
        return
    told = box.understand(answer, Drift)
    instance = told.instance.removeprefix("minipaas-")
    who = f"entered by {told.touched}" if told.touched else "nobody has been in it"
    print(f"{instance}: {told.entered or who}")
    if told.files:
        rows = [[f"{one.what}{', by Podman perhaps' if one.podmans else ''}", one.path] for one in told.files]
        print_table(["CHANGE", "PATH"], rows)
    if told.more:
        print("… and more")
    if told.touched or not all(one.podmans for one in told.files):
        print(f"Next: minipaas restart {app}{f'/{service}' if service else ''}")
