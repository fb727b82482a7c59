"""`logs`: the last lines that an app wrote, those of a time or with a text, and new ones as they come."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import click

from minipaas.model.errors import Invalid
from minipaas.model.logs import Level, Stream
from minipaas.surface.cli.options import app_and_service, box_options, moment
from minipaas.surface.cli.show import clean, colourful, paint, print_json, print_json_line, stamp
from minipaas.surface.client import Box, segment
from minipaas.surface.wire import LogLine, Logs

_PREFIXES = ("cyan", "magenta", "yellow", "blue", "green")
_BAD = (Level.ERROR, Level.FATAL)


@click.command()
@click.argument("name", metavar="APP[/SERVICE]")
@click.option("-n", "lines", type=click.IntRange(1, 2000), default=100, show_default=True, help="Lines, at most.")
@click.option("--since", metavar="TIME", help="Not earlier: 2h, or a local date and time.")
@click.option("--until", metavar="TIME", help="Earlier than this: 10m, or a local date and time.")
@click.option("--grep", metavar="TEXT", help="Only lines with TEXT, in any case; *TEXT also within words.")
@click.option("--instance", metavar="NAME", help="Only this instance, also one that is gone.")
@click.option("--release", metavar="VERSION", help="Only this release, by version or digest.")
@click.option("--stream", type=click.Choice([one.value for one in Stream]), help="Only this stream.")
@click.option("--level", type=click.Choice([one.value for one in Level]), help="At least so bad (JSON, logfmt).")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come, until Ctrl-C.")
@click.option("-t", "--times", is_flag=True, help="Show when each line was written.")
@box_options
def logs(
    name: str,
    lines: int,
    since: str | None,
    until: str | None,
    grep: str | None,
    instance: str | None,
    release: str | None,
    stream: str | None,
    level: str | None,
    follow: bool,
    times: bool,
    to: str | None,
    as_json: bool,
) -> None:
    """What the instances of an app wrote, those that are gone included."""
    app, service = app_and_service(name)
    query = {
        "service": service,
        "tail": lines,
        "since": None if since is None else moment(since, "--since"),
        "until": None if until is None else moment(until, "--until"),
        "text": grep,
        "instance": instance,
        "release": release,
        "stream": stream,
        "level": level,
    }
    box = Box.at(to)
    if follow:
        _follow(box, app, query, Printer(times, []), as_json)
        return
    answer = box.raw("GET", f"/apps/{segment(app)}/logs", query=query)
    if as_json:
        print_json(answer)
        return
    told = box.understand(answer, Logs).lines
    if not told:
        print(f"no line of {name} fits; what runs, and its names: minipaas status {app}", file=sys.stderr)
    printer = Printer(times, sorted({line.instance for line in told}))
    for line in told:
        printer.show(line)


def _follow(box: Box, app: str, query: dict[str, Any], printer: Printer, as_json: bool) -> None:
    from minipaas.surface.cli.logs_live import follow

    if query.pop("until") is not None:
        raise Invalid("cannot follow until a time", hint="leave out --until, or -f", code="cli.usage")
    tail = query.pop("tail")
    with contextlib.suppress(KeyboardInterrupt):  # the usual end
        follow(box, app, query, tail, print_json_line if as_json else printer.show)


class Printer:
    """Shows lines; once there are several instances, each line says whose it is."""

    def __init__(self, times: bool, instances: list[str]) -> None:
        self._times = times
        self._instances = instances

    def show(self, line: LogLine) -> None:
        """One line."""
        if line.instance not in self._instances:
            self._instances.append(line.instance)
        prefix = f"{stamp(line.time)} " if self._times else ""
        if len(self._instances) > 1:
            width = max(map(len, self._instances))
            colour = _PREFIXES[self._instances.index(line.instance) % len(_PREFIXES)] if colourful() else ""
            prefix += paint(line.instance.ljust(width), colour) + " │ "
        text = clean(line.text)
        if line.stream == Stream.MINIPAAS:
            text = paint(f"[minipaas: {text}]", "bright_black")
        elif line.level in _BAD:
            text = paint(text, "red")
        print(prefix + text)
        sys.stdout.flush()
