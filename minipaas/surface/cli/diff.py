"""`minipaas diff`: what changed between two releases of an app."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from minipaas.model.difference import Difference, ImageDiff, PackageDiff, SettingDiff
from minipaas.model.units import counted, human_bytes
from minipaas.surface.cli.options import box_options
from minipaas.surface.cli.show import Cell, clean, paint, print_json, print_table
from minipaas.surface.client import Box, segment
from minipaas.surface.wire import Releases
from minipaas.surface.wire_history import ReleaseDiff

_MARKS = {Difference.ADDED: ("+", "green"), Difference.REMOVED: ("-", "red"), Difference.CHANGED: ("~", "yellow")}


@click.command()
@click.argument("app")
@click.argument("base", metavar="[FROM]", required=False)
@click.argument("release", metavar="[TO]", required=False)
@box_options
def diff(app: str, base: str | None, release: str | None, to: str | None, as_json: bool) -> None:
    """What changed between two releases: images, app.toml, packages.

    FROM and TO are versions or digests. Without TO it is the newest release that the box has; without FROM what serves,
    or, when that is the newest, the release before it. Values of environment variables are never shown.
    """
    box = Box.at(to)
    if release is None:
        rows = box.get(f"/apps/{segment(app)}/releases", Releases).releases
        release = rows[0].digest.removeprefix("sha256:") if rows else "newest"
    path = f"/apps/{segment(app)}/releases/{segment(release)}/diff"
    answer = box.raw("GET", path, query={"from": base})
    if as_json:
        print_json(answer)
    else:
        show(box.understand(answer, ReleaseDiff))


def show(found: ReleaseDiff) -> None:
    """All of it."""
    print(f"{found.app} {found.base.version} → {found.release.version}: {clean(found.sentence)}")
    show_parts(found.images, found.settings, found.packages, found.unknown)
    if found.left_out:
        print(f"and {found.left_out} more packages")


def show_parts(
    images: Sequence[ImageDiff],
    settings: Sequence[SettingDiff],
    packages: Sequence[PackageDiff],
    unknown: str,
    indent: str = "",
) -> None:
    """The parts that differ, a table each."""
    if images:
        _table(["", "IMAGE OF", "BEFORE", "AFTER", "SIZE", "NEW"], map(_image, images), indent)
    if settings:
        _table(["", "APP.TOML", "BEFORE", "AFTER"], map(_setting, settings), indent)
    if packages:
        _table(["", "PACKAGE", "KIND", "BEFORE", "AFTER", "IN"], map(_package, packages), indent)
    if unknown:
        print(paint(f"{indent}not all can be compared: {clean(unknown)}", "yellow"))


def _table(headers: list[str], rows: Iterable[list[Cell]], indent: str) -> None:
    if not indent:
        print()
    print_table([headers[0] or indent, *headers[1:]] if indent else headers, (_indented(row, indent) for row in rows))


def _indented(row: list[Cell], indent: str) -> list[Cell]:
    first = row[0]
    return [(f"{indent}{first[0]}", first[1]) if isinstance(first, tuple) else f"{indent}{first}", *row[1:]]


def _setting(one: SettingDiff) -> list[Cell]:
    said: list[Cell] = ["hidden", "hidden"] if one.hidden else [_said(one.before), _said(one.after)]
    return [_MARKS[one.difference], one.key, *said]


def _package(one: PackageDiff) -> list[Cell]:
    return [_MARKS[one.difference], one.name, one.ecosystem, _said(one.before), _said(one.after), _where(one)]


def _where(package: PackageDiff) -> str:
    return ", ".join(package.services)


def _said(text: str | None) -> str:
    return "-" if text is None else text


def _image(one: ImageDiff) -> list[Cell]:
    before, after = (digest.removeprefix("sha256:")[:12] if digest else "-" for digest in (one.before, one.after))
    size = human_bytes(one.size_after if one.size_after is not None else one.size_before or 0)
    fresh = "-"
    if one.new_layers is not None and one.new_bytes is not None:
        fresh = f"{counted(one.new_layers, 'layer')}, {human_bytes(one.new_bytes)}"
    return [_MARKS[one.difference], one.service, before, after, size, fresh]
