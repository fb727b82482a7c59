"""`top`: what the machine, its apps and their instances use and answer, live on a terminal.

What always holds: the terminal is given back as it was, however this ends; a box that goes away meanwhile is waited
for, and the last figures stay; elsewhere than on a terminal one table is printed.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import click

from minipaas.model.errors import Missing, Unreachable
from minipaas.model.metrics import AppSummary, HostNow, InstanceNow, Seen, Summary
from minipaas.model.units import human_bytes
from minipaas.surface.cli.options import box_options
from minipaas.surface.cli.show import Cell, ago, clean, on_terminal, print_json, print_table, span
from minipaas.surface.client import Box

if TYPE_CHECKING:
    from rich.console import RenderableType

PAUSE = 2.0
"""Seconds between two questions; the box measures every ten."""
KEYS = {"c": "cpu", "m": "memory", "r": "requests", "n": "name"}
_COLOURS = {Seen.RUNNING: "green", Seen.DOWN: "red", Seen.DEGRADED: "red", Seen.FAILED: "red"}
_APPS = ["APP", "STATE", "CPU", "MEMORY", "REQUESTS/S", "ERRORS/S", "P50", "P99", "RESTARTS", "SINCE"]
_INSTANCES = ["INSTANCE", "CPU", "MEMORY", "PEAK", "RECEIVED/S", "SENT/S", "READ/S", "WRITTEN/S", "PIDS"]
Table: TypeAlias = tuple[list[str], list[list[Cell]]]


@click.command()
@click.argument("app", required=False)
@click.option(
    "--sort",
    type=click.Choice(list(KEYS.values())),
    default="cpu",
    show_default=True,
    help="By what. On a terminal the keys c, m, r and n change it.",
)
@click.option("--once", is_flag=True, help="Print one table and end.")
@box_options
def top(app: str | None, sort: str, once: bool, to: str | None, as_json: bool) -> None:
    """What apps use and answer, live; with APP, its instances. The key q or Ctrl-C ends it.

    CPU is in percent of one core.
    """
    box = Box.at(to)
    if as_json:
        print_json(box.raw("GET", "/metrics"))
        return
    first = box.get("/metrics", Summary)
    _check(first, app)
    if once or not (on_terminal() and on_terminal(sys.stdin)):
        print(_host_line(first.host))
        print()
        print_table(*_table(first, app, sort))
        return
    _live(box, first, app, sort)


def _check(summary: Summary, app: str | None) -> None:
    if app is not None and all(one.app != app for one in summary.apps):
        raise Missing(
            f"cannot find app {app}: this box has no such app", hint="see: minipaas status", code="app.missing"
        )


def _host_line(host: HostNow | None) -> str:
    """`cpu 12 % of 2 cores  load 0.5 0.4 0.3  memory …`"""
    if host is None:
        return "nothing measured yet"
    busy = "-" if host.cpu is None else f"{100 * host.cpu:.0f} %"
    load = " ".join(f"{one:.2f}" for one in host.load)
    return (
        f"cpu {busy} of {host.cores} cores  load {load}  "
        f"memory {human_bytes(host.memory_used)} of {human_bytes(host.memory_total)}  "
        f"disk {human_bytes(host.disk_used)} of {human_bytes(host.disk_total)}  "
        f"network {_rate(host.received)} in, {_rate(host.sent)} out  up {span(host.uptime)}"
    )


def _table(summary: Summary, app: str | None, sort: str) -> Table:
    if app is None:
        order: Callable[[AppSummary], tuple[float, str]] = {
            "cpu": lambda one: (-_cpu(one), one.app),
            "memory": lambda one: (-_memory(one), one.app),
            "requests": lambda one: (-(one.requests_now or 0.0), one.app),
            "name": lambda one: (0.0, one.app),
        }[sort]
        return _APPS, [_app_row(one) for one in sorted(summary.apps, key=order)]
    instances = [instance for one in summary.apps if one.app == app for instance in one.instances]
    by: Callable[[InstanceNow], tuple[float, str, int]] = {
        "cpu": lambda one: (-(one.cpu or 0.0), one.service, one.slot),
        "memory": lambda one: (-one.memory, one.service, one.slot),
    }.get(sort, lambda one: (0.0, one.service, one.slot))
    return _INSTANCES, [_instance_row(one) for one in sorted(instances, key=by)]


def _cpu(app: AppSummary) -> float:
    return sum(one.cpu or 0.0 for one in app.instances)


def _memory(app: AppSummary) -> int:
    return sum(one.memory for one in app.instances)


def _app_row(app: AppSummary) -> list[Cell]:
    restarts = str(app.restarts) if app.restarts else "-"
    if app.restart_gap is not None:
        restarts += f", every {span(app.restart_gap)}"
    return [
        app.app,
        (app.state.value, _COLOURS.get(app.state, "yellow")),
        f"{100 * _cpu(app):.1f} %" if app.instances else "-",
        human_bytes(_memory(app)) if app.instances else "-",
        _number(app.requests_now),
        _number(app.errors_now),
        _latency(app.p50),
        _latency(app.p99),
        restarts,
        ago(app.since or None),
    ]


def _instance_row(one: InstanceNow) -> list[Cell]:
    return [
        f"{one.service} #{one.slot}",
        "-" if one.cpu is None else f"{100 * one.cpu:.1f} %",
        human_bytes(one.memory),
        human_bytes(one.peak),
        *map(_rate, (one.received, one.sent, one.read, one.written)),
        str(one.pids),
    ]


def _rate(value: float | None) -> str:
    return "-" if value is None else human_bytes(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _latency(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def _live(box: Box, summary: Summary, app: str | None, sort: str) -> None:
    """Until q, Ctrl-C, or the end of standard input."""
    from rich.console import Console
    from rich.live import Live

    trouble = ""
    with _keys() as key, Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
        asked = time.monotonic()
        while True:
            live.update(_screen(summary, app, sort, trouble), refresh=True)
            pressed = key(max(0.0, asked + PAUSE - time.monotonic()))
            if pressed in ("q", "Q", ""):
                return
            if pressed is not None:
                sort = KEYS.get(pressed.lower(), sort)
                continue
            asked = time.monotonic()
            try:
                summary = box.get("/metrics", Summary)
                trouble = ""
            except Unreachable as error:
                trouble = error.message
            _check(summary, app)


def _screen(summary: Summary, app: str | None, sort: str, trouble: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    headers, rows = _table(summary, app, sort)
    table = RichTable(box=None, pad_edge=False, header_style="bold", expand=False)
    for number, header in enumerate(headers):
        table.add_column(
            header, justify="left" if number == 0 or header in ("STATE", "SINCE") else "right", no_wrap=True
        )
    for row in rows:
        cells = [(cell, "") if isinstance(cell, str) else cell for cell in row]
        table.add_row(*(Text(clean(text), style=colour) for text, colour in cells))
    last = Text(f"by {sort}; keys: c cpu, m memory, r requests, n name, q ends", style="bright_black")
    if trouble:
        last = Text(clean(f"{trouble}; trying again"), style="red")
    return Group(Text(_host_line(summary.host)), last, Text(""), table)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str | None]]:
    """A function that waits for a key at most so many seconds: the key, "" at the end of input, None for none."""
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)

    def key(seconds: float) -> str | None:
        if not select.select([terminal], [], [], seconds)[0]:
            return None
        return os.read(terminal, 1).decode("ascii", "replace")

    try:
        tty.setcbreak(terminal)
        yield key
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
