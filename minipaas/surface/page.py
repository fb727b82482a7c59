"""The status page: rendered here from the same views as the API, and rendered again when there is news.

What always holds: everything is escaped; there is no inline script or style; without JavaScript it is a plain page. A
request by htmx (`HX-Request`) gets the part inside `main`, everybody else the whole page.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from minipaas.model.errors import Missing
from minipaas.model.units import human_bytes
from minipaas.surface import views
from minipaas.surface.call import Call
from minipaas.surface.handlers.apps import releases_of
from minipaas.surface.handlers.box import audit_rows, facts
from minipaas.surface.handlers.changes import detail
from minipaas.surface.handlers.trust import listing as trust_listing
from minipaas.surface.wire import AppView, ChangeDetail, Problem

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
CHANGES_SHOWN = 15
RELEASES_SHOWN = 20
AUDIT_SHOWN = 30
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
_ICON = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    b'<rect x="2" y="5" width="28" height="9" rx="3" fill="#2f7d6b"/>'
    b'<rect x="2" y="18" width="28" height="9" rx="3" fill="#7fb8a8"/>'
    b'<circle cx="8" cy="9.5" r="2" fill="#fff"/><circle cx="8" cy="22.5" r="2" fill="#fff"/></svg>'
)


async def overview(call: Call) -> web.Response:
    """`/`: whether the box is well, and every app."""
    apps = await views.apps_view(call)
    running = {app.name: await detail(call, app.change.id) for app in apps.apps if app.change and app.change.active}
    return await _render(call, "overview.html", apps=apps, running=running)


async def app(call: Call) -> web.Response:
    """`/apps/{app}`: all about one."""
    name = call.app
    recent = await call.registry.changes(name, CHANGES_SHOWN)
    changes = [await detail(call, change.id) for change in recent]
    view: AppView | None
    try:
        view = await views.app_view(call, name)
    except Missing:
        if not changes:
            raise
        view = None  # removed, and remembered
    releases = (await releases_of(call, name)).releases if view or changes else ()
    return await _render(
        call, "app.html", name=name, app=view, changes=_active_first(changes), releases=releases[:RELEASES_SHOWN]
    )


def _active_first(changes: list[ChangeDetail]) -> list[ChangeDetail]:
    return sorted(changes, key=lambda one: not one.change.active)


async def box(call: Call) -> web.Response:
    """`/box`: facts, trust, and for those who may the audit."""
    trust = await trust_listing(call)
    rows = await audit_rows(call, AUDIT_SHOWN, None) if call.caller.sees_logs else None
    return await _render(call, "box.html", trust=trust, audit=rows)


async def static(call: Call) -> web.Response:
    """A file of ours or of `vendor`, by its bare name."""
    name = call.request.match_info["file"]
    found = _files().get(name)
    if found is None:
        raise Missing(f"cannot find {call.request.path[:200]}: no such file", code="api.path")
    body, kind, tag = found
    headers = {"Cache-Control": "no-cache", "ETag": f'"{tag}"'}
    if call.request.query.get("v") == tag:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    if tag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


def error_page(status: int, problem: Problem) -> str:
    """A refusal for people with a browser."""
    return _environment().get_template("error.html").render(status=status, problem=problem)


async def _render(call: Call, template: str, **values: Any) -> web.Response:
    version = call.context.news.current()
    part = call.request.headers.get("HX-Request") == "true"
    text = (
        _environment()
        .get_template(template)
        .render(
            box=await facts(call),
            version=version,
            path=call.request.path,
            layout="part.html" if part else "page.html",
            **values,
        )
    )
    headers = {"Cache-Control": "no-store", "Vary": "HX-Request"}
    return web.Response(text=text, content_type="text/html", headers=headers)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Name -> (content, media type, tag); read once."""
    found = {path.name: path.read_bytes() for path in (HERE / "static").rglob("*") if path.suffix in _TYPES}
    return {
        name: (body, _TYPES[Path(name).suffix], hashlib.sha256(body).hexdigest()[:16])
        for name, body in (found | {"icon.svg": _ICON}).items()
    }


@cache
def _environment() -> Environment:
    """Jinja2, imported only when a page is asked for."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["bytes"] = human_bytes
    environment.filters["short"] = lambda digest: str(digest).removeprefix("sha256:")[:12]
    environment.filters["utc"] = _utc
    environment.filters["took"] = _took
    environment.globals["asset"] = lambda name: f"/static/{name}?v={_files()[name][2]}"
    return environment


def _utc(seconds: float) -> str:
    """For a reader without JavaScript."""
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "unknown"


def _took(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
