"""`cp`: files out of an instance, or into it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click

from minipaas.model.errors import Invalid
from minipaas.model.units import human_bytes
from minipaas.surface.cli.enter import visit_options
from minipaas.surface.cli.options import instance_named, to_option
from minipaas.surface.cli.show import on_terminal, span
from minipaas.surface.client import Box
from minipaas.surface.wire_access import CopyFiles

_REMOTE = re.compile(r"([a-z][a-z0-9-]*(?:/[^:/]+){0,2}):(.*)", re.DOTALL)
SHOW_EVERY = 0.5


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@visit_options
@to_option
def cp(source: str, target: str, reason: str, seconds: float | None, to: str | None) -> None:
    """Copy a file or directory out of an instance, or into it.

    One of both is APP[/SERVICE[/N]]:/PATH, the other a path here (./a:b for one with a colon). As cp(1) has it: into a
    directory that is there, else under that name; SOURCE/. is what is in a directory. What comes in belongs to the user
    that the instance runs as.
    """
    away, coming = _REMOTE.fullmatch(source), _REMOTE.fullmatch(target)
    if (away is None) == (coming is None):
        raise Invalid(
            "cannot copy: one of both must be in an instance, and one here",
            hint="like: minipaas cp shop:/etc/hosts . or: minipaas cp ./hosts shop/web/1:/tmp",
            code="cli.copy",
        )
    name, path = (away or coming or re.fullmatch("()()", "")).groups()  # type: ignore[union-attr]
    if not path.startswith("/"):
        raise Invalid(f"cannot copy: {path!r} in an instance must begin with /", code="cli.copy")
    app, service, slot = instance_named(name)
    wanted = CopyFiles(service=service, slot=slot, reason=reason, seconds=seconds, path=path, into=coming is not None)
    from minipaas.surface.cli.copied import copied

    began = time.monotonic()
    total = copied(Box.at(to), app, wanted, Path(source if coming else target), _progress())
    if on_terminal(sys.stderr):
        print(f"\r\033[Kcopied {human_bytes(total)}  {span(time.monotonic() - began)}", file=sys.stderr)


def _progress() -> Callable[[int], None]:
    """Says how much is there, on a terminal."""
    if not on_terminal(sys.stderr):
        return lambda _: None
    shown = time.monotonic()

    def show(total: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > SHOW_EVERY:
            shown = time.monotonic()
            print(f"\r\033[K… {human_bytes(total)}", end="", file=sys.stderr, flush=True)

    return show
