"""Signed-in browsers: sessions, and links that sign in once.

What always holds: a session's id is 256 random bits that only its browser knows (kept here as SHA-256), it counts from
the address it was opened at and from no other, ends after `limits.session_idle` seconds without a click and after
`limits.session_life` in any case, and at once when its token is revoked; links are not kept over a restart, sessions
over a clean one (`kept_sessions`); nothing here can grow without bound (OWASP ASVS 5.0, V7).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable

from msgspec import Struct
from msgspec.structs import replace

from minipaas.model.errors import Forbidden
from minipaas.registry.registry import Registry
from minipaas.registry.tokens import Token
from minipaas.surface.limits import Limits
from minipaas.surface.wire import Role


class Offer(Struct, frozen=True, kw_only=True):
    """Who a browser is signed in as. `token`: whose authority it is; None: of a user on the box's socket."""

    actor: str
    role: Role
    token: Token | None = None


class Session(Struct, frozen=True, kw_only=True):
    """One signed-in browser. Times are seconds of the monotonic clock."""

    offer: Offer
    peer: str
    csrf: str
    """Goes with every request that changes something; other sites' pages cannot know it. Made from the id, so that it
    need not be written down; empty until a browser has come back with its id after a restart."""
    opened: float
    key: bytes


class Sessions:
    """All of them, in memory."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}
        """In the order of their last click."""
        self._used: dict[bytes, float] = {}
        self._links: dict[bytes, tuple[float, Offer]] = {}
        self._tokens: tuple[int, frozenset[Token]] = (-1, frozenset())
        self.open_csrf = secrets.token_urlsafe(24)
        """For forms of who is not signed in."""

    # -- sessions ----------------------------------------------------------------------------------------------------

    def open(self, offer: Offer, peer: str) -> tuple[str, Session]:
        """Sign a browser in. Returns the id for its cookie. Of too many, the one used longest ago ends."""
        self._sweep()
        while len(self._sessions) >= self._limits.sessions:
            self.end(next(iter(self._sessions.values())))
        identity = secrets.token_urlsafe(32)
        now = self._clock()
        session = Session(offer=offer, peer=peer, csrf=_csrf(identity), opened=now, key=_hash(identity))
        self._sessions[session.key] = session
        self._used[session.key] = now
        return identity, session

    async def find(self, identity: str, peer: str, registry: Registry, *, click: bool) -> Session | None:
        """The session of a cookie, if it still counts. `click`: somebody is there, not only their open page."""
        self._sweep()
        session = self._sessions.get(_hash(identity))
        if session is None or session.peer != peer:
            return None
        if session.offer.token is not None and session.offer.token not in await self._living_tokens(registry):
            self.end(session)
            return None
        if click and session.key in self._sessions:
            self._used[session.key] = self._clock()
            self._sessions[session.key] = self._sessions.pop(session.key)
        return session if session.csrf else replace(session, csrf=_csrf(identity))

    def all(self) -> tuple[tuple[Session, float], ...]:
        """Every session, without what its browser has to bring, and when it was used last; the longest ago first."""
        self._sweep()
        return tuple((replace(one, csrf=""), self._used[key]) for key, one in self._sessions.items())

    def restore(self, sessions: Iterable[tuple[Session, float]]) -> None:
        """Those of the process before."""
        for session, used in list(sessions)[-self._limits.sessions :]:
            self._sessions[session.key] = session
            self._used[session.key] = used

    def end(self, session: Session) -> None:
        """Sign a browser out."""
        self._sessions.pop(session.key, None)
        self._used.pop(session.key, None)

    def _sweep(self) -> None:
        now, limits = self._clock(), self._limits
        for key, session in list(self._sessions.items()):
            if now - session.opened > limits.session_life or now - self._used[key] > limits.session_idle:
                self.end(session)
        self._links = {key: link for key, link in self._links.items() if link[0] > now}

    async def _living_tokens(self, registry: Registry) -> frozenset[Token]:
        """Read again only when the registry has changed."""
        version = registry.version
        if self._tokens[0] != version:
            self._tokens = (version, frozenset(await registry.tokens()))
        return self._tokens[1]

    # -- links that sign in ------------------------------------------------------------------------------------------

    def link(self, offer: Offer) -> str:
        """A code that signs one browser in, once, within `limits.link_life` seconds."""
        self._sweep()
        while len(self._links) >= self._limits.links:
            del self._links[next(iter(self._links))]
        code = secrets.token_urlsafe(24)
        self._links[_hash(code)] = (self._clock() + self._limits.link_life, offer)
        return code

    def redeem(self, code: str) -> Offer:
        """What a code is good for; it is used up. Raises Forbidden."""
        self._sweep()
        found = self._links.pop(_hash(code), None)
        if found is None:
            raise Forbidden(
                "cannot sign in: the link was used already, or is too old",
                hint="make a new one on the box: minipaas page",
                code="page.link",
            )
        return found[1]


def _csrf(identity: str) -> str:
    """Whoever sees it cannot tell the id from it."""
    return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=24, person=b"csrf").hexdigest()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
