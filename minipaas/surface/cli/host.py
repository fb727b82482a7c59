"""What `install` and `uninstall` share: which place is meant, a line for each step, a row in the audit log."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minipaas.model.errors import Forbidden, Invalid
from minipaas.surface.cli.show import on_terminal, paint

if TYPE_CHECKING:
    from minipaas.install.places import Places
    from minipaas.install.tree import Progress

ROOT = Path("/")
PREFIX_HELP = "Put everything below DIR, but for the files of the init system."
prefix_option = click.option(
    "--prefix", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help=PREFIX_HELP
)
user_option = click.option("--user", is_flag=True, help="For this user alone, with rootless Podman.")


def places_of(user: bool, prefix: Path | None, destination: Path = ROOT) -> Places:
    """Where it is installed, or is to be. Raises Invalid, Forbidden."""
    from minipaas.install.places import Places

    if user and (prefix is not None or destination != ROOT):
        raise Invalid("cannot install for a user and elsewhere", hint="either --user, or --prefix and DESTDIR")
    if user and os.geteuid() == 0:
        raise Invalid("cannot install for root alone: root has the whole host", hint="leave out --user")
    if not user and os.geteuid() != 0 and destination == ROOT:
        raise Forbidden(
            "cannot do that for the whole host: this user is not root",
            hint="sudo minipaas install, or for yourself alone: minipaas install --user",
            code="install.permission",
        )
    if user:
        return Places.of_user(Path.home())
    return Places.system(destination) if prefix is None else Places.below(prefix.absolute(), destination)


def audit(data: Path, action: str, version: str) -> None:
    """A row in the box's audit log, while no box runs; where there is no box yet, there is nothing to write it into."""
    if not (data / "registry.db").exists():
        return
    import asyncio

    from minipaas.control.lock import DataLock
    from minipaas.registry.registry import Registry

    async def add() -> None:
        registry = Registry.open(data / "registry.db")
        try:
            who = f"{os.environ.get('SUDO_USER') or _me()} via command line"
            await registry.audit(
                actor=who,
                action=action,
                subject=f"minipaas {version}",
                origin=f"pid {os.getpid()}",
                result="done",
                now=time.time(),
            )
        finally:
            await registry.close()

    lock = DataLock(data)
    try:
        asyncio.run(add())
    finally:
        lock.release()


def _me() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


@contextlib.contextmanager
def step(title: str) -> Iterator[list[str]]:
    """`✓ title  detail  1.2 s`; the detail is what was appended."""
    began = time.monotonic()
    details: list[str] = []
    try:
        yield details
    except BaseException:
        print(f"{paint('✗', 'red')} {title}", flush=True)
        raise
    took = time.monotonic() - began
    parts = [
        f"{paint('✓', 'green')} {title}",
        *details,
        *([paint(f"{took:.1f} s", "bright_black")] if took >= 1 else []),
    ]
    print("  ".join(parts), flush=True)


@contextlib.contextmanager
def progress() -> Iterator[Progress | None]:
    """How far a copy is, on a terminal, once it takes its time."""
    if not on_terminal():
        yield None
        return
    began = time.monotonic()

    def show(done: int, whole: int) -> None:
        if time.monotonic() - began > 0.5:
            print(f"\r… {100 * done // max(1, whole)} %", end="", file=sys.stderr, flush=True)

    yield show
    print("\r\033[K", end="", file=sys.stderr, flush=True)
