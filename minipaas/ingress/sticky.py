"""The cookie that brings a client back to the instance that answered it before.

Its value is a digest of the container's id: the same after a restart of minipaas, without anything to remember, and it
tells nothing of the box (an id has 256 random bits, so no digest can be tried). One that fits no instance of now is no
error: whoever answers then takes its place. It goes on to the app like any other cookie.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minipaas.ingress.pool import Pool
    from minipaas.model.route import Route

NAME = "minipaas_sticky"
_VALUE = re.compile(rb"[\n;: ]%b=([A-Za-z0-9_-]{22})(?=[;\r ])" % NAME.encode())


def mark(instance: str) -> bytes:
    """The value for an instance: 22 characters."""
    digest = hashlib.sha256(b"minipaas sticky cookie\0" + instance.encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=")


def chosen(fields: bytes, pools: Sequence[Pool]) -> Pool | None:
    """The instance that a request's fields ask for. There may be several such cookies, of routes inside each other."""
    if NAME.encode() not in fields:
        return None
    values = _VALUE.findall(fields)
    return next((pool for pool in pools if pool.mark in values), None)


def line(fields: bytes, pool: Pool, route: Route, secure: bool) -> bytes:
    """The field that sets the cookie for an answer of this instance; empty when the client has it already."""
    if pool.mark in _VALUE.findall(fields):
        return b""
    return b"Set-Cookie: %b=%b; Path=%b; HttpOnly; SameSite=Lax%b\r\n" % (
        NAME.encode(),
        pool.mark,
        route.prefix.encode(),
        b"; Secure" if secure else b"",
    )
