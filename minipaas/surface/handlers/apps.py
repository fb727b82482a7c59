"""Apps: how they are, their releases; going back, and removing."""

from __future__ import annotations

from minipaas.model.change import AppDesired, Change
from minipaas.surface import survey, views
from minipaas.surface.call import Call
from minipaas.surface.wire import Accepted, Apps, AppView, Releases, RollbackRequest
from minipaas.surface.wire_plan import RestartRequest, ScaleRequest


async def listing(call: Call) -> Apps:
    """All apps."""
    return await survey.apps_view(call)


async def one(call: Call) -> AppView:
    """One app."""
    return await survey.app_view(call, call.app)


async def releases(call: Call) -> Releases:
    """Its releases; also of an app that was removed, as long as they are remembered."""
    return await releases_of(call, call.app)


async def releases_of(call: Call, app: str) -> Releases:
    """Raises Missing when nothing is known of such an app."""
    rows = await call.registry.releases(app)
    if not rows and await _desired(call, app) is None:
        raise survey.missing_app(app)
    return Releases(releases=tuple(views.release_row_view(row) for row in rows))


async def rollback(call: Call) -> Accepted:
    """Begin to go back."""
    wanted: RollbackRequest = call.body
    change = await call.control.rollback(call.app, wanted.to, actor=call.caller.actor, origin=call.caller.origin)
    return await accepted(call, change)


async def remove(call: Call) -> Accepted:
    """Begin to remove."""
    purge: bool = call.query["volumes"]
    change = await call.control.remove(call.app, purge=purge, actor=call.caller.actor, origin=call.caller.origin)
    return await accepted(call, change)


async def restart(call: Call) -> Accepted:
    """Begin to restart."""
    wanted: RestartRequest = call.body
    caller = call.caller
    change = await call.control.restart(call.app, wanted.service, actor=caller.actor, origin=caller.origin)
    return await accepted(call, change)


async def scale(call: Call) -> Accepted:
    """Begin to scale."""
    wanted: ScaleRequest = call.body
    caller = call.caller
    change = await call.control.scale(
        call.app, wanted.service, wanted.replicas, actor=caller.actor, origin=caller.origin
    )
    return await accepted(call, change)


async def accepted(call: Call, change: Change) -> Accepted:
    """The answer that says where to follow a change."""
    return Accepted(
        change=change.id,
        app=change.app,
        version=await call.context.version(change.target),
        events=f"/api/v1/changes/{change.id}/events",
        page=f"/apps/{change.app}#change-{change.id}",
        warnings=call.control.warnings(change.id),
    )


async def _desired(call: Call, app: str) -> AppDesired | None:
    return next((desired for desired in (await call.registry.desired()).apps if desired.app == app), None)
