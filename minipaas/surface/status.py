"""How things are, in words: pure functions from what is desired and observed to states and sentences for people.

The page, the API and `minipaas status` all say what is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from minipaas.model.change import AppDesired, Change, ChangeKind, ChangeState
from minipaas.model.observed import HealthState, Instance, InstanceState, Note
from minipaas.model.spec import ServiceSpec, effective_health
from minipaas.surface.wire import AppState, AppView, ServiceState

URGENCY = tuple(AppState)
"""The most urgent first."""
NEEDS_YOU = frozenset({AppState.DOWN, AppState.DEGRADED, AppState.FAILED})


class Condition(Struct, frozen=True):
    """How an instance is: a word, whether that is well (None: neither), and the detail behind it."""

    word: str
    well: bool | None
    detail: str


def condition(instance: Instance, spec: ServiceSpec | None, note: Note | None, boot: str) -> Condition:
    """How one instance is. `boot`: the kernel's boot id now."""
    match instance.state:
        case InstanceState.RUNNING:
            return _running(instance, spec)
        case InstanceState.CREATED:
            return Condition("created", None, "")
        case InstanceState.STOPPING:
            return Condition("stopping", None, note.stopped if note else "")
        case InstanceState.EXITED:
            return _exited(instance, note, boot)
        case InstanceState.UNKNOWN:
            return Condition("unknown", None, "Podman is busy with it, or it is paused")


def _running(instance: Instance, spec: ServiceSpec | None) -> Condition:
    match instance.health:
        case HealthState.HEALTHY:
            return Condition("healthy", True, instance.health_detail)
        case HealthState.UNHEALTHY:
            return Condition("unhealthy", False, instance.health_detail)
        case HealthState.UNKNOWN if spec is not None and effective_health(spec) is None:
            return Condition("running", True, "")
        case HealthState.STARTING | HealthState.UNKNOWN:
            return Condition("starting", None, instance.health_detail)


def _exited(instance: Instance, note: Note | None, boot: str) -> Condition:
    if note is not None and note.stopped:
        return Condition("stopped", None, note.stopped)
    if instance.oom_killed:
        return Condition("out of memory", False, "the kernel killed it: it wanted more memory than its limit")
    if note is not None and note.boot and boot and note.boot != boot:
        return Condition("stopped", None, "the host was started anew")
    code = instance.exit_code
    if code is None:
        return Condition("exited", False, "")
    signal = f" (signal {code - 128})" if 128 < code < 193 else ""
    return Condition("exited", False, f"exit code {code}{signal}")


def service_state(spec: ServiceSpec, conditions: Sequence[Condition], attempts: int) -> tuple[ServiceState, int]:
    """How a service is, and how many of its instances do their work. `attempts`: failures in a row, at worst."""
    healthy = sum(1 for c in conditions if c.well and c.word in ("healthy", "running"))
    if spec.replicas == 0:
        return ServiceState.OFF, healthy
    if healthy >= spec.replicas:
        return ServiceState.RUNNING, healthy
    if attempts == 0 and any(c.word in ("starting", "created") for c in conditions):
        return ServiceState.STARTING, healthy
    return (ServiceState.DEGRADED if healthy else ServiceState.DOWN), healthy


def app_state(desired: AppDesired, last: Change | None, services: Sequence[ServiceState]) -> AppState:
    """How an app is. `services`: of the serving release."""
    change = desired.change
    if change is not None:
        return AppState.REMOVING if change.kind is ChangeKind.REMOVE else AppState.CHANGING
    if desired.serving is None:
        return AppState.FAILED if last is not None and last.state is not ChangeState.DONE else AppState.DOWN
    for service, app in (
        (ServiceState.DOWN, AppState.DOWN),
        (ServiceState.DEGRADED, AppState.DEGRADED),
        (ServiceState.STARTING, AppState.STARTING),
    ):
        if service in services:
            return app
    return AppState.RUNNING


_WORDS = {
    ChangeKind.DEPLOY: "deploy",
    ChangeKind.ROLLBACK: "rollback",
    ChangeKind.REMOVE: "removal",
    ChangeKind.RESTART: "restart",
    ChangeKind.SCALE: "scaling",
}


def app_sentence(
    desired: AppDesired,
    state: AppState,
    last: Change | None,
    version: str | None,
    services: Sequence[tuple[str, ServiceState, int, int]],
) -> str:
    """How an app is, in one or two sentences. `version`: of the last change; `services`: (name, state, healthy,
    replicas)."""
    serving = desired.serving.version if desired.serving else None
    bad = [
        f"{name} {healthy} of {replicas}"
        for name, service, healthy, replicas in services
        if service in (ServiceState.DOWN, ServiceState.DEGRADED)
    ]
    match state:
        case AppState.CHANGING:
            if last is not None and last.kind in (ChangeKind.RESTART, ChangeKind.SCALE):
                doing = "Reverting its" if last.state is ChangeState.REVERTING else "It is in the middle of a"
                return f"{doing} {_WORDS[last.kind]}; {serving} serves."
            what = "Going back" if last is not None and last.kind is ChangeKind.ROLLBACK else "Changing"
            if last is not None and last.state is ChangeState.REVERTING:
                what = "Reverting; was changing"
            rest = f"; {serving} serves." if serving and serving != version else "."
            return f"{what} to {version or 'another release'}{rest}"
        case AppState.REMOVING:
            return "Being removed."
        case AppState.FAILED:
            return f"It has never served: the {_WORDS[last.kind] if last else 'deploy'} of {version or '?'} failed."
        case AppState.DOWN if serving is None:
            return "Nothing of it is deployed."
        case AppState.DOWN:
            return f"It does not answer as it should: {', '.join(bad)} up."
        case AppState.DEGRADED:
            return f"{serving} serves, with less than it should: {', '.join(bad)} up."
        case AppState.STARTING:
            return f"{serving} is starting."
        case AppState.RUNNING:
            return f"{serving} serves.{_afterword(last, version)}"


def _afterword(last: Change | None, version: str | None) -> str:
    if last is None or last.state not in (ChangeState.FAILED, ChangeState.ROLLED_BACK):
        return ""
    came = "was rolled back" if last.state is ChangeState.ROLLED_BACK else "failed"
    return f" The {_WORDS[last.kind]} of {version or '?'} {came}."


def box_sentence(apps: Sequence[AppView], trouble: Sequence[str] = ()) -> tuple[bool, str]:
    """Whether this box is well, and what stands on top of the page. `trouble`: what is wrong with the box itself."""
    need = [app.name for app in apps if app.needs_you]
    moving = [app.name for app in apps if app.state in (AppState.CHANGING, AppState.REMOVING)]
    starting = [app.name for app in apps if app.state is AppState.STARTING]
    if need:
        sentence = f"{len(need)} app{'s need' if len(need) > 1 else ' needs'} you: {_names(need)}."
    elif not apps:
        sentence = "No apps yet; this box is ready for the first."
    elif starting:
        sentence = f"{_names(starting)} {'are' if len(starting) > 1 else 'is'} starting."
    elif moving:
        sentence = f"{_names(moving)} {'are' if len(moving) > 1 else 'is'} being changed; the rest runs."
        if len(apps) == len(moving):
            sentence = f"{_names(moving)} {'are' if len(moving) > 1 else 'is'} being changed."
    else:
        sentence = "Everything runs."
    return not need and not trouble, " ".join((sentence, *trouble))


def _names(names: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
