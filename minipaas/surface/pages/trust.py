"""The form for a trust root on `/box`: first what it would change, in words, then the change."""

from __future__ import annotations

from aiohttp import web
from msgspec import Struct

from minipaas.model.errors import MinipaasError
from minipaas.surface.call import Call
from minipaas.surface.pages.box import box_page
from minipaas.surface.pages.shell import go, render
from minipaas.surface.trust_change import told_change

SECTION = "trust"


class TrustRootForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`root`: what a root.json says. `sure`: the reader has seen what it changes."""

    root: str
    sure: bool = False


async def add(call: Call) -> web.StreamResponse:
    """Show what it changes; with `sure`, trust it."""
    wanted: TrustRootForm = call.body
    root = wanted.root.encode()
    try:
        if wanted.sure:
            await call.control.add_root(root, actor=call.caller.actor, origin=call.caller.origin)
            return go(call, "/box#trust")
        change = told_change(await call.registry.roots(), root)
    except MinipaasError as error:
        return await box_page(call, SECTION, error)
    return await render(call, "trust_review.html", live=False, root=wanted.root, change=change)
