"""Who asks, and what they may do.

    Unix socket, peer is root or the user of this process   admin
    Unix socket, anybody else                               nothing without a token
    TCP on loopback, no token                               OPEN: reads; never secrets, environment values or logs;
                                                            with `[api] local = "deploy"` or `"admin"` that role
    TCP elsewhere, no token                                 nothing but to sign in
    a token                                                 its role: read < deploy < admin
    a browser that has signed in (`sessions`)               the role of its token, or of the socket's user

A token comes as `Authorization: Bearer SECRET` (RFC 6750), as the password of Basic authentication (RFC 7617), which
only reads, or was given on the sign-in page, which leaves a session cookie (RFC 6265bis: HttpOnly, SameSite=Strict, and
Secure over TLS). A token that is not known is refused even where none is needed.

What a browser sends by itself proves nothing: what comes with a session, and every form, also needs the session's own
secret (`check_csrf`).

TCP requests also need a `Host` that names this box, because a page of a stranger may point its own name at 127.0.0.1
(DNS rebinding), and may only change things when no other site's page sent them (`Sec-Fetch-Site`, `Origin`).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import pwd
import secrets
import socket
import struct
from collections.abc import Collection, Mapping
from enum import Enum
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Struct

from minipaas.model.config import Config
from minipaas.model.cookies import SECURE_SESSION_COOKIE, SESSION_COOKIE
from minipaas.model.errors import Forbidden
from minipaas.registry.registry import Registry
from minipaas.surface.sessions import Session, Sessions
from minipaas.surface.wire import Role

_RANK = {None: 0, Role.READ: 1, Role.DEPLOY: 2, Role.ADMIN: 3}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104


class Access(Enum):
    """What a row of the table asks of the caller."""

    DOOR = "door"
    """Anyone who reaches the port: to sign in."""
    OPEN = "open"
    """Anyone on this machine."""
    READ = "read"
    DEPLOY = "deploy"
    ADMIN = "admin"
    UPLOAD = "upload"
    """Deploy; or anyone when a bundle's signature alone is the authority."""
    ENTER = "enter"
    """Admin; or what the box's owner lets into instances."""

    @property
    def explained(self) -> str:
        """In a sentence, for the documentation."""
        return {
            Access.DOOR: "Anyone who reaches the port: to sign in.",
            Access.OPEN: "Anyone on this machine; from elsewhere any token.",
            Access.READ: "The socket, or a token for read, deploy or admin.",
            Access.DEPLOY: "The socket, or a token for deploy or admin.",
            Access.ADMIN: "The socket, or a token for admin.",
            Access.UPLOAD: "As deploy; with `[api] accept_signed_uploads = true` anyone: the signature decides.",
            Access.ENTER: 'As admin; with `[access] role = "deploy"` as deploy.',
        }[self]


_NEEDED = {
    Access.READ: Role.READ,
    Access.DEPLOY: Role.DEPLOY,
    Access.UPLOAD: Role.DEPLOY,
    Access.ADMIN: Role.ADMIN,
    Access.ENTER: Role.ADMIN,
}


class Policy(Struct, frozen=True, kw_only=True):
    """What the owner of the box allows, as far as access depends on it."""

    signed_uploads: bool = False
    enters: Role = Role.ADMIN
    """The least role that may go into instances."""

    @classmethod
    def of(cls, config: Config) -> Policy:
        return cls(signed_uploads=config.api.accept_signed_uploads, enters=Role(config.access.role))

    def needed(self, access: Access) -> Role:
        """The least role for an access that needs one."""
        return self.enters if access is Access.ENTER else _NEEDED.get(access, Role.READ)


