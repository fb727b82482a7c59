"""A process that goes on as another program, with the same id, and with what is open (execve(2))."""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from msgspec import Struct

from minipaas import program
from minipaas.model.errors import MinipaasError
from minipaas.takeover.heir import Heir
from minipaas.takeover.inheritance import Bequest, Role
from minipaas.takeover.listeners import Listeners
from minipaas.takeover.notify import notify, watchdog_interval


class Becomes(Struct, frozen=True):
    """What this process has to become."""

    command: tuple[str, ...]
    environment: dict[str, str]
    descriptors: tuple[int, ...] = ()
    """They stay open; all others are closed."""


def after(heir: Heir, command: tuple[str, ...], lock: int, listeners: Listeners) -> Becomes:
    """The program that takes the box back from the heir, which may have died."""
    heir.forget()
    if heir.process.poll() is None:
        channel = os.dup(heir.channel.sock.fileno())
    else:  # a channel without anybody at its other end
        ours, theirs = socket.socketpair()
        theirs.close()
        channel = ours.detach()
    bequest = Bequest(Role.MAIN, channel, lock, listeners.held, child=heir.process.pid)
    return Becomes(command, bequest.environment(os.environ, manager=True), tuple(bequest.descriptors))


def become(other: Becomes) -> NoReturn:
    """Go on as the other program. Raises MinipaasError when that one cannot be started."""
    for descriptor in other.descriptors:
        os.set_inheritable(descriptor, True)
    if watchdog_interval(other.environment) is not None:
        notify("WATCHDOG=1")  # the next sign of life comes when the other program runs
    sys.stdout.flush()
    sys.stderr.flush()
    program.leave()
    try:
        os.execve(other.command[0], other.command, other.environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise MinipaasError(
            f"cannot start {other.command[0]}: {error.strerror}", hint="install minipaas again", code="self.start"
        ) from None
