"""What crosses the wire for going into instances: leases, and the messages of their WebSockets.

Beside these messages, which are JSON, a WebSocket carries bytes: for a command the first byte of a message says which
stream it is of (0 standard input, 1 standard output, 2 standard error), for a connection and for files they are the
bytes themselves.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from minipaas.model.lease import Ending, Entry
from minipaas.surface.wire import Problem

Name = Annotated[str, Meta(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]
Word = Annotated[str, Meta(max_length=4096)]


class TerminalSize(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In characters."""

    columns: Annotated[int, Meta(ge=1, le=4096)]
    rows: Annotated[int, Meta(ge=1, le=4096)]


class Enter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which instance, why, and for how long: part of what every access begins with."""

    service: Name | None = None
    """May be left out when the app has only one."""
    slot: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    """The number of the instance; one that serves when left out."""
    reason: Annotated[str, Meta(max_length=200)] = ""
    seconds: Annotated[float, Meta(gt=0)] | None = None
    """How long at most; what `[access] time` says when left out."""


class RunCommand(Enter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first message to a command."""

    argv: Annotated[tuple[Word, ...], Meta(max_length=1000)] = ()
    """The command; empty: the shell that there is, on a terminal."""
    terminal: TerminalSize | None = None
    """None: no terminal, and standard error apart."""
    stdin: bool = True
    env: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    """NAME=value."""
    user: Annotated[str, Meta(max_length=100)] = ""
    workdir: Word = ""
    toolbox: bool = False
    """In a container of tools beside the instance, which sees its processes, network and files."""
    paced: bool = False
    """You say `taken` of what comes, and never get more than `WINDOW` ahead of it: for whoever cannot leave it unread,
    as a script in a browser."""


class CopyFiles(Enter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first message to copy files. They travel as a tar; into an instance, the tar comes after `Place`, under the
    name that it says."""

    path: Annotated[str, Meta(min_length=1, max_length=4096, pattern="^/")]
    into: bool = False
    """Into the instance, not out of it."""


class ForwardPorts(Enter, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first message to forward ports. As long as this WebSocket is open, `GET /leases/{lease}/connect` gives
    connections to them."""

    ports: Annotated[tuple[Annotated[int, Meta(ge=1, le=65535)], ...], Meta(min_length=1, max_length=16)]


class LeaseView(Struct, frozen=True, kw_only=True):
    """Somebody's way into an instance, open or over. Times are Unix seconds."""

    id: str
    kind: Entry
    app: str
    service: str
    instance: str
    actor: str
    origin: str
    reason: str
    what: str
    """The program, port or path; never its arguments."""
    started: float
    until: float
    ended: float | None
    ending: Ending | None
    result: str
    recording: bool
    """Whether what was shown can be played again."""


class Leases(Struct, frozen=True, kw_only=True):
    """The newest first."""

    leases: tuple[LeaseView, ...]


class DriftFile(Struct, frozen=True, kw_only=True):
    """A file or directory that differs."""

    path: str
    what: str
    """`added`, `modified` or `removed`."""
    podmans: bool = False
    """Perhaps Podman has written it, for a numeric user whom the image does not know."""


class Drift(Struct, frozen=True, kw_only=True):
    """What differs in an instance from the image of its release. Volumes and /tmp are not looked at."""

    instance: str
    touched: str
    """Who has been in it last; empty: nobody."""
    entered: str = ""
    """Who that was, and what is known of what they have changed, in a sentence."""
    files: tuple[DriftFile, ...]
    more: bool
    """There are others."""


class Opened(Struct, frozen=True, kw_only=True, tag="opened", tag_field="type"):
    """The access is open, and the command runs."""

    lease: LeaseView
    toolbox: bool = False


class Place(Struct, frozen=True, kw_only=True, tag="place", tag_field="type"):
    """Where files will lie in an instance: in `directory`, under `name`; None: under the name that they have."""

    directory: str
    name: str | None


class Notice(Struct, frozen=True, kw_only=True, tag="notice", tag_field="type"):
    """Something that the person should know."""

    text: str
    code: str = ""
    """`toolbox`: the command runs in the toolbox, because the instance has no shell; `ends`: the time is nearly up."""


class Taken(Struct, frozen=True, kw_only=True, tag="taken", tag_field="type"):
    """So many more of your bytes have found their way. Never send more than `WINDOW` ahead of what was taken, or what
    is asked and answered cannot get past them. Of the box's bytes it is said only where `paced` was asked for."""

    bytes: Annotated[int, Meta(ge=0, le=2**40)]


class Ended(Struct, frozen=True, kw_only=True, tag="ended", tag_field="type"):
    """The last message."""

    ending: Ending
    code: int | None = None
    """The exit code of a command, where it is known."""
    text: str = ""
    """Why it ended, unless it ended by itself."""
    error: Problem | None = None


class Resize(Struct, frozen=True, kw_only=True, tag="resize", tag_field="type"):
    """The terminal has another size now."""

    columns: Annotated[int, Meta(ge=1, le=4096)]
    rows: Annotated[int, Meta(ge=1, le=4096)]


class InputEnds(Struct, frozen=True, kw_only=True, tag="eof", tag_field="type"):
    """Nothing more comes on standard input."""


class Leave(Struct, frozen=True, kw_only=True, tag="leave", tag_field="type"):
    """You go, and the command ends with that."""


WINDOW = 256 * 1024
"""Bytes that one side may have sent and not heard of."""

Said = Resize | InputEnds | Taken | Leave
"""What a client says to a command, beside bytes."""
