"""The keeper of all certificates: which one speaks for a name now, kept fresh while the box runs.

For a name: the operator's certificate with that very name, else the operator's wildcard, else one that an ACME server
has signed and that is still good, else one of this box's own CA, made when it is first asked for. A client that names
nobody (RFC 6066) gets the one for the address it came to.

What always holds: whatever is wrong with a file, the disk or the clock, something serves, and `troubles` says what is
wrong. Times are trusted times (never below the floor that this box knows), so a clock that jumps back does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import Path

from minipaas.certs.acme import Acme
from minipaas.certs.allowance import Allowance
from minipaas.certs.authority import Authority
from minipaas.certs.contexts import server_context
from minipaas.certs.issued import Issued, Names
from minipaas.certs.limits import DAY, LIMITS, Limits
from minipaas.certs.listener import Listener
from minipaas.certs.own import Files, OwnFiles
from minipaas.certs.pair import Pair
from minipaas.model.certificate import Certificate, Source, normal_name, wildcard_of
from minipaas.model.release import TrustedTime

log = logging.getLogger("minipaas.certs")

_REMEMBERED = 512
"""Names whose context is remembered; more are looked up again."""


class Keeper:
    """Made by `open`. `run` keeps it fresh; without it, it serves what it has."""

    def __init__(
        self,
        authority: Authority,
        issued: Issued,
        own: OwnFiles,
        clock: Callable[[], Awaitable[TrustedTime]],
        began: TrustedTime,
        limits: Limits,
    ) -> None:
        self.authority = authority
        self.routed: Callable[[], Collection[str]] = tuple
        """The hosts that routes name now."""
        self.names: tuple[str, ...] = ()
        """Names that have a certificate whether or not a route has them."""
        self.acme: Acme | None = None
        """Set where an ACME server may be asked; who sets it runs it too."""
        self._fetched: tuple[Pair, ...] = ()
        """What it gave, and speaks since the last look."""
        self._issued = issued
        self._own = own
        self._clock = clock
        self._time = began
        self._limits = limits
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._by_pair: dict[str, ssl.SSLContext] = {}
        self._doors: dict[str, ssl.SSLContext] = {}
        self._addresses: set[str] = set()
        """Addresses of this box that clients have come to."""
        self._strangers = Allowance(limits.strangers, limits.stranger_every)
        self._listeners: list[Listener] = []
        self._looking = asyncio.Lock()
        self._woken = asyncio.Event()
        self._force = False
        self._doors_made = time.monotonic()

    @classmethod
    async def open(
        cls,
        directory: Path,
        box: str,
        own: Sequence[Files],
        clock: Callable[[], Awaitable[TrustedTime]],
        limits: Limits = LIMITS,
    ) -> Keeper:
        """The certificates in `directory`, its CA made when there is none yet, and the operator's `own`."""
        now = await clock()

        def load() -> tuple[Authority, Issued, OwnFiles]:
            authority = Authority.open(directory, box, limits)
            issued = Issued(directory / "issued", authority, limits)
            issued.load()
            files = OwnFiles(own, limits)
            files.look()
            return authority, issued, files

        keeper = cls(*await asyncio.to_thread(load), clock, now, limits)
        keeper._issued.renew(keeper.now)
        return keeper

    # -- who speaks for whom

    def pair(self, name: str) -> Pair:
        """What speaks for a host name, a wildcard or an address now."""
        return self._brought(name) or self._make((self._leaf(name),))

    def context(self, address: str) -> ssl.SSLContext:
        """What a handshake begins with that comes in at this address of the box; the name that the client then gives
        chooses the certificate."""
        door = self._doors.get(address)
        if door is None:
            name = normal_name(address) or "localhost"
            self._addresses.add(name)
            door = self._doors[address] = server_context(self.pair(name))
            door.sni_callback = self.choose
        return door

    def listener(self, names: Callable[[], Iterable[str]], own: Files | None = None) -> ssl.SSLContext:
        """A context for a server that keeps one for all its life. It speaks for `names`, or with the operator's `own`
        files; both are kept fresh."""
        made = Listener(names, own, self._make, self.choose, self._limits)
        self._listeners.append(made)
        return made.context

    def choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        """Called by OpenSSL in the middle of a handshake."""
        if name is not None and (found := self._by_name.get(name) or self._remember(name)) is not None:
            connection.context = found

    def _remember(self, name: str) -> ssl.SSLContext | None:
        normal = normal_name(name)
        if normal is None or normal.startswith("*.") or not (self._known(normal) or self._strangers.take()):
            return None
        if len(self._by_name) >= _REMEMBERED:
            self._by_name.clear()
            self._by_pair.clear()
        pair = self.pair(normal)
        context = self._by_pair.get(pair.facts.fingerprint)
        if context is None:
            context = self._by_pair[pair.facts.fingerprint] = server_context(pair)
        self._by_name[name] = context
        return context

    def _known(self, name: str) -> bool:
        """Whether there is a certificate for this name anyhow. For others one is made too, though not for a flood."""
        return self._brought(name) is not None or (self._leaf(name),) in self._wanted()

    def _brought(self, name: str) -> Pair | None:
        """What others have signed for this name."""
        return self._own.find(name, self.now) or (self.acme.find(name, self.now) if self.acme is not None else None)

    def _make(self, names: Names) -> Pair:
        wanted = self._wanted()
        pair = self._issued.get(names, self.now, wanted)
        if names in wanted and self._issued.unsaved(names):
            self._woken.set()
        return pair

    def _leaf(self, name: str) -> str:
        """The name in the certificate that the CA makes for `name`."""
        routed = self.routed()
        wildcard = wildcard_of(name)
        return wildcard if name not in routed and wildcard is not None and wildcard in routed else name

    def _wanted(self) -> set[Names]:
        """The certificates to keep, by their names."""
        named = {name for name in (*self.routed(), *self.names) if name != "*"}
        return {(name,) for name in named | self._addresses} | {one.names for one in self._listeners}

    # -- kept fresh

    def wake(self) -> None:
        """Load everything again, now."""
        self._force = True
        self._woken.set()

    def fetched(self) -> None:
        """There is something new from the ACME server."""
        self._woken.set()

    async def run(self) -> None:
        """Look at files and time again and again, until cancelled; soon when there is a new certificate to write."""
        while True:
            force, self._force = self._force, False
            self._woken.clear()
            try:
                await self.look(force)
            except Exception:
                # What serves goes on serving; whatever it was may be over at the next look.
                log.exception("cannot look after the certificates")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.look):
                    await self._woken.wait()
                    if not self._force:
                        await asyncio.sleep(self._limits.soon)

    async def look(self, force: bool = False) -> None:
        """Load files that have changed, or with `force` all of them; make anew what is due; write what is new."""
        async with self._looking:
            self._time = await self._clock()
            changed = await asyncio.to_thread(self._own.look, force)
            for one in self._listeners:
                await asyncio.to_thread(one.own.look, force)
            changed |= self._issued.renew(self.now)
            if self.acme is not None:
                if force:
                    self.acme.hurry()
                before, self._fetched = self._fetched, self.acme.pairs(self.now)
                changed |= before != self._fetched
            wanted = self._wanted()
            for names in wanted:
                if len(names) == 1 and self._brought(names[0]) is None:
                    self._issued.get(names, self.now, wanted)
                    await asyncio.sleep(0)  # a key and a signature each: requests go in between
            rotate = time.monotonic() - self._doors_made > self._limits.tickets
            if rotate:
                self._issued.forget(wanted)
            if changed or rotate:
                self._doors_made = time.monotonic()
                for cache in (self._doors, self._by_name, self._by_pair):
                    cache.clear()
            for one in self._listeners:
                one.refresh()
            await asyncio.to_thread(self.authority.keep)
            await asyncio.to_thread(self._issued.save, wanted)

    # -- what there is

    def certificates(self) -> tuple[Certificate, ...]:
        """All that would be served now: the operator's, then those of the ACME server and of the CA."""
        own = [pair.facts for pair in self._own.pairs]
        own += [one.pair.facts for one in self._listeners if one.own.pairs]
        made = sorted((pair.facts for pair in self._issued.pairs if self._speaks(pair)), key=lambda one: one.names)
        fetched = [pair.facts for pair in self._fetched if self.pair(pair.facts.names[0]) is pair]
        return tuple({one.fingerprint: one for one in (*own, *fetched, *made)}.values())

    def _speaks(self, made: Pair) -> bool:
        """Whether this one of the CA's is not just in reserve, for a name that others have signed for."""
        names = made.facts.names
        return len(names) > 1 or made.facts.fingerprint in self.of_listeners() or self._brought(names[0]) is None

    def of_listeners(self) -> frozenset[str]:
        """Fingerprints of those that fixed listeners (the API) show."""
        return frozenset(one.pair.facts.fingerprint for one in self._listeners)

    @property
    def now(self) -> float:
        """Trusted time at the last look; near the end of the root it stands still."""
        return min(self._time.now, self.authority.facts.not_after - self._limits.valid)

    def trouble_of(self, certificate: Certificate) -> str:
        """What is wrong with one that serves; empty: nothing."""
        now = self.now
        failed = next(
            (own.troubles[certificate.file] for own in self._all_own() if certificate.file in own.troubles), None
        )
        if certificate.file and failed is not None:
            return f"{failed.message}; the one before it goes on serving"
        if certificate.source is Source.ACME and self.acme is not None:
            return self.acme.troubles.get(certificate.names[0], "")
        left = certificate.not_after - now
        if left < 0:
            return f"it ended {_days(-left)} ago"
        if now < certificate.not_before:
            return f"it begins in {_days(certificate.not_before - now)}"
        return f"it ends in {_days(left)}" if certificate.file and left < self._limits.warn else ""

    def troubles(self) -> tuple[str, ...]:
        """Everything that an operator should mend, as sentences without a stop."""
        said = [self.authority.trouble] if self.authority.trouble else []
        serving = {one.file: one for one in self.certificates() if one.file}
        for own in self._all_own():
            said += [error.message for file, error in own.troubles.items() if file not in serving]
        for file, one in serving.items():
            if trouble := self.trouble_of(one):
                said.append(trouble if trouble.startswith("cannot") else f"certificate {file}: {trouble}")
        if self.acme is not None:
            said += self.acme.troubles.values()
        return tuple(dict.fromkeys(said))

    def _all_own(self) -> tuple[OwnFiles, ...]:
        return (self._own, *(one.own for one in self._listeners))


def _days(seconds: float) -> str:
    days = int(seconds // DAY)
    return f"{days} day{'' if days == 1 else 's'}" if days else "less than a day"
