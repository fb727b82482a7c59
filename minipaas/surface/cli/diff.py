"""`minipaas diff`: what changed between two releases of an app."""

from __future__ import annotations

import click

from minipaas.model.difference import Difference, ImageDiff, PackageDiff
from minipaas.model.units import human_bytes
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
    if found.images:
        print()
        print_table(["", "IMAGE OF", "BEFORE", "AFTER", "SIZE", "NEW"], map(_image, found.images))
    if found.settings:
        print()
        rows: list[list[Cell]] = [
            [
                _MARKS[one.difference],
                one.key,
                *(["hidden"] * 2 if one.hidden else [_said(one.before), _said(one.after)]),
            ]
            for one in found.settings
        ]
        print_table(["", "APP.TOML", "BEFORE", "AFTER"], rows)
    if found.packages:
        print()
        print_table(
            ["", "PACKAGE", "KIND", "BEFORE", "AFTER", "IN"],
            [
                [_MARKS[one.difference], one.name, one.ecosystem, _said(one.before), _said(one.after), _where(one)]
                for one in found.packages
            ],
        )
    if found.left_out:
        print(f"and {found.left_out} more packages")
    if found.unknown:
        print(paint(f"not all can be compared: {clean(found.unknown)}", "yellow"))


def _where(package: PackageDiff) -> str:
    return ", ".join(package.services)


def _said(text: str | None) -> str:
    return "-" if text is None else text


def _image(one: ImageDiff) -> list[Cell]:
    before, after = (digest.removeprefix("sha256:")[:12] if digest else "-" for digest in (one.before, one.after))
    size = human_bytes(one.size_after if one.size_after is not None else one.size_before or 0)
    fresh = "-"
    if one.new_layers is not None and one.new_bytes is not None:
        fresh = f"{one.new_layers} layers, {human_bytes(one.new_bytes)}"
    return [_MARKS[one.difference], one.service, before, after, size, fresh]
