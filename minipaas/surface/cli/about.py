"""`version` and `completion`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import click

from minipaas import program
from minipaas.model.errors import MinipaasError
from minipaas.surface.cli.options import box_options
from minipaas.surface.cli.show import print_json, print_table
from minipaas.surface.client import Box, Limits
from minipaas.surface.wire_box import BoxView

if TYPE_CHECKING:
    from minipaas.surface.cli.parts import Part


def own_version() -> str:
    """The version of this program."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("minipaas")
    except PackageNotFoundError:
        return "unknown"


@click.command()
@click.option("--verbose", is_flag=True, help="List every part that this program is made of, with its licence.")
@box_options
def version(verbose: bool, to: str | None, as_json: bool) -> None:
    """The versions of this program and of the box."""
    own, python = own_version(), platform.python_version()
    box, trouble = None, ""
    try:
        box = Box.at(to, Limits(connect=2, answer=5)).get("/box", BoxView)
    except MinipaasError as error:
        trouble = error.message
    made_of = _parts() if verbose else []
    if as_json:
        from minipaas.registry.schema import VERSION

        told = {"version": own, "schema": VERSION, "python": python}
        told |= {"box": box and box.version, "podman": box and box.podman.version}
        print_json(told | ({"form": program.form(), "parts": made_of} if verbose else {}))
        return
    print(f"minipaas {own} (python {python})")
    print(f"box: minipaas {box.version}, podman {box.podman.version}" if box else f"box: {trouble}")
    if verbose:
        print(f"form: {_FORMS[program.form()]}\n")
        rows = [(one.name, one.version, _shortly(one.license), one.source, one.inside) for one in made_of]
        print_table(("PART", "VERSION", "LICENSE", "FROM", "INSIDE"), rows)


_FORMS = {
    program.Form.SOURCES: "from the sources",
    program.Form.TREE: "program tree",
    program.Form.FILE: "one file, unpacked while it runs",
}


def _shortly(text: str) -> str:
    return text if len(text) <= 44 else f"{text[:43]}…"


def _parts() -> list[Part]:
    from minipaas.surface.cli.parts import parts

    return parts()


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script. For bash: minipaas completion bash > /etc/bash_completion.d/minipaas"""
    from click.shell_completion import get_completion_class

    from minipaas.surface.cli.main import cli

    made = get_completion_class(shell)
    if made is None:
        raise MinipaasError(f"cannot complete in {shell}")
    print(made(cli, {}, "minipaas", "_MINIPAAS_COMPLETE").source())
