"""Tokens and links that let somebody in, as they cross the wire. A secret is told once, to who has made it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from minipaas.surface.wire import Role

TokenName = Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class TokenView(Struct, frozen=True, kw_only=True):
    """A token, without its secret."""

    name: str
    role: Role
    created: float


class Tokens(Struct, frozen=True, kw_only=True):
    """All tokens."""

    tokens: tuple[TokenView, ...]


class TokenRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to be."""

    name: TokenName
    role: Role


class NewToken(Struct, frozen=True, kw_only=True):
    """A new token; its secret is shown this once."""

    name: str
    role: Role
    secret: str


class PageLink(Struct, frozen=True, kw_only=True):
    """A link that signs one browser in."""

    path: str
    """To be opened on an address of the page; it holds a secret."""
    pages: tuple[str, ...]
    """Addresses of the page, `http://127.0.0.1:7070`."""
    seconds: int
    """How long it is good for."""
