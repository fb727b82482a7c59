"""What will happen: the planner, run on a model of the world until nothing is left to do.

The steps are those of the real planner, in the order in which the lanes do them; only their effects are made up, each
the best that can come: images arrive, containers become healthy, routes answer. So a preview is what runs when all
goes well, and it cannot drift from the planner. What Podman is busy with just now (`unknown`) is taken as gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from minipaas.model.change import AppDesired, Change, ChangeKind, ChangeState
from minipaas.model.launch import Launch, network_name, volume_name
from minipaas.model.observed import HealthState, Instance, InstanceState, Note, Observed
from minipaas.model.outlook import Fate, Foreseen, Outlook, ServiceOutlook
from minipaas.model.release import Release
from minipaas.model.route import Backend
from minipaas.model.spec import ServiceSpec
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
from minipaas.plan.lifecycle import REVERT_PATIENCE, Event, advance
from minipaas.plan.planner import plan_app

ROUNDS = 1000
"""More than the largest app needs; a bound, not a plan."""


def outlook(desired: AppDesired, observed: Observed, now: float) -> Outlook:
    """What the app's active change will do. `desired` as it will be when the change has begun. Unix seconds."""
    change = desired.change
    assert change is not None  # noqa: S101 - the caller has begun one
    model = _Model(desired, observed, now)
    foreseen = tuple(model.foresee())
    deleted = {one.step.volume for one in foreseen if isinstance(one.step, RemoveVolume)}
    prefix = volume_name(desired.app, "")
    return Outlook(
        app=desired.app,
        kind=change.kind,
        version=desired.target.version if desired.target is not None else None,
        serving=desired.serving.version if desired.serving is not None else None,
        steps=foreseen,
        services=_services(desired, observed, model),
        volumes_kept=tuple(
            sorted(name for name in observed.volumes if name.startswith(prefix) and name not in deleted)
        ),
        volumes_deleted=tuple(sorted(deleted)),
        at_most=change.deadline - change.started,
        back_within=change.deadline - change.started + REVERT_PATIENCE,
    )


class _Model:
    """One app and its containers, as they will be."""

    def __init__(self, desired: AppDesired, observed: Observed, now: float) -> None:
        self._desired: AppDesired | None = desired
        self._now = now
        self._boot = observed.boot
        self.instances = {one.id: one for one in observed.of(desired.app) if one.state is not InstanceState.UNKNOWN}
        self._hooks = {one.id: one for one in observed.hooks if one.app == desired.app}
        self._networks = set(observed.networks)
        self._volumes = set(observed.volumes)
        self._images = set(observed.images)
        self._routes = observed.routes_of(desired.app)
        self._streams = observed.streams_of(desired.app)
        self._proven = set(observed.proven)
        self._notes = dict(observed.notes)
        self._started = 0
        self.silent: set[str] = set()
        """Services of which, at some moment of the change, no instance answered."""

    def foresee(self) -> Iterable[Foreseen]:
        """Step after step, until nothing is left to do."""
        for _ in range(ROUNDS):
            if self._desired is None:
                return
            plan = plan_app(self._desired, self._observed(), self._now)
            # As the lanes do it: what is quick first; what is slow when nothing quick is left.
            steps = plan.quick or plan.slow
            for step in steps:
                yield Foreseen(step, plan.change is None)
                self._do(step)
                if self._desired is not None and self._desired.change is not None:
                    self._listen()
            if not self._settle() and not steps:
                if plan.look_at is None:
                    return
                self._now = max(self._now, plan.look_at)

    def _observed(self) -> Observed:
        return Observed(
            boot=self._boot,
            instances=tuple(self.instances.values()),
            hooks=tuple(self._hooks.values()),
            networks=frozenset(self._networks),
            volumes=frozenset(self._volumes),
            images=frozenset(self._images),
            routes=self._routes,
            streams=self._streams,
            proven=frozenset(self._proven),
            notes=self._notes,
        )

    def _settle(self) -> bool:
        """Whoever is starting is healthy now; whether there was anybody."""
        starting = [
            one
            for one in self.instances.values()
            if one.running and one.health in (HealthState.STARTING, HealthState.UNKNOWN)
        ]
        for one in starting:
            self.instances[one.id] = replace(one, health=HealthState.HEALTHY)
        return bool(starting)

    def _listen(self) -> None:
        answering = {one.service for one in self.instances.values() if one.healthy}
        self.silent |= {one.service for one in self.instances.values()} - answering

    def _do(self, step: Step) -> None:
        """The best that can come of a step."""
        match step:
            case PullImage():
                self._images.add(step.image.config)
            case EnsureNetwork():
                self._networks.add(network_name(step.app))
            case RemoveNetwork():
                self._networks.discard(network_name(step.app))
            case EnsureVolume():
                self._volumes.add(step.volume)
            case RemoveVolume():
                self._volumes.discard(step.volume)
            case RunHook():
                change = self._change
                self._become(replace(change, hooks_done=(*change.hooks_done, step.service)))
            case StartInstance():
                self._start(step.launch)
            case WakeInstance():
                self._notes[step.instance] = Note(boot=self._boot)
                self._set(step.instance, state=InstanceState.RUNNING, health=HealthState.STARTING, started=self._now)
            case StopInstance():
                self._notes[step.instance] = Note(boot=self._boot, stopped=step.why)
                self._proven.discard(step.instance)
                self._set(step.instance, state=InstanceState.EXITED, health=HealthState.UNKNOWN, finished=self._now)
            case RemoveInstance():
                self.instances.pop(step.instance, None)
                self._hooks.pop(step.instance, None)
            case ProveInstance():
                self._proven.add(step.backend.instance)
            case SetRoutes():
                self._routes, self._streams = step.entries, step.streams
            case SwitchRelease():
                self._routes, self._streams = step.entries, step.streams
                self._become(advance(self._change, Event.SWITCHED, self._now))
            case RevertChange():
                self._become(advance(self._change, Event.BROKE, self._now, step.reason))
            case FinishChange():
                self._become(advance(self._change, Event(step.event), self._now, step.reason))
            case ProveRoutes() | Drain():
                pass
            case _:
                assert_never(step)

    @property
    def _change(self) -> Change:
        assert self._desired is not None  # noqa: S101 - only a change has such steps
        assert self._desired.change is not None  # noqa: S101
        return self._desired.change

    def _become(self, change: Change) -> None:
        """The next state of the change, and where the pointers are then: what the executor writes."""
        desired = self._desired
        assert desired is not None  # noqa: S101 - only a change has such steps
        if change.kind is ChangeKind.REMOVE and change.state is ChangeState.DONE:
            self._desired = None
        elif change.state is ChangeState.CONFIRMING:
            self._desired = replace(desired, change=change, serving=desired.target)
        elif change.state is ChangeState.DONE:
            self._desired = replace(desired, change=None, target=None, serving=desired.target, good=desired.target)
        elif change.state.active:
            self._desired = replace(desired, change=change)
        else:
            self._desired = replace(desired, change=None, target=None, serving=desired.good)

    def _set(self, instance: str, **values: object) -> None:
        self.instances[instance] = replace(self.instances[instance], **values)

    def _start(self, launch: Launch) -> None:
        self._started += 1
        key = f"foreseen-{self._started}"
        ports = [f"{one.container}/{one.protocol}" for one in launch.published]
        if launch.port is not None:
            ports.insert(0, f"{launch.port}/tcp")
        self._notes[key] = Note(boot=self._boot)
        self.instances[key] = Instance(
            id=key,
            name=launch.name,
            app=launch.app,
            service=launch.service,
            release=launch.release,
            fingerprint=launch.fingerprint,
            slot=launch.slot,
            generation=launch.generation,
            attempt=launch.attempt,
            change=launch.change,
            state=InstanceState.RUNNING,
            health=HealthState.STARTING,
            created=self._now,
            started=self._now,
            backend=Backend(key, "127.0.0.1", self._started) if launch.port is not None else None,
            inside={port: Backend(key, "127.0.0.1", self._started) for port in ports},
        )


