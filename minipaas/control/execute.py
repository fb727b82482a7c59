"""The executor: one step, done to the outside world. Its `match` is exhaustive.

Order matters for power cuts: what the box has to remember of a container is written before the deed (a note), what it
claims is written after the deed (a change's state).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol, assert_never

from msgspec.structs import replace

from minipaas.control.scenes import Scenes
from minipaas.engine.engine import Engine
from minipaas.engine.hook import hook_name
from minipaas.ingress.ingress import Ingress
from minipaas.ingress.proof import ProofResult
from minipaas.model.change import Change, ChangeKind, ChangeState
from minipaas.model.errors import Conflict, Deadline, EngineDown, EngineError, MinipaasError, NoSpace
from minipaas.model.observed import Instance, InstanceState
from minipaas.model.route import RouteEntry
from minipaas.model.steps import (
    Drain,
    EnsureNetwork,
    EnsureVolume,
    FinishChange,
    ProveInstance,
    ProveRoutes,
    PullImage,
    RemoveInstance,
    RemoveNetwork,
    RemoveVolume,
    RevertChange,
    RunHook,
    SetRoutes,
    StartInstance,
    Step,
    StopInstance,
    SwitchRelease,
    WakeInstance,
)
from minipaas.model.stream import StreamEntry
from minipaas.plan.lifecycle import Event, advance
from minipaas.plan.slots import UNHEALTHY
from minipaas.registry.registry import Registry

log = logging.getLogger(__name__)

PROOF_PATIENCE = 10.0
"""Seconds within which an instance that calls itself healthy has to answer through the ingress."""
PROOF_TIMEOUT = 5.0
PROOF_PAUSE = 0.1
LOG_LINES = 20
LOG_PAUSES = (0.0, 0.2, 0.5)
"""Seconds before each look at a log that is still empty: what a container said last may be written after its end is
known."""
NEVER_RAN = ("configured", "created", "initialized")
"""Podman's words for a container that was never started. One that can't be is no scene, and would be tried for ever."""
SUPERSEDED = "superseded"
"""The message of a cancellation that ends a step for good, not only until the box runs again."""


class Broke(MinipaasError):
    """A step that its change cannot survive. `culprit`: the container whose log explains it; `output`: what it said."""

    def __init__(self, reason: str, *, culprit: str | None = None, output: str = "") -> None:
        super().__init__(reason)
        self.culprit = culprit
        self.output = output


class ImageSource(Protocol):
    """Where Podman pulls from: the box's own read-only registry endpoint."""

    username: str
    password: str

    def reference(self, app: str, manifest: str) -> str:
        """A pullable reference of an image manifest (`sha256:…`) in the blob store."""
        ...


