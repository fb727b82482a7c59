"""Whom this box believes, as it crosses the wire."""

from __future__ import annotations

from msgspec import Struct


class RootView(Struct, frozen=True, kw_only=True):
    """One version of the trust root."""

    version: int
    epoch: int
    expires: str
    """RFC 3339."""
    expires_at: float
    expired: bool
    keys: tuple[str, ...]
    """Key ids whose signatures on releases count."""
    threshold: int
    """How many of them a release needs."""
    root_keys: tuple[str, ...]
    root_threshold: int


class TrustView(Struct, frozen=True, kw_only=True):
    """Whom this box believes; the last root is the one in force."""

    roots: tuple[RootView, ...]
