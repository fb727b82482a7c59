"""What crosses the wire before something is done: requests for it, and what will happen if it is.

The rules of `wire` hold here too.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from minipaas.model.change import ChangeKind
from minipaas.model.outlook import Fate
from minipaas.surface.wire import ReleaseView
from minipaas.surface.wire_history import ReleaseDiff

ServiceName = Annotated[str, Meta(pattern="^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]


class RestartRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to restart."""

    service: ServiceName | None = None
    """One service; all of the app when left out."""


class ScaleRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many instances of a service shall run."""

    service: ServiceName
    replicas: Annotated[int, Meta(ge=0, le=10_000)] | None
    """null: as many as the release says."""


class PlannedStep(Struct, frozen=True, kw_only=True):
    """One step as it would be in the journal."""

    kind: str
    title: str
    after: bool
    """Once the change has ended: what was replaced is drained, stopped and removed."""


class ServiceForecast(Struct, frozen=True, kw_only=True):
    """What will become of one service."""

    name: str
    fate: Fate
    before: int
    """How many instances run now."""
    after: int
    """How many will."""
    pauses: bool
    """It does not answer for a while: it has to be stopped before its successor starts."""
    why: str
    """Why it pauses, for people."""
    hold: float = 0.0
    """Seconds that requests to its routes wait meanwhile before they are answered with 503; 0: they do not."""
    at_most: float | None
    """Seconds after which it answers again, or what served before does."""


class PlanPreview(Struct, frozen=True, kw_only=True):
    """What will happen if all goes well: the planner's own steps, from what is there now."""

    app: str
    kind: ChangeKind
    version: str | None
    """Of the release that is to serve; None for a removal."""
    serving: str | None
    """Version of the release that serves now."""
    steps: tuple[PlannedStep, ...]
    services: tuple[ServiceForecast, ...]
    volumes_kept: tuple[str, ...]
    """Podman's names of them."""
    volumes_deleted: tuple[str, ...]
    at_most: float
    """Seconds that the change may take before it is given up and taken back."""


class Verification(Struct, frozen=True, kw_only=True):
    """Why this box believes a bundle."""

    signers: tuple[str, ...]
    """Key ids whose signatures counted."""
    threshold: int
    """How many were needed."""
    keys: int
    """How many there are in the trust root."""
    root_version: int
    """Of the root that they were checked against."""
    new_roots: int
    """How many newer versions of the trust root the bundle brings; the present root has signed them."""
    issued: int
    age: float
    """Seconds since it was issued, by this box's clock."""
    valid_until: int | None
    epoch: int
    sequence: int
    min_sequence: int
    warnings: tuple[str, ...]


class Held(Struct, frozen=True, kw_only=True):
    """A bundle that was verified and waits, not accepted yet. It is dropped when it expires or the box restarts."""

    id: str
    app: str
    version: str
    release: ReleaseView
    replaces: ReleaseView | None
    """The release that serves now."""
    actor: str
    held: float
    expires: float
    size: int
    """Bytes of all that the release needs, uncompressed."""
    new: int
    """Bytes of it that this box did not have."""
    verification: Verification
    preview: PlanPreview | None
    refused: str
    """Why it would be refused just now; empty, and then there is a preview: it would not."""
    diff: ReleaseDiff | None
    """What changes against the serving release; None when none serves."""


class HeldBundles(Struct, frozen=True, kw_only=True):
    """All that wait, the oldest first."""

    held: tuple[Held, ...]
