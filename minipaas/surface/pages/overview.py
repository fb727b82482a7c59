"""`/`: whether the box is well, and every app, the most urgent first.

What always holds: a row is rendered anew only when what it shows has changed; a page that is open gets with each piece
of news only the rows that differ, and everything when rows came, went or changed places.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from aiohttp import web
from markupsafe import Markup
from msgspec import Struct

from minipaas.model.metrics import AppSummary, HostNow, Seen
from minipaas.model.units import human_bytes
from minipaas.surface import spark, survey, views
from minipaas.surface.call import Call
from minipaas.surface.handlers.changes import detail
from minipaas.surface.i18n import Catalogue, catalogue
from minipaas.surface.pages.shell import by_script, environment, language_of, render
from minipaas.surface.sent import Shown
from minipaas.surface.wire import AppState, ChangeDetail

HALF_HOUR = 1800
FIND_FROM = 15
"""With more apps than these there is a field to find one by its name."""
TONES = {
    Seen.UNKNOWN: "none",
    Seen.RUNNING: "good",
    Seen.CHANGING: "busy",
    Seen.DEGRADED: "warn",
    Seen.FAILED: "bad",
    Seen.DOWN: "bad",
}
"""Of a part of a strip."""
LEAST_CPU, LEAST_MEMORY, LEAST_REQUESTS = 0.02, 1024.0**2, 0.1
"""Below these a line stays low: cores, bytes, requests a second."""


class Row(Struct, frozen=True):
    """One app on the page."""

    app: str
    html: Markup


class Figure(Struct, frozen=True):
    """A number and the last hour of it."""

    label: str
    text: str
    picture: Markup
    alarm: str = ""
    """What is wrong with it."""


async def overview(call: Call) -> web.Response:
    """All at a glance; for a page that is open, what has changed of it."""
    told = catalogue(language_of(call.request))
    seen, trouble = await survey.survey(call), survey.trouble(call)
    groups = [(name, [await _row(call, told, app) for app in apps]) for name, apps in _groups(seen)]
    shown = Shown(
        frame=(told.language, tuple((name, tuple(row.app for row in rows)) for name, rows in groups)),
        rows={row.app: hash(row.html) for _, rows in groups for row in rows},
    )
    changed = call.context.sent.changed(call.request.query.get("from", ""), shown) if by_script(call.request) else None
    response = await render(
        call,
        "overview.html" if changed is None else "overview_news.html",
        well=not trouble and not any(app.need for app in seen.apps),
        sentences=(seen.sentence, *trouble),
        returned=survey.returned(call) is not None,
        gauges=gauges(told, call.control.telemetry.summary().host, views.disk_view(call).free),
        groups=groups,
        changed=[row for _, rows in groups for row in rows if changed and row.app in changed],
        sent=call.context.sent.note(shown),
        find_from=FIND_FROM,
        every=60,
    )
    if changed is not None:
        response.headers["HX-Reswap"] = "none"  # what is in it finds its own places
    return response


def _groups(seen: survey.Survey) -> Iterator[tuple[str, list[survey.Told]]]:
    """By what they ask of an operator; the order of the survey keeps each together."""

    def name(app: survey.Told) -> str:
        if app.need is not None:
            return "need"
        return "rest" if app.view.state is AppState.RUNNING else "moving"

    return ((group, list(apps)) for group, apps in groupby(seen.apps, key=name))


async def _row(call: Call, told: Catalogue, app: survey.Told) -> Row:
    """From memory, when nothing of it has changed."""
    change = app.view.change
    under_way = await detail(call, change.id) if change is not None and change.active else None
    key = (told.language, call.caller.sees_logs, call.host, app.view.name)
    state = (app.view, app.past, under_way)
    known = call.context.rows.get(key)
    if known is not None and known[0] == state:
        return Row(app.view.name, known[1])
    html = _render_row(told, app, under_way)
    call.context.rows.put(key, (state, html))
    return Row(app.view.name, html)


def _render_row(told: Catalogue, app: survey.Told, under_way: ChangeDetail | None) -> Markup:
    module = environment(told.language).get_template("row.html").module
    past = app.past
    html: str = module.row(  # type: ignore[attr-defined]
        app,
        strip=day(told, past) if past else "",
        figures=figures(told, past) if past else (),
        step=under_way.steps[-1] if under_way and under_way.steps else None,
    )
    return Markup(html)  # noqa: S704 - a template has made it


def day(told: Catalogue, past: AppSummary) -> Markup:
    """The last day of an app as a strip."""
    return spark.strip((TONES[one] for one in past.history), str(_day(told, past)))


def _day(told: Catalogue, past: AppSummary) -> Markup:
    """The strip in words: how long it was what."""
    spans = [
        told(f"strip.{word}", span=told.span(HALF_HOUR * count))
        for word, count in (
            (word, past.history.count(Seen(word))) for word in ("down", "failed", "degraded", "changing")
        )
        if count
    ]
    if not spans:
        known = any(one is not Seen.UNKNOWN for one in past.history)
        return told("strip.well" if known else "strip.unknown")
    return told("strip.day", what=told("list.and").join(spans))


def figures(told: Catalogue, past: AppSummary) -> tuple[Figure, ...]:
    """Requests, CPU and memory: now, and the last hour."""
    requests, errors = _last(past.requests), _last(past.errors)
    if requests is None:  # in its first minute there is only the last sample
        requests, errors = past.requests_now, past.errors_now
    memory = sum(one.memory for one in past.instances)
    cpu = [one.cpu for one in past.instances if one.cpu is not None]
    failing = errors / requests if requests and errors else 0.0
    return (
        Figure(
            str(told("figure.requests")),
            f"{rounded(requests)}/s" if requests is not None else "–",
            spark.line(past.requests, least=LEAST_REQUESTS),
            str(told("figure.errors", share=f"{max(round(failing * 100), 1)} %")) if failing else "",
        ),
        Figure(
            str(told("figure.cpu")),
            f"{rounded(sum(cpu) * 100)} %" if cpu else "–",
            spark.line(past.cpu, least=LEAST_CPU),
        ),
        Figure(
            str(told("figure.memory")),
            human_bytes(memory) if past.instances else "–",
            spark.line(past.memory, least=LEAST_MEMORY),
        ),
    )


def gauges(told: Catalogue, host: HostNow | None, disk_free: int) -> tuple[Figure, ...]:
    """The machine: CPU, memory, disk. `disk_free`: bytes that may still be written, which is less than the rest."""
    if host is None:
        return ()
    found = []
    for name, share, text in (
        ("cpu", host.cpu, None if host.cpu is None else f"{rounded(host.cpu * 100)} %"),
        ("memory", host.memory_used / max(host.memory_total, 1), human_bytes(host.memory_total - host.memory_used)),
        ("disk", host.disk_used / max(host.disk_total, 1), human_bytes(disk_free)),
    ):
        if share is not None and text is not None:
            tone = "bad" if share > 0.95 else "warn" if share > 0.85 else ""
            told_text = told(f"gauge.{name}", value=text)
            found.append(Figure(str(told(f"figure.{name}")), str(told_text), spark.bar(share, tone), tone))
    return tuple(found)


def rounded(value: float) -> str:
    """`0`, `0.03`, `1.2`, `48`."""
    if value and value < 0.095:
        return f"{value:.2f}"
    return f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:,.0f}".replace(",", "\u2009")


def _last(series: tuple[float | None, ...]) -> float | None:
    """The newest that is known of the last few minutes."""
    return next((value for value in reversed(series[-3:]) if value is not None), None)
