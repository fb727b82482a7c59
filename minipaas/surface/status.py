"""How things are: pure functions from what is desired and observed to states, and to messages for people.

The page says them in its reader's language, the API and `minipaas status` in English; every message is a key of the
catalogues (`surface/i18n`).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from minipaas.model.change import AppDesired, Change, ChangeKind, ChangeState
from minipaas.model.observed import HealthState, Instance, InstanceState, Note
from minipaas.model.spec import ServiceSpec, effective_health
from minipaas.surface.i18n import Message, Moment, Names, Span, message
from minipaas.surface.wire import AppState, ServiceState

URGENCY = tuple(AppState)
"""The most urgent first."""


class Condition(Struct, frozen=True):
    """How an instance is: a word, whether that is well (None: neither), and the detail behind it."""

    word: str
    well: bool | None
    detail: Message | str


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
            return Condition("unknown", None, message("phrase.paused"))


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
        return Condition("out of memory", False, message("phrase.oom"))
    if note is not None and note.boot and boot and note.boot != boot:
        return Condition("stopped", None, message("phrase.reboot"))
    code = instance.exit_code
    if code is None:
        return Condition("exited", False, "")
    if 128 < code < 193:
        return Condition("exited", False, message("phrase.exit_signal", code=code, signal=code - 128))
    return Condition("exited", False, message("phrase.exit_code", code=code))


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


class ServiceFact(Struct, frozen=True):
    """What a sentence needs to know of a service of the serving release."""

    name: str
    state: ServiceState
    healthy: int
    replicas: int


def app_sentence(
    desired: AppDesired,
    state: AppState,
    last: Change | None,
    version: str | None,
    services: Sequence[ServiceFact],
) -> Message:
    """How an app is, in one or two sentences. `version`: of the last change."""
    serving = desired.serving.version if desired.serving else ""
    match state:
        case AppState.CHANGING:
            return _changing(last, version, serving)
        case AppState.REMOVING:
            return message("app.removing")
        case AppState.FAILED:
            kind = last.kind if last else ChangeKind.DEPLOY
            return message("app.failed", after=message(f"after.first_{kind}", version=version or "?"))
        case AppState.DOWN if not serving:
            return message("app.empty")
        case AppState.DOWN:
            return message("app.down", what=_short(services))
        case AppState.DEGRADED:
            return message("app.degraded", version=serving, what=_short(services))
        case AppState.STARTING:
            return message("app.starting", version=serving)
        case AppState.RUNNING:
            after = _afterword(last, version)
            if after is None:
                return message("app.running", version=serving)
            return message("app.running_after", version=serving, after=after)


def _changing(last: Change | None, version: str | None, serving: str) -> Message:
    if last is not None and last.kind in (ChangeKind.RESTART, ChangeKind.SCALE):
        end = "_reverting" if last.state is ChangeState.REVERTING else ""
        return message(f"app.{last.kind}{end}", serving=serving)
    what = "back" if last is not None and last.kind is ChangeKind.ROLLBACK else "changing"
    if last is not None and last.state is ChangeState.REVERTING:
        what = "reverting"
    to = version or message("app.other_release")
    if serving and serving != version:
        return message(f"app.{what}_while", version=to, serving=serving)
    return message(f"app.{what}", version=to)


def _short(services: Sequence[ServiceFact]) -> Names:
    """The services of which less is up than should be."""
    return Names(
        tuple(
            message("app.up", service=one.name, healthy=one.healthy, replicas=one.replicas)
            for one in services
            if one.state in (ServiceState.DOWN, ServiceState.DEGRADED)
        )
    )


def _afterword(last: Change | None, version: str | None) -> Message | None:
    if last is None or last.state not in (ChangeState.FAILED, ChangeState.ROLLED_BACK):
        return None
    return message(f"after.{last.kind}_{last.state}", version=version or "?")


class Past(Struct, frozen=True):
    """What was seen of an app before now. Times are Unix seconds."""

    since: float | None = None
    """When its present state began."""
    gap: float | None = None
    """Usual seconds between two restarts after a failure in the last hour; None: hardly any."""
    restarts_since: float | None = None


RECOVERED = 3.0
"""An app that has run for so many of its usual gaps no longer restarts again and again."""
RECOVERED_AT_LEAST = 120.0


def restless(state: AppState, past: Past, now: float) -> bool:
    """Whether it restarts again and again, also if it happens to run just now."""
    if past.gap is None or past.restarts_since is None:
        return False
    if state in (AppState.DOWN, AppState.DEGRADED):
        return True
    still = past.since is None or now - past.since < max(past.gap * RECOVERED, RECOVERED_AT_LEAST)
    return state in (AppState.RUNNING, AppState.STARTING) and still


def restarts(past: Past) -> Message:
    """How often, since when."""
    return message("app.restarts_since", gap=Span(past.gap or 0.0), since=Moment(past.restarts_since or 0.0))


def app_need(
    app: str, state: AppState, services: Sequence[ServiceFact], serving: bool, past: Past, now: float
) -> Message | None:
    """What an operator has to know of an app that needs them, in half a sentence; None: it does not."""
    if restless(state, past, now):
        gap, since = Span(past.gap or 0.0), Moment(past.restarts_since or 0.0)
        return message("need.restarts_since", app=app, gap=gap, since=since)
    since_key, args = ("_since", {"since": Moment(past.since)}) if past.since is not None else ("", {})
    match state:
        case AppState.FAILED:
            return message("need.failed", app=app)
        case AppState.DOWN if not serving:
            return message("need.empty", app=app)
        case AppState.DOWN:
            return message(f"need.down{since_key}", app=app, **args)
        case AppState.DEGRADED:
            healthy = sum(min(one.healthy, one.replicas) for one in services)
            replicas = sum(one.replicas for one in services)
            return message(f"need.degraded{since_key}", app=app, healthy=healthy, replicas=replicas, **args)
        case _:
            return None


class AppFact(Struct, frozen=True):
    """What the sentence on the box needs to know of an app."""

    name: str
    state: AppState
    need: Message | None


NAMED = 3
"""Apps in need that the sentence on top tells about."""


def box_sentence(apps: Sequence[AppFact]) -> Message:
    """What stands on top of the page."""
    need = [app.need for app in apps if app.need is not None]
    moving = [app.name for app in apps if app.state in (AppState.CHANGING, AppState.REMOVING)]
    starting = [app.name for app in apps if app.state is AppState.STARTING]
    if need:
        return message("box.need", n=len(need), what=Names(tuple(need), NAMED))
    if not apps:
        return message("box.empty")
    if starting:
        return message("box.starting", n=len(starting), names=Names(tuple(starting)))
    if moving:
        key = "box.changing_all" if len(moving) == len(apps) else "box.changing"
        return message(key, n=len(moving), names=Names(tuple(moving)))
    return message("box.well")