CAREFUL = Policy()


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks. `actor` and `origin` go into the audit."""

    actor: str
    origin: str
    role: Role | None
    near: bool
    """On this machine, as far as the connection tells: OPEN needs no token."""
    reads_only: bool = False
    """Came with a password that a browser sends by itself."""
    session: Session | None = None
    """The signed-in browser that it is."""
    local: bool = False
    """The role is what `[api] local` gives to anyone on this machine."""

    def may(self, access: Access, policy: Policy = CAREFUL) -> bool:
        """Whether this caller has that access."""
        if access is Access.DOOR:
            return True
        if access is Access.OPEN:
            return self.near or self.role is not None
        if access is Access.UPLOAD and policy.signed_uploads:
            return True
        return _RANK[self.role] >= _RANK[policy.needed(access)]

    @property
    def sees_logs(self) -> bool:
        """Whether what instances wrote may be shown to them."""
        return self.may(Access.READ)


async def identify(request: web.Request, registry: Registry, sessions: Sessions, local: str) -> Caller:
    """Who sends this request. `local`: `[api] local`. Raises Forbidden for a token that is not known, ConnectionError
    when nobody is there any more."""
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    if sock is None:
        raise Forbidden("cannot answer: the connection is gone")
    if sock.family == socket.AF_UNIX:
        caller = _peer(sock)
        if caller.role is not None:
            return caller
    else:
        try:
            peer, here = sock.getpeername()[0], sock.getsockname()[0]
        except OSError as gone:  # ENOTCONN
            raise ConnectionResetError("the caller is gone") from gone
        near = _is_loopback(here) and _is_loopback(peer)
        caller = Caller(actor="anonymous", origin=f"tcp {peer}", role=None, near=near)
    secret, basic = _secret(request.headers)
    if secret is None:
        return await _without_token(request, caller, registry, sessions, local)
    token = await registry.token(secret)
    if token is None:
        raise unknown_token("accept the token")
    return Caller(
        actor=f"token {token.name}", origin=caller.origin, role=Role(token.role), near=caller.near, reads_only=basic
    )


async def _without_token(
    request: web.Request, caller: Caller, registry: Registry, sessions: Sessions, local: str
) -> Caller:
    """By the session, else by what `local` allows to anyone near."""
    if caller.origin == "socket":
        return caller
    given = request.cookies.get(cookie_name(request.secure))
    if given:
        session = await sessions.find(given, caller.origin, registry, click=not _refresh(request))
        if session is not None:
            offer = session.offer
            return Caller(actor=offer.actor, origin=caller.origin, role=offer.role, near=caller.near, session=session)
    if caller.near and local != Role.READ:
        return Caller(actor="anonymous", origin=caller.origin, role=Role(local), near=True, local=True)
    return caller


def _refresh(request: web.Request) -> bool:
    """Whether an open page asks by itself, because there is news."""
    headers = request.headers
    return headers.get("HX-Target") == "main" or headers.get("Accept") == "text/event-stream"


def unknown_token(what: str) -> Forbidden:
    """The refusal of a token that is not of this box."""
    return Forbidden(
        f"cannot {what}: it is not one of this box, or was revoked",
        hint="make a new one on the box: minipaas token new NAME --role deploy",
        code="api.credentials",
    )


def cookie_name(secure: bool) -> str:
    """Of the session, over TLS or not."""
    return SECURE_SESSION_COOKIE if secure else SESSION_COOKIE


def check_csrf(caller: Caller, method: str, given: str, sessions: Sessions, *, form: bool) -> None:
    """Refuse a change by a session, or by any form of a browser, that does not bring the secret of its page."""
    if method in _SAFE or caller.origin == "socket":
        return
    if caller.session is not None:
        wanted = caller.session.csrf
    elif form and (caller.role is None or caller.local):
        wanted = sessions.open_csrf
    else:
        return
    if not secrets.compare_digest(wanted.encode(), given.encode("utf-8", "replace")):
        raise Forbidden(
            "cannot do that: the page is older than your sign-in, or the request is not from it",
            hint="load the page again, then try once more",
            code="page.csrf",
        )


def require(caller: Caller, access: Access, method: str, policy: Policy = CAREFUL) -> None:
    """Let the caller through, or raise Forbidden that says what is missing and how to get it."""
    if caller.reads_only and method not in _SAFE:
        raise Forbidden(
            "cannot change anything with a password: send the token as Authorization: Bearer", code="api.basic"
        )
    if caller.may(access, policy):
        return
    role = policy.needed(access)
    hint = f"make a token on the box: minipaas token new NAME --role {role}; then set MINIPAAS_TOKEN"
    if caller.role is None:
        raise Forbidden(f"cannot do that without a token for {role}", hint=hint, code="api.credentials")
    raise Forbidden(
        f"cannot do that: {caller.actor} may only {caller.role}, this needs {role}", hint=hint, code="api.role"
    )


def check_host(headers: Mapping[str, str], listen: Collection[str]) -> None:
    """Refuse a TCP request whose Host is not this machine's loopback or an address that was configured."""
    given = headers.get("Host", "")
    host = _hostname(given)
    names = {name.lower() for name in listen}
    if host == "localhost" or (host and (_is_loopback(host) or host in names)):
        return
    if names & _ANY and _is_address(host):
        return  # a name can be pointed anywhere, a bare address cannot
    raise Forbidden(
        f"cannot answer for host {given[:100]!r}: it is not an address of this box",
        hint="use the address that [api] listen names, or http://127.0.0.1:PORT",
        code="api.host",
    )


def check_site(method: str, headers: Mapping[str, str]) -> None:
    """Refuse a change that a page of another site sent (also of another port: apps run on this host)."""
    if method in _SAFE:
        return
    site = headers.get("Sec-Fetch-Site", "none")
    origin = headers.get("Origin")
    if site in ("none", "same-origin") and (origin is None or _same(origin, headers.get("Host", ""))):
        return
    raise Forbidden("cannot do that: the request comes from a page of another site", code="api.cross_site")


def check_origin(headers: Mapping[str, str], *, browser: bool) -> None:
    """Refuse a WebSocket that a page of another site opens (RFC 6455, 10.2). `browser`: it came with a session, and
    browsers always say where their pages are from; a program says nothing."""
    origin = headers.get("Origin")
    if (origin is None and not browser) or (origin is not None and _same(origin, headers.get("Host", ""))):
        return
    raise Forbidden("cannot do that: the request comes from a page of another site", code="api.cross_site")


def _same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:
        return False


def _peer(sock: socket.socket) -> Caller:
    """The process at the other end of a Unix socket (unix(7), SO_PEERCRED)."""
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    trusted = uid in (0, os.geteuid())
    return Caller(actor=f"{name} via socket", origin="socket", role=Role.ADMIN if trusted else None, near=trusted)


def _secret(headers: Mapping[str, str]) -> tuple[str | None, bool]:
    """The token in `Authorization`, and whether it came as a Basic password."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value, False
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2], True
        except (binascii.Error, UnicodeDecodeError):
            return "", True
    return ("", False) if scheme else (None, False)


def _hostname(host: str) -> str:
    """The host of a `Host` header, lower case, without port and brackets; empty when malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "") if "@" not in host and "/" not in host else ""
    except ValueError:
        return ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
