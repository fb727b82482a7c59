"""`crash show FILE` and `crash open FILE`: a scene on a machine that need not know the box that it comes from.

What always holds: a file is opened only when its key is the one that was given with --key, or somebody has said that
they believe it all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from minipaas.bundle.keys import PublicKey
from minipaas.control.elsewhere import Options, Visit, visited
from minipaas.control.exported import SceneFile, opened, read
from minipaas.engine.attach import Attached, Command, Size
from minipaas.forensics.access import SHELL
from minipaas.model.errors import EngineError, Invalid, Refused
from minipaas.model.lease import Ending
from minipaas.model.typed import to_json
from minipaas.surface.cli.attached import between
from minipaas.surface.cli.bars import bar
from minipaas.surface.cli.main import tell
from minipaas.surface.cli.options import sure
from minipaas.surface.cli.scene import print_capsule
from minipaas.surface.cli.show import clean, on_terminal, paint, print_json
from minipaas.surface.cli.terminal import raw
from minipaas.surface.wire_access import Ended, Resize, RunCommand

CODES = {"engine.no_command": 127, "engine.cannot_run": 126}
"""Exit codes for a command that there is not, or that cannot be run (POSIX, 2.8.2)."""
NOT_DONE = 125
BEGINS = 2.0
"""Seconds in which a shell should have said something."""


def show_file(path: Path, key: Path | None, most: int | None, only_log: bool, as_json: bool) -> None:
    """Raises Missing, Invalid, Refused."""
    found = read(path, PublicKey.load(key) if key is not None else None)
    if as_json:
        print_json(to_json(found))
    elif only_log:
        print(clean(found.log), end="")
    else:
        print_capsule(found.capsule, None, most)
        print(f"the image is {'in the file' if found.has_image else 'not in the file'}")
        if key is not None:
            print(f"signed by the box that you believe, {found.key_id[:16]}")
        else:
            print(paint(_unknown(found.key_id), "yellow"))


def _unknown(key_id: str) -> str:
    return (
        f"signed with the key {key_id[:16]}, and nobody here knows whose that is. To be sure: `minipaas crash key` on "
        f"the box ends with `box {key_id[:16]}`; save what it prints as box.pub, and say --key box.pub"
    )


def open_file(
    path: Path,
    wanted: RunCommand,
    *,
    key: Path | None,
    believe: bool,
    bundle: Path | None,
    env: tuple[str, ...],
    podman: str,
) -> None:
    """Go into it, and end with the exit code of the command."""
    pairs = [one.partition("=") for one in env]
    if not all(name and equals for name, equals, _ in pairs):
        raise Invalid("cannot set a variable: it is not NAME=VALUE", code="access.command")
    with opened(path, PublicKey.load(key) if key is not None else None) as scene:
        if key is None:
            _believed(path, scene.exported.key_id, believe)
        options = Options(podman=podman, bundle=bundle, env={name: value for name, _, value in pairs})
        code = asyncio.run(_ended(_visit(scene, options, wanted)))
    raise click.exceptions.Exit(code)


def _believed(path: Path, key_id: str, believe: bool) -> None:
    """Whether it may be opened although nobody knows its key. Raises Refused."""
    if not believe and not on_terminal(sys.stdin):
        raise Refused(
            f"cannot open {path}: it was {_unknown(key_id)}",
            hint="or open it all the same: --yes",
            code="crash.unknown_key",
        )
    print(paint(f"It was {_unknown(key_id)}.", "yellow", sys.stderr), file=sys.stderr)
    sure("Open it all the same?", believe)


async def _ended(work: Coroutine[None, None, int]) -> int:
    """Its exit code; when we are asked to stop, everything is put away first."""
    loop, stopped = asyncio.get_running_loop(), list[int]()
    task = asyncio.create_task(work, name="visit")

    def stop(number: int) -> None:
        stopped.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        return 128 + stopped[0]


async def _visit(scene: SceneFile, options: Options, wanted: RunCommand) -> int:
    async with contextlib.AsyncExitStack() as stack:
        with bar("loading the image") as progress:
            if progress is not None:
                options = replace(options, on_bytes=progress)
            visit = await stack.enter_async_context(visited(scene, options))
        _greet(scene, visit)
        return await _run(visit, wanted)


def _greet(scene: SceneFile, visit: Visit) -> None:
    capsule = scene.exported.capsule
    told = [f"{clean(capsule.app)}/{clean(capsule.service)}: {clean(capsule.reason)}"]
    if visit.kept_back:
        told.append(f"not in the file, as they may be secrets (set them with -e): {clean(', '.join(visit.kept_back))}")
    if visit.foreign:
        told.append(f"the image is for {clean(visit.foreign)}: its programs run here only by emulation")
    for line in told:
        print(line, file=sys.stderr)


async def _run(visit: Visit, wanted: RunCommand) -> int:
    """The command; a shell where the image has none that runs here, beside it with tools of minipaas."""
    size = wanted.terminal
    command = Command(
        argv=wanted.argv or SHELL,
        size=Size(size.columns, size.rows) if size else None,
        user=wanted.user,
        env=wanted.env,
    )
    try:
        return await _session(visit, command, wanted, toolbox=False)
    except EngineError as error:
        if error.code not in CODES:
            raise
        if wanted.argv:
            tell(EngineError(error.message, code=error.code), as_json=False)  # its hint is for instances
            return CODES[error.code]
    print("no shell of the image runs: these are tools beside it, its files are in /instance", file=sys.stderr)
    return await _session(visit, replace(command, user=""), wanted, toolbox=True)


async def _session(visit: Visit, command: Command, wanted: RunCommand, *, toolbox: bool) -> int:
    async with visit.run(command, toolbox=toolbox) as attached:
        here = _Here(attached)
        if not wanted.argv:
            await here.begun()
        with raw(0) if wanted.terminal is not None else contextlib.nullcontext():
            ended = await between(here, wanted)
    if ended.code is None:
        print("how it ended is not known", file=sys.stderr)
    return NOT_DONE if ended.code is None else ended.code


class _Here:
    """A command on this machine, as the far side of a terminal."""

    def __init__(self, attached: Attached) -> None:
        self._attached = attached
        self._output = attached.output()
        self._next: asyncio.Task[tuple[int, bytes] | None] | None = None

    async def begun(self) -> None:
        """Wait until it has said something, a moment at most: then it is known whether there is such a program, and
        nobody has typed for one that there is not. Raises EngineError."""
        self._next = asyncio.create_task(self._piece(), name="first output")
        await asyncio.wait((self._next,), timeout=BEGINS)
        if self._next.done() and isinstance(error := self._next.exception(), EngineError):
            raise error

    async def receive(self) -> bytes | Ended:
        """Its output, and at last how it ended. Raises EngineError."""
        waiting, self._next = self._next or self._piece(), None
        piece = await waiting
        if piece is None:
            return Ended(ending=Ending.DONE, code=await self._attached.exit_code())
        return bytes([piece[0]]) + piece[1]

    async def _piece(self) -> tuple[int, bytes] | None:
        return await anext(self._output, None)

    async def send(self, message: Struct) -> None:
        """What is typed has ended, or the terminal has another size."""
        if isinstance(message, Resize):
            await self._attached.resize(Size(message.columns, message.rows))
        else:
            self._attached.end_input()

    async def send_bytes(self, data: bytes, prefix: bytes = b"") -> None:
        """What is typed."""
        with contextlib.suppress(ConnectionError):
            await self._attached.write(data)
