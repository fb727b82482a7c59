"""A new program is tried before anything depends on it: it has to start on this host, and say who it is."""

from __future__ import annotations

import asyncio
import os

import msgspec
from msgspec import Struct

from minipaas.install.layout import Version
from minipaas.model.errors import MinipaasError
from minipaas.takeover import limits
from minipaas.takeover.inheritance import MANAGER, VARIABLE


class Facts(Struct, frozen=True):
    """What a program says of itself: `minipaas version --json`."""

    version: str
    schema: int = 1
    """The newest registry that it knows; those that do not say it know the first."""


async def try_out(target: Version) -> Facts:
    """Start it for a moment. Raises MinipaasError that says why it does not run here."""
    hidden = (*MANAGER, VARIABLE, "MINIPAAS_HOST", "MINIPAAS_TOKEN")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(target.executable), "version", "--json", "--to", "unix:///nobody"),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise _unfit(target, error.strerror or str(error)) from None
    try:
        async with asyncio.timeout(limits.TRY):
            out, errors = await process.communicate()
    except TimeoutError:
        raise _unfit(target, f"it did not end within {limits.TRY:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip().splitlines()[-1:] or [f"status {process.returncode}"]
        raise _unfit(target, said[0][: limits.LINE])
    try:
        return msgspec.json.decode(out, type=Facts)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _unfit(target, "it does not say which version it is") from None


def _unfit(target: Version, why: str) -> MinipaasError:
    return MinipaasError(
        f"cannot use minipaas {target.version}: it does not run on this host: {why}",
        hint=f"try it by hand: {target.executable} version",
        code="self.unfit",
    )
