"""`/upload`: bundles brought by a browser, and what becomes of them, step by step until they serve."""

from __future__ import annotations

import json

from aiohttp import web

from minipaas.surface.access import Access
from minipaas.surface.call import Call
from minipaas.surface.handlers.changes import detail
from minipaas.surface.i18n import catalogue
from minipaas.surface.pages.shell import language_of, render


async def upload(call: Call) -> web.Response:
    """Where to drop them; or what is missing."""
    signed = call.control.config.api.accept_signed_uploads
    told = catalogue(language_of(call.request))
    return await render(
        call,
        "upload.html",
        live=False,
        news=True,
        allowed=call.caller.may(Access.UPLOAD, signed_uploads=signed),
        by_signature=not call.caller.may(Access.DEPLOY),
        upload_words=json.dumps(told.below("upload_js"), ensure_ascii=False),
    )


async def change(call: Call) -> web.Response:
    """One change: its steps so far, and how it ended."""
    return await render(call, "upload_change.html", live=False, detail=await detail(call, call.number))
