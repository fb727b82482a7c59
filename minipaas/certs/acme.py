"""Certificates from an ACME server (RFC 8555), for a box that the internet reaches: one for each host.

    none or due ──order──> kept, and due again at two thirds of its life
         └─ failed: told, and tried again after a minute, two, four … up to a day

What always holds: a certificate that is here is given up for no failure, only for one that is good for longer; one
order at a time, and each has a deadline; between two starts all is in `directory`, for this user only. Times are
trusted times. Who speaks while there is none is for the keeper to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from minipaas.certs import files, pem
from minipaas.certs.acme_order import NotSigned, Order, refusal
from minipaas.certs.limits import ACME_LIMITS, AcmeLimits
from minipaas.certs.pair import Pair
from minipaas.model.certificate import Source, is_address
from minipaas.model.config import AcmeConfig
from minipaas.model.errors import Invalid
from minipaas.model.release import TrustedTime

log = logging.getLogger("minipaas.certs")

T = TypeVar("T")
Publish = Callable[[bytes, bytes | None], None]
"""Answer this path over plain HTTP with this content; None: no more."""

_AT_HOME = frozenset(("local", "localhost", "lan", "home", "internal", "arpa", "test", "example", "invalid", "onion"))
"""Last labels of names that no public CA signs (RFC 6761, RFC 6762, RFC 8375, and what LANs use)."""


def looks_public(host: str) -> bool:
    """Whether a public CA could sign for a route's host."""
    return "." in host and "*" not in host and not is_address(host) and host.rpartition(".")[2] not in _AT_HOME


class Failure(Struct, frozen=True):
    """Of the last order for a host. `again` is on the monotonic clock."""

    why: str
    count: int
    again: float


