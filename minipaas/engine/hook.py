"""Release hooks: one container that runs to its end, and can be found again when minipaas dies in the middle.

Its name carries the change, so that the same hook of the same change is attached to and never run twice at once;
whether it has been run to its end before is for the registry to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from minipaas.engine import body as labels
from minipaas.engine import limits
from minipaas.engine.logs import tail
from minipaas.engine.streams import Streams, wait_for_exit
from minipaas.model.errors import Deadline
from minipaas.model.launch import Launch

if TYPE_CHECKING:
    from minipaas.engine.engine import Engine


class HookResult(Struct, frozen=True):
    """How a hook ended, and its last lines (at most `limits.HOOK_TAIL_BYTES`)."""

    exit_code: int
    output_tail: str


def hook_name(app: str, service: str, change: int) -> str:
    """The container of a service's hook in a change."""
    return f"minipaas-{app}-hook-{service}-c{change}"


class HookRunner:
    """Runs hooks with an engine's containers."""

    def __init__(self, engine: Engine, streams: Streams) -> None:
        self._engine = engine
        self._streams = streams

    async def run(self, launch: Launch, change: int, timeout: float) -> HookResult:  # noqa: ASYNC109
        """Run the launch's command to its end. The container is removed afterwards, whatever happened.

        Raises Deadline (killed; the message ends with its last lines) after `timeout` seconds, EngineError when it
        can't be started. When minipaas is stopped meanwhile the hook goes on, and is attached to by the next run.
        """
        name = hook_name(launch.app, launch.service, change)
        launch = msgspec.structs.replace(launch, name=name)
        container = await self._engine.find(name) or await self._engine.create(launch, kind=labels.HOOK)
        state = (await self._engine.inspect(container)).state
        if state.status in ("exited", "stopped"):
            return await self._finish(container, name, state.exit_code)
        if state.status != "running":
            try:
                await self._engine.start(container)
            except BaseException:
                await self._engine.remove(container, name)
                raise
        code = await wait_for_exit(self._streams, container, name, timeout)
        if code is None:
            await self._engine.kill(container)
            result = await self._finish(container, name, -1)
            said = f": {result.output_tail}" if result.output_tail else ""
            hint = f"raise services.{launch.service}.hooks.timeout, or make the hook faster"
            raise Deadline(
                f"cannot finish the release hook of {launch.service}: not done within {timeout:g} s{said}",
                hint=hint,
                code="engine.hook_deadline",
            )
        return await self._finish(container, name, code)

    async def _finish(self, container: str, name: str, code: int) -> HookResult:
        lines = await self._engine.log_tail(container, limits.HOOK_TAIL_LINES)
        await self._engine.remove(container, name)
        return HookResult(code, tail(lines, limits.HOOK_TAIL_LINES, limits.HOOK_TAIL_BYTES))