class Executor:
    """Does steps. `proven` are the containers that have answered through the ingress since they started."""

    def __init__(
        self, registry: Registry, engine: Engine, ingress: Ingress, images: ImageSource, scenes: Scenes
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._ingress = ingress
        self._images = images
        self._scenes = scenes
        self.proven: set[str] = set()
        self._changing = asyncio.Lock()
        """Held from reading a change to writing its next state: an app's two lanes must not undo each other's."""

    async def execute(self, step: Step) -> None:
        """Do one step. Raises EngineError when Podman fails, Broke when the change has failed with it."""
        match step:
            case PullImage():
                reference = self._images.reference(step.app, step.image.manifest)
                await self._engine.pull(reference, self._images.username, self._images.password, step.image.config)
            case EnsureNetwork():
                await self._engine.ensure_network(step.app)
            case RemoveNetwork():
                await self._engine.remove_network(step.app)
            case EnsureVolume():
                await self._engine.ensure_volume(step.volume, step.app)
            case RemoveVolume():
                await self._engine.remove_volume(step.volume)
            case RunHook():
                await self._run_hook(step)
            case StartInstance():
                with self._scenes.starting():
                    await self._start(step)
            case WakeInstance():
                with self._scenes.starting():
                    await self._wake(step)
            case ProveInstance():
                await self._prove(step)
            case SetRoutes():
                self._ingress.set_app(step.app, step.entries, step.streams)
            case SwitchRelease():
                await self._switch(step)
            case ProveRoutes():
                for entry in step.entries:
                    await self._prove_route(entry)
                for open_ in step.streams:
                    await self._prove_stream(open_)
            case Drain():
                await self._ingress.drain(step.instances, step.timeout)
            case StopInstance():
                self.proven.discard(step.instance)
                await self._registry.note(step.instance, stopped=step.why)
                if step.why.startswith(UNHEALTHY):
                    await self._scenes.before_stop(step.instance)
                await self._engine.stop(step.instance, step.timeout)
            case RemoveInstance():
                await self._scenes.before_removal(step.instance)
                # Its note stays: who looks at this moment may still see the container, and would take it for dead.
                await self._engine.remove(step.instance, step.name)
            case RevertChange():
                await self._revert(step)
            case FinishChange():
                await self._finish(step)
            case _:
                assert_never(step)

    async def _run_hook(self, step: RunHook) -> None:
        try:
            result = await self._engine.run_hook(step.launch, step.change, step.timeout)
        except Deadline as error:
            raise Broke(error.message) from error
        except asyncio.CancelledError as cancelled:
            # Superseded: nobody will ask for its result. When the box only stops, the hook goes on and is found again.
            if SUPERSEDED in cancelled.args:
                await self._end_hook(hook_name(step.app, step.service, step.change))
            raise
        if result.exit_code != 0:
            reason = f"the release hook of {step.service} exited with code {result.exit_code}"
            raise Broke(reason, output=result.output_tail)
        async with self._changing:
            change = await self._registry.change(step.change)
            await self._registry.save_change(replace(change, hooks_done=(*change.hooks_done, step.service)))

    async def _end_hook(self, name: str) -> None:
        container = await self._engine.find(name)
        if container is not None:
            await self._engine.remove(container, name)

    async def _start(self, step: StartInstance) -> None:
        instance = await self._engine.create(step.launch)
        await self._note_start(instance)
        try:
            await self._engine.start(instance)
        except EngineDown:
            raise
        except EngineError:
            # It never ran, so there is no scene in it; left behind it would hold its name and its port.
            await self._engine.remove(instance, step.launch.name)
            await self._registry.drop_notes([instance])
            raise

    async def _wake(self, step: WakeInstance) -> None:
        # With this note a container that does not start counts as dead, and is replaced.
        self.proven.discard(step.instance)
        await self._note_start(step.instance)
        try:
            await self._engine.start(step.instance)
        except EngineDown:
            raise
        except EngineError:
            if (await self._engine.inspect(step.instance)).state.status in NEVER_RAN:
                await self._engine.remove(step.instance, step.name)
                await self._registry.drop_notes([step.instance])
            raise

    async def _note_start(self, instance: str) -> None:
        try:
            await self._registry.note(instance, boot=self._engine.info.boot, stopped="")
        except NoSpace as full:
            # Without the note an end by a reboot looks like a failure; without the start an app is down.
            log.warning("cannot note that %s is started: %s", instance[:12], full.message)

    async def _prove(self, step: ProveInstance) -> None:
        until = time.monotonic() + PROOF_PATIENCE
        while True:
            result = await self._proof_of(step)
            if result.ok:
                self.proven.add(step.backend.instance)
                return
            if time.monotonic() >= until:
                reason = f"{step.service} #{step.slot} does not answer through the ingress: {result.detail}"
                raise Broke(reason, culprit=step.backend.instance)
            await asyncio.sleep(PROOF_PAUSE)

    async def _proof_of(self, step: ProveInstance) -> ProofResult:
        """The first thing that does not answer, or the last that does."""
        results = []
        if step.host:
            results.append(await self._ingress.prove(step.backend, step.host, step.path, PROOF_TIMEOUT))
        for backend in step.tcp:
            results.append(await self._ingress.streams.prove(backend, PROOF_TIMEOUT))
        return next((one for one in results if not one.ok), results[-1])

    async def _prove_stream(self, entry: StreamEntry) -> None:
        until = time.monotonic() + PROOF_PATIENCE
        while True:
            result = await self._ingress.streams.prove_open(entry.stream, PROOF_TIMEOUT)
            if result.ok:
                return
            if time.monotonic() >= until:
                culprit = entry.backends[0].instance if entry.backends else None
                raise Broke(f"{entry.stream} does not answer through the ingress: {result.detail}", culprit=culprit)
            await asyncio.sleep(PROOF_PAUSE)

    async def _prove_route(self, entry: RouteEntry) -> None:
        until = time.monotonic() + PROOF_PATIENCE
        while True:
            result = await self._ingress.prove_route(entry.route, entry.route.prefix, PROOF_TIMEOUT)
            if result.ok:
                return
            if time.monotonic() >= until:
                culprit = entry.backends[0].instance if entry.backends else None
                reason = f"{entry.route} does not answer through the ingress: {result.detail}"
                raise Broke(reason, culprit=culprit)
            await asyncio.sleep(PROOF_PAUSE)

    async def _switch(self, step: SwitchRelease) -> None:
        async with self._changing:
            change = await self._active(step.change)
            try:
                self._ingress.streams.claim(step.app, step.streams)
            except MinipaasError as error:
                raise Broke(error.message) from error
            self._ingress.set_app(step.app, step.entries, step.streams)
            await self._registry.save_change(advance(change, Event.SWITCHED, time.time()), serving=step.release)

    async def _active(self, change: int) -> Change:
        """The change as it stands. Raises Conflict(change.ended) when another has superseded it."""
        found = await self._registry.change(change)
        if not found.state.active:
            raise Conflict(
                f"cannot go on with change {change} of {found.app}: it has ended already ({found.state})",
                code="change.ended",
            )
        return found

    async def _revert(self, step: RevertChange) -> None:
        reason = step.reason
        if step.culprit is not None:
            reason = "\n".join([reason, *await self._last_words(step.culprit)])
        async with self._changing:
            change = await self._active(step.change)
            if change.state is not ChangeState.REVERTING:  # both lanes may have met the end of the rollout
                await self._registry.save_change(advance(change, Event.BROKE, time.time(), reason))

    async def _last_words(self, culprit: str) -> list[str]:
        """What the culprit wrote last. Podman may have lost that of one that ended within milliseconds; then those that
        died of the same before it are asked."""
        try:
            for pause in LOG_PAUSES:
                await asyncio.sleep(pause)
                if lines := await self._engine.log_tail(culprit, LOG_LINES):
                    return lines
            for one in _like(culprit, (await self._engine.observe()).instances):
                if lines := await self._engine.log_tail(one.id, LOG_LINES):
                    return lines
        except MinipaasError as error:
            return [f"(its log cannot be read: {error.message})"]
        return []

    async def _finish(self, step: FinishChange) -> None:
        async with self._changing:
            await self._end_change(step)

    async def _end_change(self, step: FinishChange) -> None:
        change = await self._active(step.change)
        ended = advance(change, Event(step.event), time.time(), step.reason)
        if change.kind is ChangeKind.REMOVE:
            if ended.state is ChangeState.DONE:
                await self._registry.save_change(ended, forget_app=True)
            else:
                await self._registry.save_change(ended, serving=None, good=None)
        elif ended.state is ChangeState.DONE:
            await self._registry.save_change(ended, serving=change.target, good=change.target)
        else:
            await self._registry.save_change(ended, serving=change.fallback)


def _like(culprit: str, instances: Sequence[Instance]) -> list[Instance]:
    """The other instances of the same making that have ended, the newest first."""
    kind = next(((one.app, one.service, one.fingerprint) for one in instances if one.id == culprit), None)
    same = [
        one
        for one in instances
        if one.id != culprit and one.state is InstanceState.EXITED and (one.app, one.service, one.fingerprint) == kind
    ]
    return sorted(same, key=lambda one: one.created, reverse=True)
