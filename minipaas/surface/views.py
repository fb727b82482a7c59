"""From the registry's and Podman's words to the wire's, in one place. What always holds: text that may quote what an
instance wrote (reasons and details beyond their first line) only goes to who may read logs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from minipaas.forensics.touched import Touch
from minipaas.model.change import AppDesired, Change
from minipaas.model.errors import Missing
from minipaas.model.metrics import AppSummary, Summary
from minipaas.model.observed import Instance, Observed
from minipaas.model.release import Release
from minipaas.model.route import Route
from minipaas.model.spec import ServiceSpec
from minipaas.model.units import human_bytes
from minipaas.registry.journal import JournalRow
from minipaas.registry.releases import ReleaseRow
from minipaas.surface import status
from minipaas.surface.call import Call
from minipaas.surface.i18n import EN, Message, Names, message
from minipaas.surface.wire import (
    Apps,
    AppState,
    AppView,
    ChangeView,
    InstanceView,
    ReleaseView,
    RouteView,
    ServiceState,
    ServiceView,
    StepView,
)
from minipaas.surface.wire_box import DiskView
from minipaas.surface.wire_trust import RootView
from minipaas.takeover.record import Return


class Told(Struct, frozen=True):
    """An app, with the messages that `AppView` has in English."""

    view: AppView
    sentences: tuple[Message, ...]
    need: Message | None
    """In half a sentence, why it needs somebody."""
    past: AppSummary | None
    """What telemetry has seen of it."""


class Survey(Struct, frozen=True):
    """All apps at a glance, the most urgent first."""

    sentence: Message
    apps: tuple[Told, ...]


async def survey(call: Call) -> Survey:
    """The same object until there is something new."""
    summary = call.control.telemetry.summary()
    context = call.context
    key, version = (call.caller.sees_logs, call.host), context.news.current()
    known = context.surveys.get(key)
    if known is not None and known[0] == version and known[1] is summary:
        return known[2]
    made = await _survey(call, summary)
    context.surveys.put(key, (version, summary, made))
    return made


async def _survey(call: Call, summary: Summary) -> Survey:
    desired = await call.registry.desired()
    last = await call.registry.last_changes()
    past = {one.app: one for one in summary.apps}
    told = [await _app(call, app, app.change or last.get(app.app), past.get(app.app)) for app in desired.apps]
    told.sort(key=lambda one: (one.need is None, status.URGENCY.index(one.view.state), one.view.name))
    facts = [status.AppFact(one.view.name, one.view.state, one.need) for one in told]
    return Survey(sentence=status.box_sentence(facts), apps=tuple(told))


def trouble(call: Call) -> tuple[Message, ...]:
    """What is wrong with the box itself."""
    disk = disk_view(call)
    found = [message("box.disk", free=human_bytes(disk.free))] if disk.tight else []
    if call.control.trouble:
        found.append(message("box.trouble", why=call.control.trouble))
    if call.control.certificates is not None:
        found += [message("box.certificate", what=one) for one in call.control.certificates.troubles()]
    found += [message("box.port", what=one) for one in call.control.observed.closed.values()]
    back = returned(call)
    if back is not None:
        key = f"box.returned_{back.kind}"
        found.append(message(key, version=back.to_version or "?", serves=back.serves, why=back.reason))
    if call.control.shipping is not None and (names := call.control.shipping.losing()):
        found.append(message("box.lost", names=Names(names)))
    return tuple(found)


def returned(call: Call) -> Return | None:
    """A version of minipaas itself that was gone back from, as long as that has to be told."""
    return call.context.own.returned() if call.context.own is not None else None


async def apps_view(call: Call) -> Apps:
    """The same, for the API: in English."""
    seen, wrong = await survey(call), trouble(call)
    hints = (message("box.returned_do"),) if returned(call) is not None else ()
    return Apps(
        well=not wrong and not any(one.need for one in seen.apps),
        sentence=" ".join(EN.say(one) for one in (seen.sentence, *wrong, *hints)),
        apps=tuple(one.view for one in seen.apps),
    )


async def app_view(call: Call, name: str) -> AppView:
    """One app. Raises Missing."""
    return (await told_app(call, name)).view


async def told_app(call: Call, name: str) -> Told:
    """One app with its messages. Raises Missing."""
    for app in (await call.registry.desired()).apps:
        if app.app == name:
            recent = [app.change] if app.change else await call.registry.changes(name, 1)
            past = next((one for one in call.control.telemetry.summary().apps if one.app == name), None)
            return await _app(call, app, recent[0] if recent else None, past)
    raise missing_app(name)


def missing_app(name: str) -> Missing:
    """There is no such app."""
    return Missing(f"cannot find app {name}: this box has no such app", hint="see: minipaas status", code="app.missing")


async def _app(call: Call, desired: AppDesired, last: Change | None, seen: AppSummary | None) -> Told:
    """`last`: its active or last change. `seen`: what telemetry knows of it."""
    shown = desired.serving or desired.target
    proven = desired.good is not None and shown is not None and desired.good.digest == shown.digest
    observed = call.control.observed
    services = await _services(call, desired, shown, observed)
    serving_services = services if desired.serving is not None else ()
    state = status.app_state(desired, last, [s.state for s in serving_services])
    version = await call.context.version(last.target) if last is not None else None
    facts = [status.ServiceFact(s.name, s.state, s.healthy, s.replicas) for s in serving_services]
    past = _past(state, last, seen)
    now = time.time()
    need = status.app_need(desired.app, state, facts, desired.serving is not None, past, now)
    sentences = [status.app_sentence(desired, state, last, version, facts)]
    if status.restless(state, past, now):
        sentences.append(status.restarts(past))
    view = AppView(
        name=desired.app,
        description=shown.spec.app.description if shown else "",
        state=state,
        sentence=" ".join(EN.say(one) for one in sentences),
        needs_you=need is not None,
        serving=release_view(desired.serving, serving=True, good=proven) if desired.serving else None,
        good=release_view(desired.good, serving=proven, good=True) if desired.good else None,
        change=await change_view(call, last) if last is not None else None,
        services=services,
        routes=tuple(route for service in services for route in service.routes),
    )
    return Told(view, tuple(sentences), need, seen)


def _past(state: AppState, last: Change | None, seen: AppSummary | None) -> status.Past:
    """Restarts that began in a change were of what it tried, not of what serves now."""
    if seen is None:
        return status.Past()
    since = seen.since if seen.state.value == state.value else None
    began = seen.restarts_since
    if began is not None and last is not None and last.ended is not None and began <= last.ended:
        return status.Past(since)
    return status.Past(since, seen.restart_gap, began)


async def _services(
    call: Call, desired: AppDesired, shown: Release | None, observed: Observed
) -> tuple[ServiceView, ...]:
    """Services of the release that serves (or is to), then those of which only instances are left."""
    of_app = observed.of(desired.app)
    specs: dict[str, ServiceSpec | None] = dict(shown.spec.services) if shown else {}
    signed = await call.context.release(shown.digest) if shown else None
    for instance in of_app:
        specs.setdefault(instance.service, None)
    return tuple(
        [
            await _service(
                call,
                name,
                spec,
                shown,
                [i for i in of_app if i.service == name],
                observed,
                released=signed.spec.services[name].replicas if signed and spec else 0,
            )
            for name, spec in specs.items()
        ]
    )


async def _service(
    call: Call,
    name: str,
    spec: ServiceSpec | None,
    shown: Release | None,
    instances: Sequence[Instance],
    observed: Observed,
    *,
    released: int,
) -> ServiceView:
    conditions = {i.id: status.condition(i, spec, observed.notes.get(i.id), observed.boot) for i in instances}
    views = [
        InstanceView(
            id=i.id,
            name=i.name,
            slot=i.slot,
            release=i.release,
            version=await call.context.version(i.release),
            state=i.state,
            health=i.health,
            word=conditions[i.id].word,
            well=conditions[i.id].well,
            detail=said(call, EN.say(conditions[i.id].detail)),
            attempt=i.attempt,
            created=i.created,
            started=i.started,
            finished=i.finished,
            exit_code=i.exit_code,
            oom_killed=i.oom_killed,
            touched=touch.by if touch is not None else "",
            entered=entered(touch),
        )
        for i in sorted(instances, key=lambda i: (not i.running, i.slot, -i.generation))
        for touch in (call.control.access.touched.of(i.id),)
    ]
    alive = [i.attempt for i in instances if i.running]
    if spec is None:
        state, healthy = ServiceState.OFF, sum(1 for view in views if view.well)
    else:
        state, healthy = status.service_state(spec, list(conditions.values()), max(alive, default=0))
    image = shown.images.get(name) if shown else None
    return ServiceView(
        name=name,
        state=state,
        replicas=spec.replicas if spec else 0,
        released=released,
        healthy=healthy,
        image=image.config if image else "",
        port=spec.main_port if spec else None,
        memory=int(spec.memory) if spec and spec.memory is not None else None,
        cpus=spec.cpus if spec else None,
        volumes=tuple(spec.volumes) if spec else (),
        routes=_routes(call, name, spec, observed),
        instances=tuple(views),
        pinned=spec is not None and spec.pinned,
    )


def _routes(call: Call, service: str, spec: ServiceSpec | None, observed: Observed) -> tuple[RouteView, ...]:
    backends = {entry.route: len(entry.backends) for entry in observed.routes}
    routes = [
        RouteView(route=str(route), service=service, url=route_url(call, route), backends=backends.get(route, 0))
        for route in (spec.parsed_routes if spec else ())
    ]
    answering = {entry.stream: len(entry.backends) for entry in observed.streams}
    streams = [
        RouteView(
            route=str(mouth.stream),
            service=service,
            url="",
            backends=answering.get(mouth.stream, 0),
            trouble=observed.closed.get(mouth.stream, "") if mouth.stream in answering else "",
        )
        for mouth in (spec.streams if spec else ())
    ]
    return (*routes, *streams)


def route_url(call: Call, route: Route) -> str:
    """Where a route answers, for a link; empty for `*.domain`, which has no one address."""
    if route.host.startswith("*."):
        return ""
    host = call.host if route.host == "*" else route.host
    ingress = call.control.ingress
    scheme, usual = ("https", 443) if ingress.secure else ("http", 80)
    ports = [port for _, port in ingress.secure or ingress.addresses]
    port = "" if not ports or ports[0] == usual else f":{ports[0]}"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{port}{route.prefix}"


async def app_urls(call: Call, app: str) -> tuple[str, ...]:
    """Where an app answers now."""
    for desired in (await call.registry.desired()).apps:
        if desired.app == app and desired.serving is not None:
            routes = [r for service in desired.serving.spec.services.values() for r in service.parsed_routes]
            return tuple(url for url in (route_url(call, route) for route in routes) if url)
    return ()


def release_row_view(row: ReleaseRow) -> ReleaseView:
    """A release and what became of it."""
    return release_view(
        row.release,
        serving=row.serving,
        good=row.good,
        accepted=row.accepted_at,
        outcome=row.outcome or "",
        retired=row.retired_at is not None,
    )


def release_view(
    release: Release,
    *,
    serving: bool = False,
    good: bool = False,
    accepted: float | None = None,
    outcome: str = "",
    retired: bool = False,
) -> ReleaseView:
    """A release, without its spec: that has environment values."""
    return ReleaseView(
        digest=release.digest,
        app=release.app,
        version=release.version,
        epoch=release.epoch,
        sequence=release.sequence,
        issued=release.issued,
        valid_until=release.valid_until,
        signers=release.signers,
        size=sum({image.manifest: image.size for image in release.images.values()}.values()),
        serving=serving,
        good=good,
        accepted=accepted,
        outcome=outcome,
        retired=retired,
    )


async def change_view(call: Call, change: Change) -> ChangeView:
    """A change, with the versions behind its digests."""
    return ChangeView(
        id=change.id,
        app=change.app,
        kind=change.kind,
        state=change.state,
        active=change.state.active,
        target=change.target,
        version=await call.context.version(change.target),
        fallback=change.fallback,
        fallback_version=await call.context.version(change.fallback),
        actor=change.actor,
        started=change.started,
        deadline=change.deadline,
        switched=change.switched,
        ended=change.ended,
        reason=said(call, change.reason),
    )


def step_view(call: Call, row: JournalRow) -> StepView:
    """One row of the journal."""
    return StepView(
        id=row.id,
        kind=row.kind,
        title=row.title,
        started=row.started,
        ended=row.ended,
        ok=row.ok if row.ended is not None else None,
        detail=said(call, row.detail),
    )


def said(call: Call, text: str) -> str:
    """Text that may end with lines of a log: all of it, or its first line."""
    return text if call.caller.sees_logs else text.partition("\n")[0]


def disk_view(call: Call) -> DiskView:
    """The file system of the data directory."""
    free = call.control.blobs.free_bytes()
    reserve = int(call.control.config.limits.reserve)
    return DiskView(free=free, reserve=reserve, tight=free < reserve)


def root_view(root: bytes) -> RootView:
    """A root that this box has verified, read for display only (TUF 1.0.33, 4.3)."""
    signed = json.loads(root)["signed"]
    roles = signed["roles"]
    expires_at = datetime.fromisoformat(signed["expires"]).timestamp()
    return RootView(
        version=signed["version"],
        epoch=signed.get("x-minipaas-epoch", 1),
        expires=signed["expires"],
        expires_at=expires_at,
        expired=expires_at < time.time(),
        keys=tuple(roles["targets"]["keyids"]),
        threshold=roles["targets"]["threshold"],
        root_keys=tuple(roles["root"]["keyids"]),
        root_threshold=roles["root"]["threshold"],
    )


def entered(touch: Touch | None) -> str:
    """Who has been in an instance, and what they have changed as far as that is known."""
    if touch is None:
        return ""
    if touch.changed:
        return EN.say(message("phrase.touched_files", who=touch.by, n=touch.changed))
    if touch.copied:
        return EN.say(message("phrase.touched_copy", who=touch.by))
    return EN.say(message("phrase.entered" if touch.changed is None else "phrase.entered_clean", who=touch.by))
