"""Where logs are sent, and how far each destination has come."""

from __future__ import annotations

from minipaas.surface.call import Call
from minipaas.surface.wire_shipping import Shipping


async def listing(call: Call) -> Shipping:
    """All destinations."""
    shipping = call.control.shipping
    return Shipping(destinations=await shipping.states() if shipping is not None else ())
