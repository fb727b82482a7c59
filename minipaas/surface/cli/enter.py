"""`exec` and `shell`: a command or a shell in an instance.

What always holds: the exit code is the command's own; what kept it from running, or cut it off, is 125 (126 it cannot
be run, 127 there is no such command), as other container tools have it. A command line that cannot be understood is 2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from minipaas.model.errors import Invalid, MinipaasError
from minipaas.model.units import Duration
from minipaas.surface.cli.main import tell
from minipaas.surface.cli.options import instance_named, to_option
from minipaas.surface.cli.show import on_terminal
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_access import RunCommand, TerminalSize

F = TypeVar("F", bound=Callable[..., Any])

NOT_DONE = 125
"""minipaas itself could not, or had to end it."""


def visit_options(command: F) -> F:
    """`--reason` and `--for`, as `reason: str` and `seconds: float | None`."""
    reason = click.option("--reason", metavar="TEXT", default="", help="Why; shown to others and audited.")
    time = click.option(
        "--for", "seconds", metavar="TIME", callback=_seconds, help="How long at most, like 15m. Default: the box's."
    )
    return reason(time(command))


def _seconds(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(Duration.parse(text))
    except ValueError as error:
        raise Invalid(f"cannot read --for: {error}", code="cli.time") from None


def _command_options(command: F) -> F:
    """What is said of a command to run."""
    for option in (
        click.option("--env", "-e", multiple=True, metavar="NAME=VALUE", help="Set a variable for it."),
        click.option("--workdir", "-w", default="", metavar="PATH", help="Where it starts. Default: as the instance."),
        click.option(
            "--toolbox", is_flag=True, help="With tools of minipaas, beside the instance; its files: /instance."
        ),
        click.option("--user", "-u", default="", metavar="USER", help="Run it as this user of the image."),
    ):
        command = option(command)
    return command


@click.command("exec")
@click.argument("name", metavar="APP[/SERVICE[/N]]")
@click.argument("argv", metavar="-- COMMAND [ARG]...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--terminal", "-t", is_flag=True, help="With a terminal: both outputs in one, keys as typed.")
@click.option("--no-stdin", "-n", is_flag=True, help="Leave standard input alone.")
@_command_options
@visit_options
@to_option
def exec_(
    name: str,
    argv: tuple[str, ...],
    terminal: bool,
    no_stdin: bool,
    env: tuple[str, ...],
    workdir: str,
    user: str,
    toolbox: bool,
    reason: str,
    seconds: float | None,
    to: str | None,
) -> None:
    """Run a command in an instance of APP; its output, and its exit code, are yours.

    Without N an instance that serves is taken. Exit code 125: it could not be run, or the access was ended; 126 and 127
    as in a shell.
    """
    _enter(to, name, argv, terminal, not no_stdin, env, workdir, user, toolbox, reason, seconds)


@click.command()
@click.argument("name", metavar="APP[/SERVICE[/N]]")
@_command_options
@visit_options
@to_option
def shell(
    name: str,
    env: tuple[str, ...],
    workdir: str,
    user: str,
    toolbox: bool,
    reason: str,
    seconds: float | None,
    to: str | None,
) -> None:
    """Open a shell in an instance of APP, on this terminal.

    It is bash where the image has it, else sh; where it has none, one with tools of minipaas, beside the instance.
    What is shown is recorded: minipaas access play.
    """
    if not on_terminal(sys.stdin) or not sys.stdout.isatty():
        raise Invalid(
            "cannot open a shell: this is not a terminal",
            hint=f"run a command: minipaas exec {name} -- sh -c …",
            code="cli.terminal",
        )
    _enter(to, name, (), True, True, env, workdir, user, toolbox, reason, seconds)


def _enter(
    to: str | None,
    name: str,
    argv: tuple[str, ...],
    terminal: bool,
    stdin: bool,
    env: tuple[str, ...],
    workdir: str,
    user: str,
    toolbox: bool,
    reason: str,
    seconds: float | None,
) -> None:
    """Run it, and end with its exit code."""
    app, service, slot = instance_named(name)
    size, env = at_terminal(env) if terminal else (None, env)
    wanted = RunCommand(
        service=service,
        slot=slot,
        reason=reason,
        seconds=seconds,
        argv=argv,
        terminal=size,
        stdin=stdin,
        env=env,
        user=user,
        workdir=workdir,
        toolbox=toolbox,
    )
    conduct(Box.at(to), f"/apps/{segment(app)}/exec", wanted)


def at_terminal(env: tuple[str, ...]) -> tuple[TerminalSize, tuple[str, ...]]:
    """The size of this terminal, and the variables with its kind."""
    from minipaas.surface.cli.terminal import size_now

    columns, rows = size_now()
    return TerminalSize(columns=columns, rows=rows), (f"TERM={os.environ.get('TERM', 'xterm')}", *env)


def conduct(box: Box, path: str, wanted: RunCommand) -> None:
    """Run it over this WebSocket of the API, and end with its exit code."""
    from minipaas.surface.cli.attached import attached

    try:
        code = attached(box, path, wanted)
    except MinipaasError as error:
        tell(error, as_json=False)
        code = NOT_DONE
    raise click.exceptions.Exit(code)
