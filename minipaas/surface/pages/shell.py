"""What all pages share: their frame, their language, their templates, and the page that an error becomes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web
from yarl import URL

from minipaas.model.errors import MinipaasError
from minipaas.model.units import human_bytes
from minipaas.surface import problems
from minipaas.surface.access import Access, Policy
from minipaas.surface.call import Call
from minipaas.surface.handlers.box import facts
from minipaas.surface.i18n import LANGUAGES, catalogue, choose
from minipaas.surface.pages.assets import asset

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parents[1] / "templates"
LANGUAGE_COOKIE = "minipaas_lang"
LANGUAGE_KEPT = 365 * 86400
"""Seconds that a chosen language is remembered."""


def language_of(request: web.Request) -> str:
    """The reader's language: `?lang=`, else the cookie, else `Accept-Language`."""
    return choose(
        request.query.get("lang"), request.cookies.get(LANGUAGE_COOKIE), request.headers.get("Accept-Language", "")
    )


def by_script(request: web.Request) -> bool:
    """Whether htmx asks, which takes the part inside `main`."""
    return request.headers.get("HX-Request") == "true"


async def render(
    call: Call,
    template: str,
    *,
    status: int = 200,
    live: bool = True,
    news: bool = False,
    every: int = 0,
    **values: Any,
) -> web.Response:
    """A page in the reader's language. `live`: it is shown anew when there is news, and each `every` seconds if that is
    not 0; `news`: parts of it hear of news by themselves. Every template also gets:

    `t` (the catalogue), `lang`, `box` (facts; None for strangers), `path`, `here` (this address), `switch(language)`
    (this address in another language), `live`, `news`, `every`, `version` (of the news), `may(access)`, `csrf` (for
    forms), `caller`, `layout`.
    """
    request = call.request
    language = language_of(request)
    version = call.context.news.current()
    address = request.rel_url if request.method in ("GET", "HEAD") else _page_of(request)
    text = (
        environment(language)
        .get_template(template)
        .render(
            box=await facts(call) if call.caller.may(Access.OPEN) else None,
            version=version,
            path=request.path,
            here=str(address),
            switch=lambda tag: str(address.update_query(lang=tag)),
            caller=call.caller,
            may=lambda access: call.caller.may(Access(access), Policy.of(call.control.config)),
            csrf=call.caller.session.csrf if call.caller.session else call.context.sessions.open_csrf,
            live=live,
            news=live or news,
            every=every,
            layout="part.html" if by_script(request) else "page.html",
            **values,
        )
    )
    headers = {"Cache-Control": "no-store", "Vary": "HX-Request, Accept-Language, Cookie"}
    response = web.Response(status=status, text=text, content_type="text/html", headers=headers)
    if request.query.get("lang") in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, language, max_age=LANGUAGE_KEPT, httponly=True, samesite="Lax", path="/")
    return response


def _page_of(request: web.Request) -> URL:
    """The page whose form was sent: its address is the beginning of the form's."""
    first, *rest = request.path.strip("/").split("/")
    return URL.build(path=f"/{first}/{rest[0]}" if first == "apps" and rest else f"/{first}")


def go(call: Call, path: str) -> web.Response:
    """To another page, by the means that the asker understands."""
    if by_script(call.request):
        return web.Response(status=204, headers={"HX-Redirect": path})
    return web.Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})


def to_sign_in(request: web.Request) -> web.Response:
    """Where those go who may not even look."""
    where = f"/sign-in?next={quote(request.path, safe='/')}"
    if by_script(request):
        return web.Response(status=401, headers={"HX-Redirect": where, "Cache-Control": "no-store"})
    return web.Response(status=303, headers={"Location": where, "Cache-Control": "no-store"})


def error_page(request: web.Request, error: MinipaasError) -> str:
    """A refusal for people with a browser: a page, or for htmx the few lines that say it."""
    template = "problem.html" if by_script(request) else "error.html"
    return (
        environment(language_of(request))
        .get_template(template)
        .render(status=problems.status_of(error), problem=problems.problem(error).error)
    )


@cache
def environment(language: str) -> Environment:
    """Jinja2 for one language, imported only when a page is asked for."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from minipaas.surface.timeline import title_of as mark_title

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    told = catalogue(language)
    made.filters["bytes"] = human_bytes
    made.filters["short"] = lambda digest: str(digest).removeprefix("sha256:")[:12]
    made.filters["utc"] = lambda seconds: _utc(seconds, str(told("page.time_unknown")))
    made.filters["took"] = told.span
    made.filters["slug"] = lambda word: str(word).replace(" ", "_")
    made.filters["step"] = lambda step: told.retell(step.title, f"step.{step.kind}")
    made.filters["event"] = lambda one: told.retell(one.title, f"step.{one.step}" if one.step else "event")
    made.filters["phrase"] = lambda text: told.retell(text, "phrase")
    made.filters["mark"] = lambda one: mark_title(one, told)
    made.globals["asset"] = asset
    made.globals["t"] = told
    made.globals["lang"] = language
    made.globals["languages"] = LANGUAGES
    made.globals["words"] = json.dumps(told.below("js") | told.below("unit"), ensure_ascii=False)
    return made


def _utc(seconds: float, unknown: str) -> str:
    """For a reader without JavaScript."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return unknown