def _services(desired: AppDesired, observed: Observed, model: _Model) -> tuple[ServiceOutlook, ...]:
    """Of both releases, and of whatever else runs."""
    found: dict[str, ServiceSpec | None] = {}
    for release in (desired.target, desired.serving):
        found |= {name: spec for name, spec in _specs(release).items() if name not in found}
    before = _running(observed.of(desired.app))
    after = _running(model.instances.values())
    wanted = _specs(desired.target)
    outlooks: list[ServiceOutlook] = []
    for name in dict.fromkeys([*found, *sorted(before)]):
        old, new = before.get(name, set()), after.get(name, set())
        pauses = bool(old and new) and name in model.silent
        outlooks.append(
            ServiceOutlook(
                name=name,
                fate=_fate(old, new, name in wanted),
                before=len(old),
                after=len(new),
                pauses=pauses,
                why=_why(found.get(name)) if pauses else "",
                hold=_hold(found.get(name)) if pauses else 0.0,
            )
        )
    return tuple(outlooks)


def _specs(release: Release | None) -> dict[str, ServiceSpec]:
    return release.spec.services if release is not None else {}


def _running(instances: Iterable[Instance]) -> dict[str, set[str]]:
    """By service, the ids of what runs."""
    found: dict[str, set[str]] = {}
    for one in instances:
        if one.running:
            found.setdefault(one.service, set()).add(one.id)
    return found


def _fate(old: set[str], new: set[str], wanted: bool) -> Fate:
    if not wanted:
        return Fate.GONE
    if old == new:
        return Fate.KEPT
    if not old:
        return Fate.NEW
    return Fate.SCALED if old & new or not new else Fate.REPLACED


def _hold(spec: ServiceSpec | None) -> float:
    return spec.route_options.hold if spec is not None and spec.routes else 0.0


def _why(spec: ServiceSpec | None) -> str:
    if spec is not None and spec.volumes:
        return "it holds a volume, so it is stopped before its successor starts"
    if spec is not None and spec.ports:
        return "it publishes a port of the host, so it is stopped before its successor starts"
    return "something that it cannot run beside has to be stopped first"
