"""All apps at a glance, and one of them: their state in words, and what is wrong with the box itself."""

from __future__ import annotations

import time

from msgspec import Struct

from minipaas.model.change import AppDesired, Change
from minipaas.model.errors import Missing
from minipaas.model.metrics import AppSummary, Summary
from minipaas.model.units import human_bytes
from minipaas.surface import status
from minipaas.surface.call import Call
from minipaas.surface.i18n import EN, Message, Names, message
from minipaas.surface.services import services_of
from minipaas.surface.views import change_view, disk_view, release_view
from minipaas.surface.wire import Apps, AppState, AppView
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
    services = await services_of(call, desired, shown, observed)
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
