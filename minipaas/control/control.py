"""Control: the box as a whole. Everything that wants something changed comes through here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from minipaas.bundle.receive import BlobSink
from minipaas.bundle.verify import Verdict
from minipaas.certs.keeper import Keeper
from minipaas.control import exported
from minipaas.control.comparisons import Comparisons
from minipaas.control.execute import Executor, ImageSource
from minipaas.control.following import Following
from minipaas.control.foresight import volumes_of
from minipaas.control.garbage import Garbage
from minipaas.control.held import HeldBundles, Hold
from minipaas.control.intake import Intake
from minipaas.control.named import Named
from minipaas.control.openings import Openings
from minipaas.control.reconcile import Looked, Reconciler
from minipaas.control.reopen import Reopening
from minipaas.control.sampling import Sampler
from minipaas.control.scenes import Scenes
from minipaas.control.since import SinceGood
from minipaas.engine.engine import Engine
from minipaas.forensics.access import Access
from minipaas.forensics.shelf import Shelf
from minipaas.ingress.ingress import Ingress
from minipaas.model.change import Change
from minipaas.model.config import Config
from minipaas.model.errors import MinipaasError, Missing, Refused
from minipaas.model.observed import Observed
from minipaas.process import give_back
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from minipaas.telemetry.logs.logs import Logs
from minipaas.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from minipaas.telemetry.shipping.shipping import Shipping

log = logging.getLogger(__name__)

COLLECT_EVERY = 3600.0
"""Seconds between garbage collections that nothing else has asked for."""
FOLLOW_RETRY = 10.0


class Control:
    """The rooms of a running box, and what may be asked of it."""

    def __init__(
        self,
        *,
        registry: Registry,
        blobs: BlobStore,
        engine: Engine,
        ingress: Ingress,
        images: ImageSource,
        config: Config,
        data: Path,
        telemetry: Telemetry,
        logs: Logs,
        certificates: Keeper | None = None,
        shipping: Shipping | None = None,
        on_look: Looked | None = None,
    ) -> None:
        """`on_look` hears what was desired and observed at each look."""
        self.registry = registry
        self.blobs = blobs
        self.engine = engine
        self.ingress = ingress
        self.config = config
        self.data = data
        self.telemetry = telemetry
        self.logs = logs
        self.certificates = certificates
        """None while nothing here speaks TLS."""
        self.shipping = shipping
        """None while logs are sent nowhere."""
        self.shelf = Shelf(data, per_app=int(config.crashes.per_app), total=int(config.crashes.total))
        self.comparisons = Comparisons(blobs.open)
        self._following = Following(engine, logs, lambda: self.observed)
        self._scenes = Scenes(
            registry, engine, telemetry, self.shelf, self._following.last, SinceGood(registry, self.comparisons, data)
        )
        executor = Executor(registry, engine, ingress, images, self._scenes)
        self._reconciler = Reconciler(registry, engine, ingress, executor, self._scenes, on_look)
        self._sampler = Sampler(engine, telemetry, lambda: self.observed)
        self._intake = Intake(registry, blobs, config.limits, engine.info.platform, Openings(ingress, config))
        self.held = HeldBundles(
            self._intake,
            registry,
            blobs,
            lambda: self.observed,
            self.wake,
            largest=int(config.limits.bundle),
        )
        self._garbage = Garbage(registry, blobs, engine, self._intake.store, config.limits.keep_releases)
        self._collect = asyncio.Event()
        self.access = Access(engine, registry, config.access, data, lambda: self.observed)
        """The ways into instances."""
        self._intake.touched = self.access.touched_services
        self.reopening = Reopening(registry, engine, self.shelf, self.access, images, lambda: self.observed)

    @property
    def observed(self) -> Observed:
        """The last look at the world."""
        return self._reconciler.observed

    @property
    def trouble(self) -> str:
        """Why the box cannot look at the world just now; empty: it can."""
        return self._reconciler.trouble

    async def alive(self) -> None:
        """Returns when the registry answers."""
        await self.registry.time_floor()

    async def rest(self, patience: float) -> None:
        """Take in nothing any more, and wait for uploads under way, at most `patience` seconds."""
        await self._intake.rest(patience)

    def close(self) -> None:
        """Nothing is taken in any more. After `run` has ended."""
        self._intake.close()

    def wake(self) -> None:
        """Something may have changed: look again."""
        self._reconciler.wake()

    async def run(self) -> None:
        """Reconcile, collect garbage and measure until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reconciler.run(), name="reconcile")
                group.create_task(self._collect_garbage(), name="garbage")
                group.create_task(self._follow_changes(), name="changes")
                group.create_task(self._sampler.run(), name="samples")
                group.create_task(self._following.run(), name="following")
                group.create_task(self.held.run(), name="held bundles")
                group.create_task(self._scenes.begin(), name="what this machine is")
                group.create_task(self._make_key(), name="key of this box")
                group.create_task(self.reopening.clear(), name="scenes left open")
                group.create_task(self.engine.beside.sweep(), name="toolboxes")
        finally:
            await self._scenes.close()

    async def first_look(self, patience: float) -> None:
        """Wait until running instances have been probed and are routed to, at most `patience` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._reconciler.ready.wait()

    async def routed(self) -> None:
        """Return when the first look is over: what is to be routed is."""
        await self._reconciler.ready.wait()

    async def receive_bundle(
        self, stream: AsyncIterator[bytes], length: int | None, *, actor: str, origin: str, by_signature: bool = False
    ) -> Change:
        """Verify, store and accept a bundle, and begin to deploy it. `by_signature`: nothing but its signature speaks
        for the sender. Returns the change. A refusal is audited."""
        named = Named()
        try:
            change = await self._intake.accept(
                stream, length, named, actor=actor, origin=origin, by_signature=by_signature
            )
        except MinipaasError as error:
            if error.code != "upload.busy":  # it comes again by itself
                subject, app = await named.told()
                await self.audit_refusal(actor, "deploy", subject, origin, error, app)
            raise
        self.wake()
        return change

    async def hold_bundle(self, stream: AsyncIterator[bytes], length: int | None, *, actor: str, origin: str) -> Hold:
        """Verify a bundle and keep it waiting in staging. A refusal is audited."""
        named = Named()
        try:
            return await self.held.hold(stream, length, named, actor=actor, origin=origin)
        except MinipaasError as error:
            if error.code != "upload.busy":
                subject, app = await named.told()
                await self.audit_refusal(actor, "hold", subject, origin, error, app)
            raise

    def warnings(self, change: int) -> tuple[str, ...]:
        """What the verifier let pass of the bundle that began this change, as long as it is remembered."""
        return self._intake.warnings(change)

    async def receive_own(
        self, stream: AsyncIterator[bytes], length: int | None, sink: BlobSink, admit: Callable[[Verdict], None]
    ) -> tuple[Verdict, int]:
        """Verify a bundle of minipaas itself; its blobs go to `sink` alone. Returns the verdict, and the version of the
        trust root that it started from."""
        return await self._intake.receive_own(stream, length, sink, admit)

    async def rollback(self, app: str, to: str | None, *, actor: str, origin: str) -> Change:
        """Begin to go back to an earlier release: the last confirmed one before, or `to`. Needs no network."""
        try:
            change = await self.registry.rollback(app, to=to, actor=actor, origin=origin, now=time.time())
        except MinipaasError as error:
            await self.audit_refusal(actor, "rollback", app, origin, error, app)
            raise
        self.wake()
        return change

    async def remove(self, app: str, *, purge: bool, actor: str, origin: str) -> Change:
        """Begin to remove an app; its volumes too if `purge`, also those that an earlier removal has left."""
        try:
            leftovers = bool(volumes_of(app, self.observed))
            change = await self.registry.remove(
                app, purge=purge, leftovers=leftovers, actor=actor, origin=origin, now=time.time()
            )
        except MinipaasError as error:
            await self.audit_refusal(actor, "remove", app, origin, error, app)
            raise
        self.wake()
        return change

    async def restart(self, app: str, service: str | None, *, actor: str, origin: str) -> Change:
        """Begin to replace the running instances of an app, or of one service, by new ones of the same release."""
        try:
            change = await self.registry.restart(app, service, actor=actor, origin=origin, now=time.time())
        except MinipaasError as error:
            await self.audit_refusal(actor, "restart", f"{app}/{service}" if service else app, origin, error, app)
            raise
        self.wake()
        return change

    async def scale(self, app: str, service: str, replicas: int | None, *, actor: str, origin: str) -> Change:
        """Begin to run a service with so many instances; None: as many as its release says."""
        try:
            change = await self.registry.scale(app, service, replicas, actor=actor, origin=origin, now=time.time())
        except MinipaasError as error:
            await self.audit_refusal(actor, "scale", f"{app}/{service}", origin, error, app)
            raise
        self.wake()
        return change

    async def add_root(self, root: bytes, *, actor: str, origin: str) -> int:
        """Trust a root.json: the first one as it is, a later one only when the trusted one signed it. Its version."""
        from minipaas.bundle.root import check_chain, check_first

        roots = await self.registry.roots()
        try:
            checked = check_chain(roots[-1], [root]) if roots else check_first(root)
            await self.registry.add_roots([(checked.version, root)], actor, origin)
        except MinipaasError as error:
            await self.audit_refusal(actor, "trust", "a root", origin, error)
            raise
        return checked.version

    def reread(self) -> None:
        """Load the operator's certificates again, soon: what SIGHUP asks for."""
        if self.certificates is not None:
            self.certificates.wake()

    async def reload_certificates(self, *, actor: str, origin: str) -> None:
        """Load the operator's certificates again. Those that cannot be used are told as troubles; what they were to
        replace goes on serving."""
        if self.certificates is None:
            error = Missing(
                "cannot load certificates: TLS is off",
                hint="turn it on: write [tls] into config.toml, and start minipaas again",
                code="certificate.off",
            )
            await self.audit_refusal(actor, "reload", "certificates", origin, error)
            raise error
        await self.certificates.look(force=True)
        result = "; ".join(self.certificates.troubles()) or "ok"
        await self.registry.audit(
            actor=actor, action="reload", subject="certificates", origin=origin, result=result, now=time.time()
        )

    async def audit_refusal(
        self, actor: str, action: str, subject: str, origin: str, error: MinipaasError, app: str | None = None
    ) -> None:
        """Write down who was refused what. Never fails: the refusal itself matters more."""
        word = "refused" if isinstance(error, Refused) else "failed"
        result = f"{word}: {error.code}: {error.message}"
        try:
            await self.registry.audit(
                actor=actor, action=action, subject=subject, origin=origin, result=result, now=time.time(), app=app
            )
        except MinipaasError as failure:
            log.warning("cannot audit that %s by %s was %s: %s", action, actor, result, failure.message)

    async def _make_key(self) -> None:
        """The key that signs exported scenes, when there is none yet: whoever asks for it only looks."""
        await self._reconciler.ready.wait()
        try:
            await asyncio.to_thread(exported.box_key, self.data)
        except (MinipaasError, OSError) as error:
            log.warning("cannot make the key of this box: %s", error)

    async def _follow_changes(self) -> None:
        """Whoever began a change, it is looked at now; every ended change may leave something to collect."""
        version, active = self.registry.version, frozenset[int]()
        while True:
            try:
                desired = await self.registry.desired()
            except MinipaasError as error:
                log.warning("cannot follow changes: %s", error.message)
                await asyncio.sleep(FOLLOW_RETRY)
                continue
            now_active = frozenset(app.change.id for app in desired.apps if app.change is not None)
            if active != now_active:
                self.wake()
            if active - now_active:
                self._collect.set()
            active = now_active
            version = await self.registry.newer(version, COLLECT_EVERY)

    async def _collect_garbage(self) -> None:
        await self._reconciler.ready.wait()
        while True:
            self._collect.clear()
            try:
                await self._garbage.collect(self.observed)
            except MinipaasError as error:
                log.warning("cannot collect garbage: %s", error.message)
            except Exception:
                # What cannot be collected costs space; to stop the box for it would cost more.
                log.exception("cannot collect garbage")
            await asyncio.to_thread(give_back)  # the work of a change leaves holes in the heap
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(COLLECT_EVERY):
                    await self._collect.wait()
