"""`/apps/{app}/rollback`, `restart`, `scale`, `remove`: first a page that says what will happen, then the deed.

What always holds: what is told comes from the planner itself; the deed is that of the API, with its access and its
audit; a refusal is told where it was asked for, and what was typed is still there.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from aiohttp import web
from msgspec import Struct

from minipaas.control.foresight import foresee
from minipaas.model.change import ChangeKind
from minipaas.model.errors import Invalid, MinipaasError
from minipaas.model.spec import MAX_REPLICAS
from minipaas.surface import problems
from minipaas.surface.call import Call
from minipaas.surface.handlers import apps
from minipaas.surface.handlers.previews import preview_view
from minipaas.surface.pages.shell import by_script, render
from minipaas.surface.wire import Accepted, RollbackRequest
from minipaas.surface.wire_plan import PlanPreview, RestartRequest, ScaleRequest

LONGEST = 128


class Rollback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`to`: a version or digest; empty: the confirmed release before this one."""

    to: str = ""


class Restart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`service`: only this one."""

    service: str = ""


class Scale(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`replicas`: empty: as many as the release says."""

    service: str = ""
    replicas: str = ""


class Remove(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`name`: of the app, typed by hand."""

    name: str = ""
    volumes: Literal["keep", "delete"] = "keep"


Wanted = Rollback | Restart | Scale | Remove


def ask(kind: type[Wanted]) -> Callable[[Call], Awaitable[web.Response]]:
    """The handler that says what will happen; what is wanted comes in the query."""

    async def answer(call: Call) -> web.Response:
        query = call.request.query
        known = {name: query[name][:LONGEST] for name in kind.__struct_fields__ if name in query}
        try:
            wanted = msgspec.convert(known, kind)
        except msgspec.ValidationError:  # nothing that a page of ours has asked for
            wanted = kind()
        return await _confirm(call, wanted)

    return answer


def do(kind: type[Wanted]) -> Callable[[Call], Awaitable[web.Response]]:
    """The handler of its form."""

    async def answer(call: Call) -> web.Response:
        wanted: Wanted = call.body
        try:
            accepted = await _do(call, wanted)
        except MinipaasError as error:
            return await _confirm(call, wanted, error)
        if by_script(call.request):
            return web.Response(status=204, headers={"HX-Trigger": json.dumps({"begun": {"change": accepted.change}})})
        return web.Response(status=303, headers={"Location": accepted.page, "Cache-Control": "no-store"})

    assert kind in DEEDS  # noqa: S101
    return answer


async def _do(call: Call, wanted: Wanted) -> Accepted:
    """By the handlers of the API."""
    match wanted:
        case Rollback():
            call.body = RollbackRequest(to=wanted.to or None)
            return await apps.rollback(call)
        case Restart():
            call.body = RestartRequest(service=wanted.service or None)
            return await apps.restart(call)
        case Scale():
            call.body = ScaleRequest(service=wanted.service, replicas=_number(wanted.replicas))
            return await apps.scale(call)
        case Remove():
            if wanted.name != call.app:
                raise Invalid(
                    f"cannot remove {call.app}: what was typed is not its name", hint="type it anew", code="page.name"
                )
            call.query["volumes"] = wanted.volumes == "delete"
            return await apps.remove(call)


async def _foresee(call: Call, wanted: Wanted) -> PlanPreview:
    registry, observed, app = call.registry, call.control.observed, call.app
    match wanted:
        case Rollback():
            outlook = await foresee(registry, observed, app, ChangeKind.ROLLBACK, to=wanted.to or None)
        case Restart():
            outlook = await foresee(registry, observed, app, ChangeKind.RESTART, service=wanted.service or None)
        case Scale():
            outlook = await foresee(
                registry,
                observed,
                app,
                ChangeKind.SCALE,
                service=wanted.service or None,
                replicas=_number(wanted.replicas),
            )
        case Remove():
            outlook = await foresee(registry, observed, app, ChangeKind.REMOVE, purge=wanted.volumes == "delete")
    return preview_view(outlook)


def _number(text: str) -> int | None:
    if not text.strip():
        return None
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= MAX_REPLICAS):
        raise Invalid(
            f"cannot scale to {text[:20]!r}: it is not a number from 0 to {MAX_REPLICAS}", code="page.replicas"
        )
    return int(text)


async def _confirm(call: Call, wanted: Wanted, error: MinipaasError | None = None) -> web.Response:
    preview: PlanPreview | None = None
    try:
        preview = await _foresee(call, wanted)
    except MinipaasError as failure:
        error = error or failure
    return await render(
        call,
        "confirm.html",
        status=200 if error is None else problems.status_of(error),
        live=False,
        name=call.app,
        kind=DEEDS[type(wanted)],
        wanted=wanted,
        preview=preview,
        problem=None if error is None else problems.problem(error).error,
    )


DEEDS: dict[type[Wanted], str] = {Rollback: "rollback", Restart: "restart", Scale: "scale", Remove: "remove"}
"""What they are called in paths and in the catalogue."""
