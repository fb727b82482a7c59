"""The options that many commands share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from minipaas.model.errors import Invalid, Refused
from minipaas.model.units import Duration
from minipaas.surface.cli.show import on_terminal
from minipaas.surface.connection import CA_VARIABLE

F = TypeVar("F", bound=Callable[..., Any])

TO_HELP = "The box: unix:///path, http://host:port or https://host:port. Default: MINIPAAS_HOST, else this machine's."


CA_HELP = "Believe https boxes whose certificate this CA signed, and no others. Default: MINIPAAS_CA."


def to_option(command: F) -> F:
    """`--to URL`, as the parameter `to: str | None`; and `--ca FILE`, which goes to where connections are made."""
    ca = click.option("--ca", metavar="FILE", help=CA_HELP, expose_value=False, callback=_believe)
    return click.option("--to", metavar="URL", help=TO_HELP)(ca(command))


def _believe(_: click.Context, __: click.Parameter, file: str | None) -> None:
    if file is not None:
        os.environ[CA_VARIABLE] = file


def json_option(command: F) -> F:
    """`--json`, as the parameter `as_json: bool`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, also for errors (on stderr).")(command)


def box_options(command: F) -> F:
    """`--to` and `--json`."""
    return to_option(json_option(command))


def app_and_service(name: str) -> tuple[str, str | None]:
    """`APP` or `APP/SERVICE`, taken apart. Raises Invalid."""
    app, slash, service = name.partition("/")
    if not app or (slash and not service) or "/" in service:
        raise Invalid(f"cannot read {name!r}: it is not APP or APP/SERVICE", code="cli.name")
    return app, service or None


def instance_named(name: str) -> tuple[str, str | None, int | None]:
    """`APP`, `APP/SERVICE` or `APP/SERVICE/N`, taken apart. Raises Invalid."""
    path, slash, number = name.rpartition("/")
    if slash and number.isdecimal() and "/" in path and int(number) > 0:
        return *app_and_service(path), int(number)
    if name.count("/") > 1:
        raise Invalid(f"cannot read {name!r}: it is not APP, APP/SERVICE or APP/SERVICE/N", code="cli.name")
    return *app_and_service(name), None


def dry_run_option(command: F) -> F:
    """`--dry-run`, as the parameter `dry_run: bool`."""
    return click.option("--dry-run", is_flag=True, help="Show what would happen, and do nothing.")(command)


def moment(text: str, option: str) -> int:
    """Unix seconds of a length of time before now (`2h`) or of a local date and time (ISO 8601). Raises Invalid."""
    try:
        return int(time.time() - Duration.parse(text))
    except ValueError:
        pass
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise Invalid(
            f"cannot read {option} {text!r}: it is no time",
            hint=f"write it like {option} 2h, {option} 2026-11-24 or {option} 2026-11-24T09:12",
            code="cli.time",
        ) from None


def sure(question: str, yes: bool) -> None:
    """Ask on a terminal, unless `--yes`. Raises Refused for a no, Invalid when there is nobody to ask."""
    if yes:
        return
    import sys

    if not on_terminal(sys.stdin):
        raise Invalid("cannot ask: this is not a terminal", hint="say it with --yes", code="cli.confirm")
    if not click.confirm(question, err=True):
        raise Refused("cannot go on: you said no", hint="nothing was changed", code="cli.declined")
