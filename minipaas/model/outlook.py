"""Outlooks: what will happen if something is done, as far as can be told before."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from minipaas.model.change import ChangeKind
from minipaas.model.steps import Step


class Fate(StrEnum):
    """What becomes of a service."""

    NEW = "new"
    KEPT = "kept"
    """Its instances stay as they are."""
    SCALED = "scaled"
    """More or fewer of the same."""
    REPLACED = "replaced"
    GONE = "gone"


class Foreseen(Struct, frozen=True):
    """One step that will be done; `after`: once the change has ended."""

    step: Step
    after: bool


class ServiceOutlook(Struct, frozen=True, kw_only=True):
    """What becomes of one service."""

    name: str
    fate: Fate
    before: int
    """How many instances run now."""
    after: int
    """How many will."""
    pauses: bool
    """For a while none of its instances answers."""
    why: str
    """Why it pauses, for people."""
    hold: float = 0.0
    """Seconds that requests to its routes wait meanwhile before they are answered with 503; 0: they do not."""


class Outlook(Struct, frozen=True, kw_only=True):
    """What a change will do if all goes well."""

    app: str
    kind: ChangeKind
    version: str | None
    """Of the release that is to serve; None for a removal."""
    serving: str | None
    """Version of the release that serves now."""
    steps: tuple[Foreseen, ...]
    services: tuple[ServiceOutlook, ...]
    volumes_kept: tuple[str, ...]
    """Podman's names of them."""
    volumes_deleted: tuple[str, ...]
    at_most: float
    """Seconds that the change may take before it is given up."""
    back_within: float
    """Seconds after which a service that pauses answers again, or what served before does, whatever happens."""
