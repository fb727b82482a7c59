"""`version` and `completion`."""

from __future__ import annotations

import platform

import click

from minipaas.model.errors import MinipaasError
from minipaas.surface.cli.options import box_options
from minipaas.surface.cli.show import print_json
from minipaas.surface.client import Box, Limits
from minipaas.surface.wire import BoxView


def own_version() -> str:
    """The version of this program."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("minipaas")
    except PackageNotFoundError:
        return "unknown"


@click.command()
@box_options
def version(to: str | None, as_json: bool) -> None:
    """The versions of this program and of the box."""
    own, python = own_version(), platform.python_version()
    box, trouble = None, ""
    try:
        box = Box.at(to, Limits(connect=2, answer=5)).get("/box", BoxView)
    except MinipaasError as error:
        trouble = error.message
    if as_json:
        print_json({"version": own, "python": python, "box": box and box.version, "podman": box and box.podman.version})
        return
    print(f"minipaas {own} (python {python})")
    print(f"box: minipaas {box.version}, podman {box.podman.version}" if box else f"box: {trouble}")


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
