"""`/apps/{app}`: all about one app: its services and instances, releases, changes, and what may be done with it."""

from __future__ import annotations

import asyncio

from aiohttp import web
from markupsafe import Markup
from msgspec import Struct

from minipaas.forensics.target import choose
from minipaas.model.errors import Missing
from minipaas.model.metrics import AppSummary, Window
from minipaas.surface import spark, survey
from minipaas.surface.call import Call
from minipaas.surface.handlers.apps import releases_of
from minipaas.surface.handlers.changes import detail
from minipaas.surface.handlers.events import events_of
from minipaas.surface.i18n import catalogue
from minipaas.surface.pages.overview import day, figures, rounded
from minipaas.surface.pages.shell import language_of, render
from minipaas.surface.pages.timeline_picture import picture
from minipaas.surface.timeline import axis
from minipaas.surface.wire import ChangeDetail, InstanceView, ServiceView
from minipaas.telemetry.latency import quantile

CHANGES_SHOWN = 15
RELEASES_SHOWN = 20
EVENTS_SHOWN = 10
LEASES_SHOWN = 8


class Use(Struct, frozen=True):
    """What one instance uses now, for people."""

    cpu: str
    memory: int
    share: float | None
    """Of the memory that it may have."""


class Answers(Struct, frozen=True, kw_only=True):
    """What one route has answered since minipaas began to, for people."""

    route: str
    service: str
    requests: int
    in_flight: int
    classes: tuple[int, ...]
    """2xx, 3xx, 4xx, 5xx."""
    quantiles: tuple[float | None, ...]
    """Half, 90 and 99 of 100 answers came within so many milliseconds."""
    picture: Markup
    """How many came within 0.25 ms, 0.5 ms, 1 ms and so on."""


async def app(call: Call) -> web.Response:
    """Also of an app that was removed, and is remembered."""
    name = call.app
    recent = await call.registry.changes(name, CHANGES_SHOWN)
    changes = [await detail(call, change.id) for change in recent]
    told: survey.Told | None
    try:
        told = await survey.told_app(call, name)
    except Missing:
        if not changes:
            raise
        told = None
    sees = call.caller.sees_logs
    words = catalogue(language_of(call.request))
    releases = (await releases_of(call, name)).releases if told or changes else ()
    past = told.past if told else None
    return await render(
        call,
        "app.html",
        name=name,
        told=told,
        strip=day(words, past) if past else "",
        figures=figures(words, past) if past else (),
        doors=_doors(call, name),
        use=_use(told) if told else {},
        changes=_active_first(changes),
        releases=releases[:RELEASES_SHOWN],
        back=any(not one.serving and not one.retired and one.outcome == "done" for one in releases),
        events=(await events_of(call, name, EVENTS_SHOWN)).events,
        crashes=await asyncio.to_thread(call.control.shelf.groups, name) if call.caller.sees_logs else (),
        answers=_answers(call, name),
        bar=spark.bar,
        axis=picture(await axis(call, name, Window.DAY), words, sees=sees) if changes else None,
        past_leases=await call.control.access.kept.newest(LEASES_SHOWN, name) if sees else (),
        leases=[lease for lease in call.control.access.leases.open_now if lease.app == name] if sees else (),
        every=60,
    )


def _doors(call: Call, app: str) -> frozenset[str]:
    """The ids of the instances into which `SERVICE/N` leads: not of those that stand by for their successors."""
    observed = call.control.observed
    running = {(one.service, one.slot) for one in observed.of(app) if one.running}
    return frozenset(choose(observed, app, service, slot).id for service, slot in running)


def _answers(call: Call, app: str) -> tuple[Answers, ...]:
    """Of every route of the app."""
    traffic = call.control.telemetry.traffic()
    return tuple(
        Answers(
            route=str(one.route),
            service=one.service,
            requests=one.requests,
            in_flight=one.in_flight,
            classes=one.answers[1:],
            quantiles=tuple(quantile(one.buckets, share) for share in (0.5, 0.9, 0.99)),
            picture=spark.line(one.buckets),
        )
        for one in (traffic.routes if traffic else ())
        if one.app == app
    )


def _active_first(changes: list[ChangeDetail]) -> list[ChangeDetail]:
    return sorted(changes, key=lambda one: not one.change.active)


def _use(told: survey.Told) -> dict[str, Use]:
    """By id of the instance; only of those that run."""
    if told.past is None:
        return {}
    found = {}
    for service in told.view.services:
        for one in service.instances:
            use = _use_of(told.past, service, one)
            if use is not None:
                found[one.id] = use
    return found


def _use_of(past: AppSummary, service: ServiceView, one: InstanceView) -> Use | None:
    if one.state.value != "running":
        return None
    now = next((use for use in past.instances if (use.service, use.slot) == (service.name, one.slot)), None)
    if now is None:
        return None
    cpu = "–" if now.cpu is None else f"{rounded(now.cpu * 100)} %"
    return Use(cpu, now.memory, now.memory / service.memory if service.memory else None)
