"""What the box tells of the destinations of its logs."""

from __future__ import annotations

from msgspec import Struct

from minipaas.model.shipping import ShipState


class Shipping(Struct, frozen=True, kw_only=True):
    """All destinations, in the order of config.toml."""

    destinations: tuple[ShipState, ...]
