"""Tokens: who may act over TCP, and as what. The secret is shown once; the registry keeps only its SHA-256.

A plain hash is enough, and no salt is needed: the secret is 256 random bits, so there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
from sqlite3 import Connection

from msgspec import Struct

from minipaas.model.errors import Conflict, Invalid, Missing
from minipaas.registry.limits import NAME_KEPT

PREFIX = "mpt_"
"""Lets a leaked secret be recognised by scanners, and by people."""


class Token(Struct, frozen=True, kw_only=True):
    """One token, without its secret. `created` is Unix seconds."""

    name: str
    role: str
    created: float


def add(db: Connection, name: str, role: str, now: float) -> str:
    """Make a token; returns the secret. Raises Invalid, Conflict(token.exists)."""
    if not name or len(name) > NAME_KEPT or not name.isprintable():
        raise Invalid("cannot add the token: its name must be printable and not empty", code="token.name")
    if db.execute("SELECT 1 FROM token WHERE name = ?", (name,)).fetchone():
        raise Conflict(
            f"cannot add token {name}: there is one of this name", hint="revoke it first", code="token.exists"
        )
    secret = PREFIX + secrets.token_urlsafe(32)
    db.execute("INSERT INTO token (name, role, hash, created) VALUES (?, ?, ?, ?)", (name, role, _hash(secret), now))
    return secret


def revoke(db: Connection, name: str) -> None:
    """Forget a token. Raises Missing."""
    if not db.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount:
        raise Missing(f"cannot revoke token {name}: there is none of this name", code="token.missing")


def every(db: Connection) -> list[Token]:
    """All tokens, by name."""
    return [Token(**dict(row)) for row in db.execute("SELECT name, role, created FROM token ORDER BY name")]


def find(db: Connection, secret: str) -> Token | None:
    """The token of a secret. The look-up is by hash, so its timing tells nothing about the secret."""
    row = db.execute("SELECT name, role, created FROM token WHERE hash = ?", (_hash(secret),)).fetchone()
    return Token(**dict(row)) if row else None


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
