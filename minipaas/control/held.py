"""Held bundles: verified, whole in staging, and waiting for somebody to say yes.

What always holds: nothing of a held bundle is in the registry or visible in the blob store; there are never more than
HELD, and together not more than one largest upload; each is dropped after LIFE, and all when the box restarts; whoever
says yes has everything checked once more that may have changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable

from msgspec import Struct

from minipaas.bundle.verify import check_still_valid
from minipaas.control.clock import trusted_time
from minipaas.control.contents import read_contents
from minipaas.control.intake import Intake, Parcel
from minipaas.control.named import Named
from minipaas.model.change import Change
from minipaas.model.difference import Contents
from minipaas.model.errors import MinipaasError, Missing, Refused
from minipaas.model.observed import Observed
from minipaas.model.outlook import Outlook
from minipaas.model.release import Release
from minipaas.model.units import human_bytes
from minipaas.plan.preview import outlook
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from minipaas.registry.trust import numbered

log = logging.getLogger(__name__)

HELD = 4
LIFE = 1800.0
"""Seconds that a bundle is held."""
LOOK = 5.0
"""Seconds between two looks for those that have expired."""


class Hold(Struct, frozen=True, kw_only=True):
    """One bundle that waits. Times are Unix seconds."""

    id: str
    parcel: Parcel
    actor: str
    at: float
    expires: float
    until: float
    """`expires` in monotonic seconds, which count."""

    @property
    def release(self) -> Release:
        return self.parcel.release


class HeldBundles:
    """All bundles that wait. `wake`: a change has begun, look again."""

    def __init__(
        self,
        intake: Intake,
        registry: Registry,
        blobs: BlobStore,
        observed: Callable[[], Observed],
        wake: Callable[[], None],
        *,
        largest: int,
    ) -> None:
        self._intake = intake
        self._registry = registry
        self._blobs = blobs
        self._observed = observed
        self._wake = wake
        self._largest = largest
        self.life = LIFE
        self._held: dict[str, Hold] = {}

    def every(self) -> tuple[Hold, ...]:
        """The oldest first."""
        return tuple(self._held.values())

    def get(self, identity: str) -> Hold:
        """One of them. Raises Missing(held.missing)."""
        hold = self._held.get(identity)
        if hold is None:
            raise Missing(
                f"cannot find the held bundle {identity[:16]}: it was deployed, dropped, or waited too long",
                hint="send it again",
                code="held.missing",
            )
        return hold

    async def hold(
        self, stream: AsyncIterator[bytes], length: int | None, named: Named, *, actor: str, origin: str
    ) -> Hold:
        """Verify a bundle and keep it waiting. The same bundle again takes the place of the first. `named` hears which
        app it is of. Raises as an upload does, Refused(held.full)."""
        parcel = await self._intake.verified(stream, length, named, self._refuse_full)
        try:
            await self._rehearse(parcel)
            self._refuse_full(parcel.release, parcel.new)  # others may have come meanwhile
        except BaseException:
            await asyncio.to_thread(parcel.staging.close)
            raise
        now = time.time()
        hold = Hold(
            id=secrets.token_hex(8),
            parcel=parcel,
            actor=actor,
            at=now,
            expires=now + self.life,
            until=time.monotonic() + self.life,
        )
        same = [one for one in self._held.values() if one.release.digest == hold.release.digest]
        self._held[hold.id] = hold
        for one in same:
            await self._let_go(one)
        self._count()
        await self._audit(hold, actor, "hold", origin, f"held as {hold.id}")
        return hold

    async def outlook(self, hold: Hold) -> Outlook:
        """What will happen when it is deployed. Raises what the deploy would raise."""
        return await self._rehearse(hold.parcel)

    def contents(self, hold: Hold) -> Contents:
        """What is in it. In a thread."""
        staging = hold.parcel.staging
        return read_contents(hold.release, lambda digest: self._blobs.open_staged(staging, digest))

    async def deploy(self, identity: str, *, actor: str, origin: str) -> Change:
        """Accept it and begin its change. What is refused goes on to wait. Raises Missing, Refused, NoSpace."""
        hold = self.get(identity)
        del self._held[identity]  # claimed: whoever asks at the same time finds it gone
        self._count()
        try:
            check_still_valid(hold.release, trusted_time(await self._registry.time_floor()))
            await self._rehearse(hold.parcel)  # what would be refused publishes nothing
            self._intake.need_room(hold.release, hold.parcel.new)
            change = await self._intake.admit(hold.parcel, actor=actor, origin=origin)
        except BaseException as error:
            self._held[identity] = hold
            self._count()
            if isinstance(error, MinipaasError):
                await self._audit(hold, actor, "deploy", origin, f"refused: {error.code}: {error.message}")
            raise
        self._wake()
        await asyncio.to_thread(hold.parcel.staging.close)
        return change

    async def drop(self, identity: str, *, actor: str, origin: str) -> None:
        """It is not wanted after all. Raises Missing."""
        hold = self.get(identity)
        await self._let_go(hold)
        await self._audit(hold, actor, "drop", origin, "dropped")

    async def run(self) -> None:
        """Drop those that have waited too long, until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            await self.expire()

    async def expire(self) -> None:
        """Drop those that have waited too long."""
        for hold in self.every():
            if time.monotonic() >= hold.until and hold.id in self._held:
                await self._let_go(hold)
                await self._audit(hold, "minipaas", "drop", "", "it waited too long")

    async def _rehearse(self, parcel: Parcel) -> Outlook:
        now = time.time()
        desired = await self._registry.rehearse.accept(
            parcel.release,
            new_roots=[root for _, root in parcel.verdict.new_roots],
            trusted_root=numbered(parcel.root)[0],
            now=now,
            clean=self._intake.touched(parcel.release.app),
        )
        return outlook(desired, self._observed(), now)

    async def _let_go(self, hold: Hold) -> None:
        self._held.pop(hold.id, None)
        self._count()
        await asyncio.to_thread(hold.parcel.staging.close)

    def _count(self) -> None:
        """The unpacked copy in Podman is still to come for each of them."""
        self._intake.promised = sum(hold.parcel.new for hold in self._held.values())

    def _refuse_full(self, release: Release, new: int) -> None:
        """Raises Refused(held.full) when there is no place for it beside the others; the same one has its own place."""
        others = [hold for hold in self.every() if hold.release.digest != release.digest]
        total = sum(hold.parcel.new for hold in others)
        if len(others) >= HELD or (others and total + new > self._largest):
            names = ", ".join(f"{hold.release.app} {hold.release.version}" for hold in others)
            raise Refused(
                f"cannot hold the bundle: {len(others)} wait already, with {human_bytes(total)}: {names}",
                hint="deploy or drop one of them on the status page, or deploy this one at once",
                code="held.full",
            )

    async def _audit(self, hold: Hold, actor: str, action: str, origin: str, result: str) -> None:
        release = hold.release
        subject = f"{release.app} {release.version} ({release.short})"
        with contextlib.suppress(MinipaasError):  # a disk that is full must not keep a bundle that fills it
            await self._registry.audit(
                actor=actor,
                action=action,
                subject=subject,
                origin=origin,
                result=result,
                now=time.time(),
                app=release.app,
            )
