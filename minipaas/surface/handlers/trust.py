"""Trust: whom this box believes."""

from __future__ import annotations

from minipaas.surface import views
from minipaas.surface.call import Call
from minipaas.surface.wire_trust import TrustView


async def listing(call: Call) -> TrustView:
    """Every version of the root; the last is in force."""
    return TrustView(roots=tuple(views.root_view(root) for root in await call.registry.roots()))


async def add(call: Call) -> TrustView:
    """Trust one more."""
    await call.control.add_root(call.body, actor=call.caller.actor, origin=call.caller.origin)
    return await listing(call)
