"""`upgrade`, `reload`, and the half of `rollback` that is about minipaas itself: the box does it, this watches.

What always holds: a watcher that is interrupted, or that loses one process and finds the next, changes nothing.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from minipaas.model.errors import MinipaasError, Missing, Unreachable
from minipaas.surface.cli.deploy import MEDIA_TYPE, progress_bar
from minipaas.surface.cli.options import box_options, sure
from minipaas.surface.cli.show import clean, paint, print_json, span, stamp
from minipaas.surface.client import Box
from minipaas.surface.wire_self import BackRequest, HandoverView, SelfStep, SelfView
from minipaas.takeover.record import Kind, State

LOOK_EVERY = 0.2
PATIENCE = 300.0
"""Seconds without news, or without a box at all, after which watching ends."""


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--wait", is_flag=True, help="Until its trial is over; exit code 1 when it was gone back from.")
@click.option("--status", is_flag=True, help="How the last upgrade, return or reload went; nothing is begun.")
@click.option(
    "--seen", is_flag=True, help="You know that the last one was gone back from: status and page stop telling."
)
@box_options
def upgrade(file: Path | None, wait: bool, status: bool, seen: bool, to: str | None, as_json: bool) -> None:
    """Upgrade minipaas on a box from a signed bundle of itself, without losing a request.

    FILE is made by `minipaas bundle self`. The box verifies it like any bundle, puts the new program beside the present
    one, and hands over; apps are not touched. The new version is on trial for a minute: if it crashes twice in that
    time, the one before comes back.
    """
    box = Box.at(to)
    if sum((file is not None, status, seen)) != 1:
        raise click.UsageError("name a FILE, or --status, or --seen")
    if file is None:
        _status(box.get("/self", SelfView) if status else box.call("POST", "/self/seen", SelfView), as_json)
        return
    began = time.monotonic()
    size = file.stat().st_size
    with file.open("rb") as source, progress_bar(size, as_json) as progress:
        begun = box.upload(
            "/self",
            iter(lambda: source.read(1 << 20), b""),
            size,
            HandoverView,
            media_type=MEDIA_TYPE,
            progress=progress,
        )
    _watch(box, begun, as_json, began, wait=wait)


@click.command()
@box_options
def reload(to: str | None, as_json: bool) -> None:
    """Start minipaas anew on a box, with config.toml as it is now, without losing a request."""
    box, began = Box.at(to), time.monotonic()
    _watch(box, box.call("POST", "/self/reload", HandoverView), as_json, began)


def go_back(to: str | None, yes: bool, lose: bool, as_json: bool) -> None:
    """`rollback --self`."""
    box, began = Box.at(to), time.monotonic()
    before = box.get("/self", SelfView).previous
    if before is None:
        raise Missing(
            "cannot go back: there is no minipaas before this one on the box",
            hint="see: minipaas version",
            code="self.first",
        )
    sure(f"Go back to minipaas {before.rpartition('-')[0]}? Apps are not touched.", yes)
    begun = box.call("POST", "/self/rollback", HandoverView, BackRequest(lose=lose))
    _watch(box, begun, as_json, began)


def _watch(box: Box, begun: HandoverView, as_json: bool, began: float, *, wait: bool = False) -> None:
    """Until the hand-over has ended, or with `wait` the trial behind it too; raises why it failed."""
    shown, on_trial = 0, False
    heard = time.monotonic()
    while True:
        try:
            last = box.get("/self", SelfView).last
        except Unreachable:
            if time.monotonic() - heard > PATIENCE:
                raise
            time.sleep(LOOK_EVERY)
            continue
        if last is None or last.id != begun.id:
            raise MinipaasError(
                "cannot follow it: something else was begun meanwhile", hint="see: minipaas upgrade --status"
            )
        ended = [step for step in last.steps if step.ended is not None]
        for step in ended[shown:]:
            heard = time.monotonic()
            if not as_json:
                print(_line(step), flush=True)
        shown = len(ended)
        if last.state is State.TRIAL and wait:
            heard = time.monotonic()
            if not on_trial and not as_json:
                _conclude(last, as_json, heard - began)
            on_trial = True
        elif last.state is not State.WORKING:
            break
        if time.monotonic() - heard > PATIENCE:
            raise MinipaasError(
                f"cannot follow it: nothing new for {PATIENCE:g} s",
                hint="see: minipaas upgrade --status",
                code="self.late",
            )
        time.sleep(LOOK_EVERY)
    if as_json:
        print_json(last)
    _conclude(last, as_json, time.monotonic() - began)


_DID = {Kind.UPGRADE: "upgrade", Kind.ROLLBACK: "go back", Kind.RELOAD: "start minipaas anew"}


def _conclude(last: HandoverView, as_json: bool, took: float) -> None:
    if last.state in (State.FAILED, State.RETURNED):
        for line in () if as_json else last.last_lines:
            print(f"  {clean(line)}")
        returned = last.state is State.RETURNED
        hint = f"minipaas {last.from_version} serves {'again' if returned else 'on'}; see: minipaas upgrade --status"
        message = f"cannot {_DID[last.kind]}: {last.reason}"
        raise MinipaasError(message, hint=hint, code="self.returned" if returned else "self.failed")
    if as_json:
        return
    word = "serves" if last.kind is Kind.RELOAD or last.state is State.TRIAL else "serves, and is confirmed"
    print(paint(f"minipaas {last.to_version} {word}", "green") + f"  {span(took)}")
    if last.state is State.TRIAL and last.trial_until is not None:
        print(
            f"  on trial until {stamp(last.trial_until)}: if it crashes twice before, {last.from_version} comes back by"
            " itself; see: minipaas upgrade --status"
        )


def _line(step: SelfStep) -> str:
    took = span(step.ended - step.started) if step.ended is not None else ""
    detail = f": {clean(step.detail)}" if step.detail else ""
    mark = paint("✓", "green") if step.ok else paint("✗", "red")
    return f"{mark} {clean(step.title)}{detail}  {took}".rstrip()


def _status(seen: SelfView, as_json: bool) -> None:
    if as_json:
        print_json(seen)
        return
    print(f"minipaas {seen.version} serves" + (f", from {seen.installed}" if seen.installed else ""))
    print(f"before it: {seen.previous or 'none here'}")
    if seen.busy:
        print(f"just now: {seen.busy}")
    last = seen.last
    if last is None:
        return
    words = {
        State.WORKING: "goes on",
        State.TRIAL: "serves, on trial",
        State.DONE: "done",
        State.FAILED: f"failed: {last.reason}",
        State.RETURNED: f"went back to {last.from_version}: {last.reason}",
    }
    to = f" to {last.to_version}" if last.to_version else ""
    print(f"last {last.kind}{to}, {stamp(last.began)} by {last.actor}: {clean(words[last.state])}")
    for step in last.steps:
        print(f"  {_line(step)}")
    for line in last.last_lines:
        print(f"    {clean(line)}")
