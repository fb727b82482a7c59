"""`minipaas deploy`: send a bundle to one box, or to several one after the other, and watch it go live."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from minipaas.model.change import ChangeState
from minipaas.model.errors import Forbidden, MinipaasError, Refused
from minipaas.model.units import human_bytes
from minipaas.surface.cli.diff import show as show_diff
from minipaas.surface.cli.follow import conclude, follow
from minipaas.surface.cli.options import TO_HELP, dry_run_option, json_option
from minipaas.surface.cli.outlook import show as show_outlook
from minipaas.surface.cli.show import clean, on_terminal, paint, print_json_line, span, stamp
from minipaas.surface.client import Box
from minipaas.surface.wire import Accepted, Digests, MissingDigests
from minipaas.surface.wire_plan import Held

T = TypeVar("T")

MEDIA_TYPE = "application/vnd.minipaas.bundle.v1+zstd"
BATCH = 500
"""Digests asked about in one request."""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--to", "targets", metavar="URL", multiple=True, help=f"{TO_HELP} May be given several times.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the box has accepted the bundle.")
@dry_run_option
@json_option
def deploy(file: Path, targets: tuple[str, ...], no_wait: bool, dry_run: bool, as_json: bool) -> None:
    """Send a bundle to a box and watch it go live.

    Only what the box lacks is sent. With several --to the boxes are taken one after the other; the first that does
    not end well stops it. With --json every box gives one line. With --dry-run the box verifies the bundle, says why it
    believes it, what it changes and which steps would run, and drops it.
    """
    boxes = [Box.at(to) for to in targets] or [Box.at()]
    for number, box in enumerate(boxes):
        if len(boxes) > 1 and not as_json:
            print(paint(f"{box.address}", "cyan"), flush=True)
        try:
            if dry_run:
                _look(file, box, as_json)
            else:
                _deploy(file, box, wait=not no_wait, as_json=as_json)
        except MinipaasError as error:
            left = [str(other.address) for other in boxes[number + 1 :]]
            if len(boxes) > 1:
                error.message = f"{error.message} (at {box.address})"
            if left:
                error.hint = f"{error.hint}; not touched: {', '.join(left)}".removeprefix("; ")
            raise


def _look(file: Path, box: Box, as_json: bool) -> None:
    """Have the bundle held, show what would happen, and have it dropped."""
    held = send(file, box, as_json, Held, {"hold": "true"})
    box.raw("DELETE", f"/held/{held.id}")
    if as_json:
        print_json_line(held)
        return
    verified = held.verification
    signed = f"{len(verified.signers)} of {verified.keys} release keys, {verified.threshold} needed"
    print(f"{held.app} {held.version}: signed by {signed} (root {verified.root_version})")
    until = f", valid until {stamp(verified.valid_until)}" if verified.valid_until is not None else ""
    print(f"  issued {span(verified.age)} ago{until}; sequence {verified.sequence} of epoch {verified.epoch}")
    print(f"  {human_bytes(held.size)}, of which {human_bytes(held.new)} are new to the box")
    _warn(verified.warnings)
    if held.diff is not None:
        print()
        show_diff(held.diff)
    print()
    if held.preview is not None:
        show_outlook(held.preview, as_json=False)
    else:
        print(paint(clean(held.refused), "red"))


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(paint(f"! {clean(warning)}", "yellow"))


def _deploy(file: Path, box: Box, *, wait: bool, as_json: bool) -> None:
    accepted = send(file, box, as_json, Accepted)
    about: dict[str, object] = {"box": str(box.address), "app": accepted.app, "version": accepted.version}
    about |= {"change": accepted.change, "warnings": accepted.warnings}
    if not as_json:
        _warn(accepted.warnings)
    if not wait:
        if as_json:
            print_json_line(about | {"outcome": None})
        else:
            print(f"{accepted.app} {accepted.version} accepted; watch it: minipaas changes {accepted.change}")
        return
    end = follow(box, accepted, as_json)
    if as_json:
        print_json_line(about | {"outcome": end.outcome, "reason": end.reason, "urls": end.urls})
    elif end.outcome is ChangeState.DONE:
        print(paint(f"{accepted.app} {accepted.version} serves", "green"))
        for url in end.urls:
            print(f"  {url}")
    conclude(end)


def send(file: Path, box: Box, quiet: bool, kind: type[T], query: dict[str, Any] | None = None) -> T:
    """Upload what the box lacks of a bundle; the answer as `kind`. Raises what the box says."""
    from minipaas.bundle import thin

    missing = missing_blobs(box, thin.digests(file))
    whole = file.stat().st_size
    if missing is not None:
        parcel = thin.thin(file, missing)
        if parcel.length < whole:  # else the file as it is: its own checksum says whether it came here whole
            try:
                return _upload(box, parcel, parcel.length, whole, quiet, kind, query)
            except Refused as error:
                if error.code != "bundle.missing_blob":
                    raise
                # the box has collected, since we asked, what we left out: once more, with everything
    with file.open("rb") as source:
        return _upload(box, iter(lambda: source.read(1 << 20), b""), whole, whole, quiet, kind, query)


def missing_blobs(box: Box, digests: Collection[str]) -> set[str] | None:
    """Which of them the box lacks; None when it does not tell us: then the whole file goes."""
    wanted = sorted(digests)
    missing: set[str] = set()
    try:
        for start in range(0, len(wanted), BATCH):
            body = Digests(digests=tuple(wanted[start : start + BATCH]))
            missing.update(box.call("POST", "/bundles/missing", MissingDigests, body).missing)
    except Forbidden:
        return None
    return missing


def _upload(
    box: Box,
    chunks: Iterator[bytes],
    length: int,
    whole: int,
    quiet: bool,
    kind: type[T],
    query: dict[str, Any] | None,
) -> T:
    began = time.monotonic()
    with progress_bar(length, quiet) as progress:
        answer = box.upload("/bundles", chunks, length, kind, media_type=MEDIA_TYPE, progress=progress, query=query)
    if not quiet:
        spared = f" (the box had the other {human_bytes(whole - length)})" if length < whole else ""
        print(f"{paint('✓', 'green')} sent {human_bytes(length)}{spared}  {span(time.monotonic() - began)}", flush=True)
    return answer


@contextmanager
def progress_bar(length: int, quiet: bool) -> Iterator[Callable[[int], None] | None]:
    """A bar on a terminal; nothing elsewhere."""
    if quiet or not on_terminal() or not sys.stdout.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("sending"), BarColumn(), DownloadColumn(True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(highlight=False), transient=True) as bar:
        task = bar.add_task("send", total=length)
        yield lambda sent: bar.update(task, completed=sent)
