"""Steps: each one thing done to the outside world, as plain data. What a person reads is what runs.

The union `Step` is closed; the executor's `match` ends in `assert_never`. `title` is for people and the
journal, and never shows environment values.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from minipaas.model.launch import Launch
from minipaas.model.release import ImageRef
from minipaas.model.route import Backend, RouteEntry
from minipaas.model.stream import StreamEntry
from minipaas.model.units import counted


class PullImage(Struct, frozen=True, kw_only=True, tag=True):
    """Bring an image from the blob store into Podman."""

    app: str
    service: str
    image: ImageRef

    @property
    def title(self) -> str:
        return f"pull the image of {self.service} ({self.image.config[7:19]})"


class EnsureNetwork(Struct, frozen=True, kw_only=True, tag=True):
    app: str

    @property
    def title(self) -> str:
        return f"create the network of {self.app}"


class RemoveNetwork(Struct, frozen=True, kw_only=True, tag=True):
    app: str

    @property
    def title(self) -> str:
        return f"remove the network of {self.app}"


class EnsureVolume(Struct, frozen=True, kw_only=True, tag=True):
    app: str
    volume: str
    """Podman's name of it."""

    @property
    def title(self) -> str:
        return f"create volume {self.volume}"


class RemoveVolume(Struct, frozen=True, kw_only=True, tag=True):
    app: str
    volume: str

    @property
    def title(self) -> str:
        return f"delete volume {self.volume}"


class RunHook(Struct, frozen=True, kw_only=True, tag=True):
    """Run a release hook to its end, in a container of its own."""

    app: str
    service: str
    change: int
    launch: Launch
    timeout: float

    @property
    def title(self) -> str:
        return f"run the release hook of {self.service}"


class StartInstance(Struct, frozen=True, kw_only=True, tag=True):
    """Create a container and start it."""

    app: str
    launch: Launch

    @property
    def title(self) -> str:
        again = f", attempt {self.launch.attempt + 1}" if self.launch.attempt else ""
        return f"start {self.launch.service} #{self.launch.slot}{again}"


class WakeInstance(Struct, frozen=True, kw_only=True, tag=True):
    """Start a stopped container again as it is: after a reboot, or on the way back."""

    app: str
    service: str
    slot: int
    instance: str
    name: str

    @property
    def title(self) -> str:
        return f"start {self.service} #{self.slot} again"


class ProveInstance(Struct, frozen=True, kw_only=True, tag=True):
    """Send one real request through the ingress to an instance that has no traffic yet, and open one connection to
    each of its TCP ports."""

    app: str
    service: str
    slot: int
    backend: Backend
    host: str
    """Empty: no route leads here, only streams do."""
    path: str
    tcp: tuple[Backend, ...] = ()

    @property
    def title(self) -> str:
        return f"probe {self.service} #{self.slot} through the ingress"


class SetRoutes(Struct, frozen=True, kw_only=True, tag=True):
    """Replace an app's routes in one swap, for the release that serves already."""

    app: str
    entries: tuple[RouteEntry, ...]
    streams: tuple[StreamEntry, ...] = ()

    @property
    def title(self) -> str:
        held = sorted({e.service for e in self.entries if e.held} | {e.service for e in self.streams if e.held})
        if held:
            return f"hold the requests of {', '.join(held)}"
        count = len(self.entries) + len(self.streams)
        backends = sum(len(entry.backends) for entry in self.entries)
        backends += sum(len(entry.backends) for entry in self.streams)
        return f"route {counted(count, 'route')} to {counted(backends, 'backend')}" if count else "take the routes down"


class SwitchRelease(Struct, frozen=True, kw_only=True, tag=True):
    """Replace an app's routes in one swap, and record that the change's target serves from now on."""

    app: str
    change: int
    release: str
    version: str
    entries: tuple[RouteEntry, ...]
    streams: tuple[StreamEntry, ...] = ()

    @property
    def title(self) -> str:
        return f"switch to {self.version}"


class ProveRoutes(Struct, frozen=True, kw_only=True, tag=True):
    """Ask every route once through the public listener, before anything is claimed; TCP ports are connected to."""

    app: str
    entries: tuple[RouteEntry, ...]
    streams: tuple[StreamEntry, ...] = ()
    confirms: bool = False
    """Once more after the watch that follows the switch: then the release is confirmed."""

    @property
    def title(self) -> str:
        return f"probe the routes through the ingress{' to confirm' if self.confirms else ''}"


class Drain(Struct, frozen=True, kw_only=True, tag=True):
    """Wait until requests under way on these instances have ended, at most `timeout` seconds."""

    app: str
    service: str
    instances: tuple[str, ...]
    timeout: float

    @property
    def title(self) -> str:
        return f"drain {self.service}"


class StopInstance(Struct, frozen=True, kw_only=True, tag=True):
    """Polite signal, then SIGKILL after `timeout` seconds. The container stays."""

    app: str
    service: str
    slot: int
    instance: str
    why: str
    timeout: float

    @property
    def title(self) -> str:
        return f"stop {self.service} #{self.slot} ({self.why})"


class RemoveInstance(Struct, frozen=True, kw_only=True, tag=True):
    """Delete a container that no longer runs, with its scratch directories."""

    app: str
    service: str
    slot: int
    instance: str
    name: str

    @property
    def title(self) -> str:
        return f"remove {self.name}"


class RevertChange(Struct, frozen=True, kw_only=True, tag=True):
    """The target has failed: go back to the last good release."""

    app: str
    change: int
    reason: str
    culprit: str | None = None
    """Container id whose last log lines explain it."""

    @property
    def title(self) -> str:
        return f"give up: {self.reason}"


class FinishChange(Struct, frozen=True, kw_only=True, tag=True):
    """Record how a change ended: `event` is a word of `plan.lifecycle.Event`."""

    app: str
    change: int
    event: str
    reason: str = ""
    """What to add to the change's reason."""

    @property
    def title(self) -> str:
        return {
            "confirmed": "confirm the release",
            "restored": "confirm that what served before serves",
            "lost": "stop waiting for the last good release",
            "removed": "forget the app",
            "stuck": "give the removal up",
        }[self.event]


Step: TypeAlias = (
    PullImage
    | EnsureNetwork
    | RemoveNetwork
    | EnsureVolume
    | RemoveVolume
    | RunHook
    | StartInstance
    | WakeInstance
    | ProveInstance
    | SetRoutes
    | SwitchRelease
    | ProveRoutes
    | Drain
    | StopInstance
    | RemoveInstance
    | RevertChange
    | FinishChange
)
