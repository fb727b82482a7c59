"""What the tests of this room need: an instance, a registry, leases."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from minipaas.forensics.kept import Kept
from minipaas.forensics.leases import Leases
from minipaas.model.config import AccessConfig
from minipaas.model.lease import Lease
from minipaas.model.observed import Instance
from minipaas.model.units import Duration
from minipaas.registry.registry import Registry
from tests.surface.small import instance

DAY = 86400.0
LEASE = Lease(
    id="000000100001",
    kind="shell",  # type: ignore[arg-type]
    app="shop",
    service="web",
    instance="minipaas-shop-web-1-1",
    container="c" * 64,
    actor="root via socket",
    origin="socket",
    reason="a look",
    what="",
    started=16.0,
    until=100.0,
    ended=20.0,
)


def lease(number: int, **changes: object) -> Lease:
    """The lease that began `number` seconds after 1970."""
    return structs.replace(LEASE, id=f"{number:08x}0001", started=float(number), **changes)


def config(**changes: object) -> AccessConfig:
    return AccessConfig(
        **{key: Duration(value) if isinstance(value, float) else value for key, value in changes.items()}
    )  # type: ignore[arg-type]


class Book:
    """Leases and where they are written down."""

    def __init__(self, registry: Registry, directory: Path, settings: AccessConfig) -> None:
        self.registry = registry
        self.kept = Kept(directory, settings.recordings, settings.keep)
        self.leases = Leases(registry, self.kept, settings)
        self.instance: Instance = instance()

    async def audited(self) -> list[tuple[str, str, str]]:
        """(action, subject, result), the oldest first."""
        rows = await self.registry.audit_log(50)
        return [(row.action, row.subject, row.result) for row in reversed(rows)]
