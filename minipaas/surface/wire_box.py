"""Facts of this box, and who did what on it, as they cross the wire."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class PodmanView(Struct, frozen=True, kw_only=True):
    """The engine."""

    version: str
    rootless: bool
    runtime: str


class DiskView(Struct, frozen=True, kw_only=True):
    """The file system of the data directory, in bytes."""

    free: int
    reserve: int
    """What must stay free after an upload."""
    tight: bool


class ClockView(Struct, frozen=True, kw_only=True):
    """What this box knows of the time."""

    now: float
    synced: bool
    floor: int
    """It cannot be earlier than this."""


class CountsView(Struct, frozen=True, kw_only=True):
    """How much there is."""

    apps: int
    services: int
    instances: int
    running: int
    healthy: int


class BoxView(Struct, frozen=True, kw_only=True):
    """Facts of this box."""

    version: str
    id: str
    podman: PodmanView
    trouble: str
    """Why the box cannot look after its apps just now; empty: it can."""
    disk: DiskView
    clock: ClockView
    ingress: tuple[str, ...]
    api: tuple[str, ...]
    counts: CountsView
    root_version: int | None


class Healthz(Struct, frozen=True, kw_only=True):
    """The process answers, and its registry can be read."""

    status: Literal["ok"] = "ok"


class AuditView(Struct, frozen=True, kw_only=True):
    """Who did what, when, from where, and what came of it."""

    id: int
    at: float
    actor: str
    action: str
    subject: str
    origin: str
    result: str
    app: str | None = None
    """Which it was about, where that is known."""


class Audit(Struct, frozen=True, kw_only=True):
    """The newest first. Older ones: `before` the last id."""

    rows: tuple[AuditView, ...]
