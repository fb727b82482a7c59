"""`timeline`: an app's past as a table in order of time, and how it was meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import click

from minipaas.model.metrics import AppPast, Seen, Series, Window
from minipaas.model.units import human_bytes
from minipaas.surface.cli.options import box_options, moment
from minipaas.surface.cli.show import Cell, print_json, print_table, span, stamp
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_timeline import MarkView, Timeline

_MARKS: dict[bool | None, tuple[str, str]] = {True: ("✓", "green"), False: ("✗", "red"), None: ("·", "")}
_DETAIL = 80


@click.command()
@click.argument("app")
@click.option(
    "--range",
    "window",
    type=click.Choice([one.value for one in Window]),
    default=Window.DAY.value,
    show_default=True,
    help="How much of the past.",
)
@click.option("--until", metavar="TIME", help="Where it ends: `2h` ago, or a date and time. Default: now.")
@box_options
def timeline(app: str, window: str, until: str | None, to: str | None, as_json: bool) -> None:
    """What came together in an app's past, the oldest first: changes, crashes, restarts, who was inside, gaps in the
    log; and how it was meanwhile. What is much and close together is told as one, with a count."""
    box = Box.at(to)
    asked = {"range": window, "until": None if until is None else moment(until, "--until")}
    answer = box.raw("GET", f"/apps/{segment(app)}/timeline", query=asked)
    if as_json:
        print_json(answer)
        return
    found = box.understand(answer, Timeline)
    print(f"{app} from {stamp(found.start)} to {stamp(min(found.end, found.now))}")
    for line in _meanwhile(found.past):
        print(f"  {line}")
    if not found.marks:
        print("Nothing happened in this time.")
        return
    print()
    print_table(["", "WHEN", "TOOK", "WHAT", "WHO", "WHY", "MORE"], [_row(app, one, found.now) for one in found.marks])


def _meanwhile(past: AppPast) -> Iterator[str]:
    """How it was, and the highest figures with their time."""
    known = [one for one in past.seen if one is not Seen.UNKNOWN]
    if known:
        bad = [(word, known.count(word)) for word in (Seen.DOWN, Seen.FAILED, Seen.DEGRADED, Seen.CHANGING)]
        # Of a step the worst is known, not how long it was so.
        told = [f"{word.value} at times within {span(past.step * count)}" for word, count in bad if count]
        yield "health: " + (", ".join(told) if told else "well")
    for name, values, tell in (
        ("requests", past.requests, lambda value: f"{value:.3g}/s"),
        ("errors", past.errors, lambda value: f"{value:.3g}/s"),
        ("cpu", past.cpu, lambda value: f"{100 * value:.3g} %"),
        ("memory", past.memory, human_bytes),
    ):
        top = _top(values)
        if top is not None and (top[1] or name != "errors"):
            yield f"{name}: up to {tell(top[1])}, {stamp(past.start + top[0] * past.step)}"


def _top(values: Series) -> tuple[int, float] | None:
    known = [(at, value) for at, value in enumerate(values) if value is not None]
    return max(known, key=lambda one: one[1]) if known else None


def _row(app: str, mark: MarkView, now: float) -> list[Cell]:
    if mark.until is None:
        took = f"{span(now - mark.at)}, goes on"
    else:
        took = span(mark.until - mark.at) if mark.until - mark.at >= 0.05 else ""
    return [
        _MARKS[mark.well],
        time.strftime("%m-%d %H:%M:%S", time.localtime(mark.at)),
        took,
        mark.title,
        mark.actor or "",
        mark.detail if len(mark.detail) <= _DETAIL else mark.detail[: _DETAIL - 1] + "…",
        _more(app, mark),
    ]


def _more(app: str, mark: MarkView) -> str:
    """The command that shows more of it."""
    if mark.change is not None:
        return f"minipaas changes {mark.change}"
    if mark.crash is not None:
        return f"minipaas crash show {mark.crash}"
    return f"minipaas access play {mark.lease}" if mark.lease is not None and mark.recorded else ""