class Acme:
    """What the ACME server has signed so far. `run` keeps it fresh."""

    def __init__(
        self,
        directory: Path,
        config: AcmeConfig,
        clock: Callable[[], Awaitable[TrustedTime]],
        limits: AcmeLimits = ACME_LIMITS,
    ) -> None:
        self.publish: Publish = lambda path, answer: None
        """Set by who owns the ingress, before `run`."""
        self.routed: Callable[[], Collection[str]] = tuple
        """The hosts that routes name now."""
        self.changed: Callable[[], None] = lambda: None
        """Called when there is a new certificate."""
        self.server = urlsplit(config.directory).netloc
        self._directory = directory
        # What another server has signed, perhaps for trial, must not serve.
        self._here = directory / hashlib.sha256(config.directory.encode()).hexdigest()[:16]
        self._config = config
        self._clock = clock
        self._limits = limits
        self._pairs: dict[str, Pair] = {}
        self._failures: dict[str, Failure] = {}
        self._hurried = asyncio.Event()

    def load(self) -> None:
        """Take up what an earlier process was given. Blocks."""
        for path in sorted(self._here.glob("*.pem")):
            with contextlib.suppress(Invalid):  # it is ordered anew
                pair = pem.load(path, path, self._limits.files)
                self._pairs[pair.facts.names[0]] = _ours(pair)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Those that are to have a certificate: the operator's choice, else what looks public."""
        wanted = self._config.hosts or [host for host in self.routed() if looks_public(host)]
        return tuple(sorted({host.lower().rstrip(".") for host in wanted}))[: self._limits.hosts]

    def find(self, name: str, now: float) -> Pair | None:
        """What speaks for a name; None: there is none that is still good. That one begins later says only that this
        box's clock is late."""
        pair = self._pairs.get(name)
        return pair if pair is not None and now <= pair.facts.not_after and name in self.hosts else None

    def pairs(self, now: float) -> tuple[Pair, ...]:
        """All that speak now."""
        return tuple(pair for host in self.hosts if (pair := self.find(host, now)) is not None)

    @property
    def troubles(self) -> dict[str, str]:
        """By host, as sentences without a stop."""
        return {
            host: f"cannot get a certificate for {host} from {self.server}: {self._failures[host].why}"
            for host in self.hosts
            if host in self._failures
        }

    # -- kept fresh

    def hurry(self) -> None:
        """Try again now what has failed."""
        self._failures = {host: msgspec.structs.replace(failure, again=0.0) for host, failure in self._failures.items()}
        self._hurried.set()

    async def run(self) -> None:
        """Order what is missing or due, again and again, until cancelled."""
        while True:
            self._hurried.clear()
            try:
                await self.look()
            except Exception:
                # What serves goes on serving; whatever it was may be over at the next look.
                log.exception("cannot ask %s for certificates", self.server)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.look):
                    await self._hurried.wait()

    async def look(self) -> None:
        """Order what is missing or due now, one after the other."""
        for host in self.hosts:
            now = (await self._clock()).now
            failure = self._failures.get(host)
            if self._due(host, now) and (failure is None or time.monotonic() >= failure.again):
                await self._renew(host, now)

    def _due(self, host: str, now: float) -> bool:
        """At two thirds of its life, and a little earlier by a share that is each certificate's own: those that were
        ordered together are not all renewed at once."""
        pair = self._pairs.get(host)
        if pair is None:
            return True
        life = pair.facts.not_after - pair.facts.not_before
        share = int(pair.facts.fingerprint[-8:], 16) / 2**32
        return now >= pair.facts.not_before + life * (2 / 3 - self._limits.spread * share)

    async def _renew(self, host: str, now: float) -> None:
        try:
            pair = await self._order(host)
            if pair.facts.not_after <= now:
                raise NotSigned("it has ended already by the time of this box; is its clock right?")
        except Exception as error:  # whatever a server can answer: what serves goes on serving
            self._failed(host, refusal(error))
            return
        self._failures.pop(host, None)
        before = self._pairs.get(host)
        if before is None or before.facts.not_after < pair.facts.not_after:
            self._pairs[host] = pair
        log.info(
            "certificate of %s from %s, good for %d days", host, self.server, (pair.facts.not_after - now) // 86400
        )
        self.changed()

    def _failed(self, host: str, unsigned: NotSigned) -> None:
        before = self._failures.get(host)
        count = before.count + 1 if before is not None else 1
        limits = self._limits
        pause = min(limits.retry * 2 ** min(count - 1, 30), limits.longest)
        if unsigned.limited:
            pause = max(pause, limits.limited)
        self._failures[host] = Failure(str(unsigned), count, time.monotonic() + pause)
        log.warning("%s; tried again in %d seconds", self.troubles.get(host, unsigned), pause)

    async def _order(self, host: str) -> Pair:
        """A new certificate, which is on the disk."""
        limits = self._limits
        async with asyncio.timeout(limits.order):
            order = await asyncio.to_thread(Order.open, host, self._directory, self._config, limits)
            try:
                for path, answer in order.answers.items():
                    self.publish(path, answer)
                await asyncio.to_thread(order.answer)
                await self._until(order.proven)
            finally:
                for path in order.answers:
                    self.publish(path, None)
            await asyncio.to_thread(order.finish)
            data = await self._until(order.signed)
        return await asyncio.to_thread(self._keep, host, data)

    async def _until(self, ask: Callable[[], T]) -> T:
        """What a question to the server brings, when it brings something."""
        while True:
            if answer := await asyncio.to_thread(ask):
                return answer
            await asyncio.sleep(self._limits.poll)

    def _keep(self, host: str, data: bytes) -> Pair:
        path = self._here / f"{hashlib.sha256(host.encode()).hexdigest()[:32]}.pem"
        try:
            pair = pem.judge(path, path, data, data, self._limits.files)
        except Invalid as error:
            raise NotSigned(f"what it has signed is no good: {error.message}") from None
        if pair.facts.names != (host,):
            raise NotSigned(f"what it has signed is for {', '.join(pair.facts.names)}")
        try:
            files.write(path, pair.chain + pair.key)
        except OSError as error:
            log.warning("cannot keep the certificate of %s: %s", host, error.strerror)
        return _ours(pair)


def _ours(pair: Pair) -> Pair:
    return msgspec.structs.replace(pair, facts=msgspec.structs.replace(pair.facts, source=Source.ACME, file=""))
