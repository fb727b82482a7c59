"""Held bundles: what was verified and waits for a yes or a no."""

from __future__ import annotations

import asyncio

from aiohttp import web

from minipaas.control.clock import trusted_time
from minipaas.control.contents import read_contents
from minipaas.control.held import Hold
from minipaas.model.errors import Refused
from minipaas.model.release import Release
from minipaas.plan.difference import Comparison, compare
from minipaas.surface import views
from minipaas.surface.call import Call
from minipaas.surface.handlers.apps import accepted
from minipaas.surface.handlers.diffs import diff_view
from minipaas.surface.handlers.previews import preview_view
from minipaas.surface.wire import Accepted
from minipaas.surface.wire_plan import Held, HeldBundles, Verification


async def listing(call: Call) -> HeldBundles:
    """The oldest first."""
    return HeldBundles(held=tuple([await held_view(call, hold) for hold in call.control.held.every()]))


async def one(call: Call) -> Held:
    """One of them."""
    return await held_view(call, call.control.held.get(_id(call)))


async def deploy(call: Call) -> Accepted:
    """Yes."""
    change = await call.control.held.deploy(_id(call), actor=call.caller.actor, origin=call.caller.origin)
    return await accepted(call, change)


async def drop(call: Call) -> web.Response:
    """No."""
    await call.control.held.drop(_id(call), actor=call.caller.actor, origin=call.caller.origin)
    return web.Response(status=204)


def _id(call: Call) -> str:
    return call.request.match_info["held"]


async def held_view(call: Call, hold: Hold) -> Held:
    """Everything about it that a person may want to know before the yes."""
    release, verdict = hold.release, hold.parcel.verdict
    apps = (await call.registry.desired()).apps
    serving = next((app.serving for app in apps if app.app == release.app), None)
    shown = views.release_view(release)
    replaces = views.release_view(serving, serving=True) if serving is not None else None
    preview, refused = None, ""
    try:
        preview = preview_view(await call.control.held.outlook(hold))
    except Refused as error:
        refused = error.message
    diff = None
    if serving is not None and replaces is not None:
        diff = diff_view(call, await _compared(call, serving, hold), replaces, shown)
    return Held(
        id=hold.id,
        app=release.app,
        version=release.version,
        release=shown,
        replaces=replaces,
        actor=hold.actor,
        held=hold.at,
        expires=hold.expires,
        size=sum(verdict.descriptors.values()),
        new=hold.parcel.new,
        verification=await _verification(call, hold),
        preview=preview,
        refused=refused,
        diff=diff,
    )


async def _verification(call: Call, hold: Hold) -> Verification:
    release, verdict = hold.release, hold.parcel.verdict
    root = views.root_view(verdict.new_roots[-1][1] if verdict.new_roots else hold.parcel.root)
    now = trusted_time(await call.registry.time_floor()).now
    return Verification(
        signers=release.signers,
        threshold=root.threshold,
        keys=len(root.keys),
        root_version=root.version,
        new_roots=len(verdict.new_roots),
        issued=release.issued,
        age=max(0.0, now - release.issued),
        valid_until=release.valid_until,
        epoch=release.epoch,
        sequence=release.sequence,
        min_sequence=release.min_sequence,
        warnings=verdict.warnings,
    )


async def _compared(call: Call, serving: Release, hold: Hold) -> Comparison:
    # As it was accepted: how it is run here is not part of it.
    base = await call.registry.release(serving.digest)

    def work() -> Comparison:
        return compare(read_contents(base, call.control.blobs.open), call.control.held.contents(hold))

    async with call.control.comparisons.turn:
        return await asyncio.to_thread(work)
