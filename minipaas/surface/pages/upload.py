"""`/upload`: bundles brought by a browser, and what becomes of them, step by step until they serve."""

from __future__ import annotations

import json

from aiohttp import web
from msgspec import Struct

from minipaas.model.errors import MinipaasError
from minipaas.surface import problems
from minipaas.surface.access import Access, Policy
from minipaas.surface.call import Call
from minipaas.surface.handlers import held as held_bundles
from minipaas.surface.handlers.changes import detail
from minipaas.surface.i18n import catalogue
from minipaas.surface.pages.shell import by_script, go, language_of, render


class Decision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A button."""


async def upload(call: Call) -> web.Response:
    """Where to drop them; or what is missing."""
    policy = Policy.of(call.control.config)
    told = catalogue(language_of(call.request))
    return await render(
        call,
        "upload.html",
        live=False,
        news=True,
        allowed=call.caller.may(Access.UPLOAD, policy),
        by_signature=not call.caller.may(Access.DEPLOY),
        waiting=call.control.held.every() if call.caller.may(Access.DEPLOY) else (),
        upload_words=json.dumps(told.below("upload_js"), ensure_ascii=False),
    )


async def change(call: Call) -> web.Response:
    """One change: its steps so far, and how it ended."""
    return await render(call, "upload_change.html", live=False, detail=await detail(call, call.number))


async def held(call: Call) -> web.Response:
    """A bundle that waits for a yes or a no, and all that helps to decide."""
    return await _held(call)


async def deploy(call: Call) -> web.StreamResponse:
    """Yes: on to its steps."""
    try:
        accepted = await held_bundles.deploy(call)
    except MinipaasError as error:
        return await _held(call, error)
    if by_script(call.request):
        return await render(call, "upload_change.html", live=False, detail=await detail(call, accepted.change))
    return go(call, accepted.page)


async def drop(call: Call) -> web.StreamResponse:
    """No."""
    try:
        await held_bundles.drop(call)
    except MinipaasError as error:
        return await _held(call, error)
    if by_script(call.request):
        return await render(call, "upload_held.html", live=False, held=None, problem=None)
    return go(call, "/upload")


async def _held(call: Call, error: MinipaasError | None = None) -> web.Response:
    """With the refusal of what was asked, if it was; also when the bundle waits no more."""
    view = None
    try:
        view = await held_bundles.one(call)
    except MinipaasError as failure:
        error = error or failure
    return await render(
        call,
        "upload_held.html",
        status=200 if error is None else problems.status_of(error),
        live=False,
        held=view,
        problem=None if error is None else problems.problem(error).error,
    )
