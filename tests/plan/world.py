"""A small world for the planner: it does steps to data, so that whole rollouts run without Podman, clock or sockets.

What a service's instances do is a word in its environment (`BEHAVE`): `well` (healthy at the next look), `dies`, `sick`
(runs, and fails its probes), `slow` (never becomes healthy); `mute` is healthy but does not answer through the ingress.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from msgspec.structs import replace

from minipaas.model.change import AppDesired, Change, ChangeKind, ChangeState, Desired
from minipaas.model.launch import Launch, network_name
from minipaas.model.observed import HealthState, Hook, Instance, InstanceState, Note, Observed
from minipaas.model.release import ImageRef, Release, Tuning, tuned
from minipaas.model.route import Backend, RouteEntry
from minipaas.model.spec import Published, parse_app_toml
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
from minipaas.model.stream import Stream, StreamEntry
from minipaas.plan.lifecycle import Event, advance
from minipaas.plan.planner import AppPlan, plan
from minipaas.plan.slots import failed


def sha(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def release(toml: str, *, sequence: int = 1, images: dict[str, str] | None = None) -> Release:
    """A release of an app.toml; its images are named after the service unless `images` says otherwise."""
    spec = parse_app_toml(toml.encode())
    refs = {
        name: ImageRef(
            manifest=sha(f"m{(images or {}).get(name, name)}"),
            config=sha((images or {}).get(name, name)),
            size=10,
            platform="linux/amd64",
        )
        for name in spec.services
    }
    return Release(
        digest=sha(f"{toml}{sequence}"),
        app=spec.app.name,
        version=spec.app.version,
        epoch=1,
        sequence=sequence,
        min_sequence=0,
        root_version=1,
        issued=0,
        valid_until=None,
        signers=("k",),
        images=refs,
        blobs=(),
        spec=spec,
    )


class Broken(Exception):
    """The change cannot survive this step, as the real executor says it."""


class World:
    """Containers, routes and the registry's pointers of one app."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.boot = "boot-1"
        self.app = ""
        self.serving: Release | None = None
        self.good: Release | None = None
        self.change: Change | None = None
        self.target: Release | None = None
        self.releases: dict[str, Release] = {}
        self.instances: dict[str, Instance] = {}
        self.launches: dict[str, Launch] = {}
        self.notes: dict[str, Note] = {}
        self.networks: set[str] = set()
        self.volumes: set[str] = set()
        self.images: set[str] = set()
        self.routes: tuple[RouteEntry, ...] = ()
        self.streams: tuple[StreamEntry, ...] = ()
        self.proven: set[str] = set()
        self.hooks: list[tuple[int, str]] = []
        self.history: list[Step] = []
        self.ended: list[Change] = []
        self.broken_hooks: set[str] = set()
        self.hook_containers: dict[str, Hook] = {}
        """Those that a killed minipaas left."""

    def deploy(self, target: Release, kind: ChangeKind = ChangeKind.DEPLOY) -> None:
        """What the registry does when a bundle is accepted."""
        wanted = self._wanted()
        self._supersede()
        self.app = target.app
        plain = self.releases.setdefault(target.digest, target)
        self._begin(kind, ChangeState.ROLLING, tuned(plain, wanted))

    def restart(self, service: str | None = None) -> None:
        """What the registry does: the serving release once more, its instances told apart by the change's number."""
        assert self.serving is not None
        wanted = self._wanted()
        self._supersede()
        for name in [service] if service else self.serving.spec.services:
            wanted[name] = replace(wanted.get(name, Tuning()), restarted=len(self.ended) + 1)
        self._run_anew(ChangeKind.RESTART, wanted)

    def scale(self, service: str, replicas: int | None) -> None:
        wanted = self._wanted()
        self._supersede()
        wanted[service] = replace(wanted.get(service, Tuning()), replicas=replicas)
        self._run_anew(ChangeKind.SCALE, wanted)

    def _wanted(self) -> dict[str, Tuning]:
        if self.change is not None and self.change.state in (ChangeState.ROLLING, ChangeState.CONFIRMING):
            return dict(self.change.tuning)
        return dict(self.serving.tuning) if self.serving is not None else {}

    def _run_anew(self, kind: ChangeKind, wanted: dict[str, Tuning]) -> None:
        assert self.serving is not None
        plain = self.releases[self.serving.digest]
        self._begin(kind, ChangeState.ROLLING, tuned(plain, wanted))
        assert self.change is not None
        self.change = replace(self.change, hooks_done=tuple(plain.spec.services))

    def remove(self, *, purge: bool = False) -> None:
        self._supersede()
        self._begin(ChangeKind.REMOVE, ChangeState.REMOVING, None, purge=purge)

    def _supersede(self) -> None:
        if self.change is not None:
            self.ended.append(replace(self.change, state=ChangeState.SUPERSEDED))

    def _begin(self, kind: ChangeKind, state: ChangeState, target: Release | None, *, purge: bool = False) -> None:
        self.change = Change(
            id=len(self.ended) + 1,
            app=self.app,
            kind=kind,
            state=state,
            target=target.digest if target else None,
            fallback=self.good.digest if self.good else None,
            actor="test",
            started=self.now,
            deadline=self.now + 600,
            purge=purge,
            tuning=target.tuning if target else {},
        )
        self.target = target

    def desired(self) -> Desired:
        if not self.app:
            return Desired()
        target = self.target if self.change else None
        app = AppDesired(app=self.app, serving=self.serving, good=self.good, change=self.change, target=target)
        return Desired(apps=(app,))

    def observed(self) -> Observed:
        return Observed(
            boot=self.boot,
            instances=tuple(self.instances.values()),
            hooks=tuple(self.hook_containers.values()),
            networks=frozenset(self.networks),
            volumes=frozenset(self.volumes),
            images=frozenset(self.images),
            routes=self.routes,
            streams=self.streams,
            proven=frozenset(self.proven),
            notes=dict(self.notes),
        )

    def plan(self) -> AppPlan | None:
        plans = plan(self.desired(), self.observed(), self.now)
        return plans[0] if plans else None

    def tick(self) -> None:
        """A moment passes: what was started comes to its fate."""
        self.now += 0.5
        for key, one in list(self.instances.items()):
            if one.state is InstanceState.RUNNING and one.health is HealthState.STARTING:
                self.instances[key] = self._fate(one)

    def _fate(self, one: Instance) -> Instance:
        match self.launches[one.id].env.get("BEHAVE", "well"):
            case "well" | "mute":
                return replace(one, health=HealthState.HEALTHY)
            case "dies":
                return replace(one, state=InstanceState.EXITED, exit_code=1, finished=self.now, health="unknown")
            case "sick":
                return replace(one, health=HealthState.UNHEALTHY, health_detail="GET /: 503")
            case "slow":
                return one
            case word:
                raise AssertionError(word)

    def crash(self, service: str, slot: int = 1, version: str = "") -> None:
        """An instance that runs dies by itself."""
        one = next(
            i
            for i in self.instances.values()
            if (i.service, i.slot, i.running) == (service, slot, True)
            and version in ("", self.releases[i.release].version)
        )
        self.instances[one.id] = replace(one, state=InstanceState.EXITED, exit_code=137, finished=self.now)
        self.proven.discard(one.id)

    def reboot(self) -> None:
        """Power is cut: everything has exited, and nobody stopped it."""
        self.boot = self.boot + "+"
        for key, one in self.instances.items():
            if one.running:
                self.instances[key] = replace(one, state=InstanceState.EXITED, exit_code=255, finished=self.now)
        self.routes, self.streams, self.proven = (), (), set()

    def run(self, step: Step) -> None:
        """Do one step; Broken when the change cannot survive it."""
        self.history.append(step)
        match step:
            case PullImage():
                self.images.add(step.image.config)
            case EnsureNetwork():
                self.networks.add(network_name(step.app))
            case RemoveNetwork():
                assert not self.instances, "a network is removed while containers are in it"
                assert not self.hook_containers, "a network is removed while hooks are in it"
                self.networks.discard(network_name(step.app))
            case EnsureVolume():
                self.volumes.add(step.volume)
            case RemoveVolume():
                self.volumes.discard(step.volume)
            case RunHook():
                self.hooks.append((step.change, step.service))
                if step.service in self.broken_hooks:
                    raise Broken(f"hook of {step.service}")
                assert self.change is not None
                self.change = replace(self.change, hooks_done=(*self.change.hooks_done, step.service))
            case StartInstance():
                self._start(step.launch)
            case WakeInstance():
                one = self.instances[step.instance]
                assert not one.running, "a running container is started again"
                self._alone(self.launches[one.id])
                self.instances[one.id] = replace(
                    one, state=InstanceState.RUNNING, health=HealthState.STARTING, started=self.now, finished=None
                )
                self.notes[one.id] = Note(boot=self.boot)
            case ProveInstance():
                if self.launches[step.backend.instance].env.get("BEHAVE") == "mute":
                    raise Broken("no answer through the ingress")
                self.proven.add(step.backend.instance)
            case SetRoutes():
                self._route(step)
            case SwitchRelease():
                self._route(step)
                assert self.change is not None
                self.change = advance(self.change, Event.SWITCHED, self.now)
                assert self.target is not None
                assert self.target.digest == step.release
                self.serving = self.target
            case ProveRoutes():
                if not all(entry.backends for entry in (*step.entries, *step.streams)):
                    raise Broken("a route without a backend")
            case Drain():
                live = {backend.instance for entry in (*self.routes, *self.streams) for backend in entry.backends}
                assert not live.intersection(step.instances), "an instance is drained while it is routed to"
            case StopInstance():
                one = self.instances[step.instance]
                self.notes[one.id] = Note(boot=self.boot, stopped=step.why)
                self.instances[one.id] = replace(one, state=InstanceState.EXITED, exit_code=0, finished=self.now)
                self.proven.discard(one.id)
            case RemoveInstance() if step.slot == 0:
                self.hook_containers.pop(step.instance)
            case RemoveInstance():
                one = self.instances.pop(step.instance)
                assert not one.running, "a running container is removed"
            case RevertChange():
                assert self.change is not None
                self.change = advance(self.change, Event.BROKE, self.now, step.reason)
            case FinishChange():
                self._finish(step)

    def _route(self, step: SetRoutes | SwitchRelease) -> None:
        """A release whose port a container has published cannot be switched to. The ingress would try again."""
        if isinstance(step, SwitchRelease) and not self.published.isdisjoint(entry.stream for entry in step.streams):
            raise Broken("another program has this port")
        self.routes, self.streams = step.entries, step.streams

    @property
    def published(self) -> set[Stream]:
        """What containers hold."""
        return {port.stream for one in self.instances.values() if one.running for port in self._published(one)}

    def _published(self, one: Instance) -> list[Published]:
        return [port for port in self.launches[one.id].published if port.host]

    def _start(self, launch: Launch) -> None:
        assert launch.image in self.images, "started without its image"
        assert network_name(launch.app) in self.networks, "started without its network"
        assert self.volumes.issuperset(launch.volumes), "started without its volume"
        assert all(one.name != launch.name for one in self.instances.values()), "a container name is taken"
        self._alone(launch)
        key = sha(launch.name + str(len(self.history)))
        self.launches[key] = launch
        self.notes[key] = Note(boot=self.boot)
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
            created=self.now,
            started=self.now,
            backend=Backend(key, "127.0.0.1", 20000 + len(self.launches)) if launch.port else None,
            inside=self._inside(key, launch),
        )

    def _inside(self, key: str, launch: Launch) -> dict[str, Backend]:
        ports = [f"{one.container}/{one.protocol}" for one in launch.published if not one.host]
        if launch.port:
            ports.append(f"{launch.port}/tcp")
        return {port: Backend(key, "127.0.0.1", 20000 + len(self.launches)) for port in ports}

    def _alone(self, launch: Launch) -> None:
        for one in self.instances.values():
            live = one.state in (InstanceState.RUNNING, InstanceState.STOPPING)
            shared = set(self.launches[one.id].volumes) & set(launch.volumes)
            assert not (live and shared), f"{launch.name} and {one.name} write the volume {shared} at once"
            ports = set(self._published(one)) & set(launch.published)
            assert not (live and ports), f"{launch.name} and {one.name} publish {ports} at once"
        opened = {port.stream for port in launch.published if port.host}
        assert opened.isdisjoint(entry.stream for entry in self.streams), "a port is published that the ingress has"

    def _finish(self, step: FinishChange) -> None:
        assert self.change is not None
        ended = advance(self.change, Event(step.event), self.now, step.reason)
        if ended.kind is ChangeKind.REMOVE:
            self.app, self.serving, self.good = "", None, None
        elif ended.state is ChangeState.DONE:
            self.serving = self.good = self.target
        else:
            self.serving = self.good
        self.ended.append(ended)
        self.change = None

    def rounds(self, limit: int = 400) -> Iterator[AppPlan]:
        """Plan after plan until the world is settled; whoever iterates does the steps. Time jumps to the next look."""
        for _ in range(limit):
            plan_ = self.plan()
            if plan_ is None or (not plan_.steps and plan_.look_at is None and not self._pending()):
                return
            if not plan_.steps and plan_.look_at is not None and not self._pending():
                self.now = max(self.now, plan_.look_at)
            yield plan_
            self.tick()
        raise AssertionError(f"not settled after {limit} rounds; last: {[step.title for step in self.history[-10:]]}")

    def _pending(self) -> bool:
        return any(
            one.running
            and one.health is HealthState.STARTING
            and self.launches[one.id].env.get("BEHAVE", "well") != "slow"
            for one in self.instances.values()
        )

    def do(self, plan_: AppPlan, steps: int | None = None) -> None:
        """Do a plan's steps, or its first `steps`; what breaks the change reverts it, as in the real lanes."""
        for step in plan_.steps[:steps]:
            try:
                self.run(step)
            except Broken as error:
                if self.change is not None and self.change.state in (ChangeState.ROLLING, ChangeState.CONFIRMING):
                    self.run(RevertChange(app=self.app, change=self.change.id, reason=str(error)))
                return

    def settle(self) -> None:
        """Plan and act until nothing is left to do."""
        for plan_ in self.rounds():
            self.do(plan_)

    def running(self) -> list[str]:
        """`web 1 v2`-like words for what runs, sorted."""
        return sorted(
            f"{one.service}#{one.slot} {self.releases[one.release].version}"
            for one in self.instances.values()
            if one.running
        )

    def scenes(self) -> list[Instance]:
        """The failed containers that are still there."""
        return [one for one in self.instances.values() if failed(one, self.notes)]

    def titles(self) -> list[str]:
        return [step.title for step in self.history]
