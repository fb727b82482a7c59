"""What can be done to minipaas itself while it runs: start it anew, upgrade it, go back; and how the last of these
went.

One of these lives in each process of `serve`, over all its boxes. What always holds: one at a time; each has a record
that outlives the process, and its rows in the audit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from minipaas import program
from minipaas.author.version import own_version
from minipaas.bundle.verify import Verdict
from minipaas.control.control import Control
from minipaas.install.layout import Version
from minipaas.model.config import UpgradeConfig
from minipaas.model.errors import Conflict, MinipaasError, Missing, Refused
from minipaas.registry import schema
from minipaas.takeover import limits
from minipaas.takeover.audit import Rows
from minipaas.takeover.becoming import Becomes
from minipaas.takeover.handover import Handover
from minipaas.takeover.inheritance import Role
from minipaas.takeover.installed import Installed, installed
from minipaas.takeover.life import Life
from minipaas.takeover.listeners import Held
from minipaas.takeover.origins import Origins, refuse_below
from minipaas.takeover.parcel import Parcel
from minipaas.takeover.record import Kind, Record, Return, State, Story
from minipaas.takeover.recovery import recover
from minipaas.takeover.trial import Facts, try_out

log = logging.getLogger("minipaas")


class Own:
    """`begin` with the life of this process; `serves` whenever a box has been opened."""

    def __init__(self, data: Path, settings: UpgradeConfig) -> None:
        self.story = Story(data)
        self._rows = Rows(self.story)
        self._origins = Origins(data)
        self._data = data
        self._settings = settings
        self._here = installed()
        self._life: Life | None = None
        self._control: Control | None = None
        self._working: asyncio.Task[None] | None = None

    # -- over the life of the process --------------------------------------------------------------------------------

    def recover(self, environment: Mapping[str, str], held: Iterable[Held]) -> Becomes | None:
        """Before a start that no predecessor watches: what the last hand-over has left is put right; and which program
        this process has to become, if another one, with the environment and the sockets that it was itself started
        with. Raises MinipaasError."""
        before = recover(self.story, self._here, self._registry)
        if before is None:
            return None
        sockets = tuple(one.sock.fileno() for one in held)
        return Becomes((str(before.executable), *sys.argv[1:]), dict(environment), sockets)

    def begin(self, life: Life) -> None:
        """This process lives."""
        self._life = life
        life.confirmed = self._confirmed
        record = self.story.load()
        if record is not None and record.state in (State.WORKING, State.TRIAL) and self._is(record.to_program):
            life.trial = record.trial if record.kind is not Kind.RELOAD else 0.0

    async def serves(self, control: Control) -> None:
        """A box is open: its audit can be written."""
        self._control = control
        record = self.story.load()
        if (
            record is not None
            and record.state is State.WORKING
            and self._life is not None
            and self._life.role is Role.MAIN
        ):
            self.story.end(State.FAILED, "minipaas was stopped in the middle of it")
        await self._audit()

    async def alive(self) -> None:
        """The registry answers; and what could not be audited before is audited."""
        if self._control is not None:
            await self._control.alive()
            await self._audit()

    async def rest(self, patience: float) -> None:
        """Nothing is taken in any more."""
        if self._control is not None:
            await self._control.rest(patience)

    def closed(self) -> None:
        """No box is open any more."""
        self._control = None

    async def _audit(self) -> None:
        if self._control is not None:
            await self._rows.write(self._control.registry)

    def _confirmed(self) -> None:
        record = self.story.load()
        if record is not None and record.state is State.TRIAL:
            log.info("minipaas %s is confirmed", record.to_version)
            self.story.end(State.DONE)
            if self._here is not None:
                try:
                    with self._here.layout.lock(limits.LINK):
                        self._here.layout.prune()
                except MinipaasError as error:
                    log.warning("%s", error.message)

    # -- what can be asked -------------------------------------------------------------------------------------------

    def view(self) -> tuple[Installed | None, Record | None, str]:
        """Where this program lies, the last hand-over, and why another one cannot begin now."""
        return self._here, self.story.load(), self._life.busy if self._life is not None else ""

    def returned(self) -> Return | None:
        """The last return to the version before that nobody has seen yet."""
        record = self.story.load()
        return record.unseen if record is not None else None

    def seen(self) -> Return:
        """Somebody knows of it; nothing is told any more. Returns what was told. Raises Missing when there is nothing
        to tell, as while another hand-over goes on, MinipaasError when it cannot be written."""
        told = self.returned()
        if told is None or not self.story.seen():
            raise Missing(
                "cannot let a return rest: there is none that waits for it",
                hint="see: minipaas upgrade --status",
                code="self.no_return",
            )
        return told

    @contextlib.asynccontextmanager
    async def asked(self, what: str, actor: str, origin: str) -> AsyncIterator[None]:
        """What is refused before it has a record of its own is audited here, as `self.WHAT`."""
        try:
            yield
        except MinipaasError as error:
            if self._control is not None:
                await self._control.audit_refusal(actor, f"self.{what}", "minipaas", origin, error)
            raise

    def reload_on_signal(self) -> None:
        """SIGUSR2."""
        try:
            self.reload(actor="a signal", origin="SIGUSR2")
        except MinipaasError as error:
            log.error("%s", error.message)

    def reload(self, *, actor: str, origin: str) -> Record:
        """Start this program anew, with its configuration as it is now. Raises Conflict."""
        life = self._free("start minipaas anew")
        here = self._here.version.name if self._here is not None else ""
        record = self._record(Kind.RELOAD, actor, origin, to_version=own_version(), to_program=here)
        self.story.begin(record)
        life.wish(Handover(self.story, self._registry, self._command()))
        return record

    async def upgrade(self, stream: AsyncIterator[bytes], length: int | None, *, actor: str, origin: str) -> Record:
        """Verify a bundle of minipaas itself, put what is in it beside this one, and begin to hand over. Raises
        Refused, Conflict, NoSpace, …; then nothing is different."""
        async with self.asked(Kind.UPGRADE, actor, origin):
            life, here, control = self._free("upgrade minipaas"), self._installed("upgrade minipaas"), self._box()
        life.busy = "a bundle of minipaas is being taken in"
        record = self._record(Kind.UPGRADE, actor, origin)
        try:
            self.story.begin(record)
            parcel = Parcel(self._data, here.layout)
            try:
                with self.story.step("verify the bundle") as step:
                    verdict, root = await control.receive_own(stream, length, parcel, parcel.verified)
                    await control.registry.accept_own(
                        verdict.release,
                        new_roots=[body for _, body in verdict.new_roots],
                        trusted_root=root,
                        actor=actor,
                        origin=origin,
                        now=time.time(),
                    )
                    self._name(verdict)
                    step.detail = f"minipaas {verdict.release.version}, signed by {verdict.release.signers[0][:12]}"
                with self.story.step(f"put it beside {own_version()}") as step:
                    target = await asyncio.to_thread(parcel.place, verdict.release)
                    here_too = (one.name for one in here.layout.versions())
                    await asyncio.to_thread(self._origins.note, target.name, verdict.release, here_too)
                    step.detail = target.name
            finally:
                await asyncio.to_thread(parcel.close)
            with self.story.edit() as record:
                record.to_program = target.name
        except BaseException as error:
            await self._gave_up(error)
            raise
        self._go(target, here, verdict.release.version)
        return record

    async def go_back(self, *, actor: str, origin: str, lose: bool) -> Record:
        """Hand over to the version before. `lose`: also when the registry has to go back with it. Raises Missing,
        Conflict, Refused."""
        async with self.asked(Kind.ROLLBACK, actor, origin):
            life, here, control = self._free("go back"), self._installed("go back"), self._box()
            target = here.layout.previous()
            if target is None:
                raise Missing(
                    "cannot go back: there is no minipaas before this one here",
                    hint="see: minipaas version",
                    code="self.first",
                )
            life.busy = "minipaas is about to go back"
            try:
                refuse_below(target, self._origins.of(target.name), await control.registry.floors())
                facts = await try_out(target)
                older = facts.schema if facts.schema < schema.VERSION else None
                if older is not None and not lose:
                    raise Conflict(
                        f"cannot go back to minipaas {target.version} just so: it does not know this registry. The copy"
                        " from before the upgrade would come back, and what was accepted since would be lost",
                        hint="to go back nevertheless: minipaas rollback --self --lose-changes",
                        code="self.loses",
                    )
                record = self._record(Kind.ROLLBACK, actor, origin, to_version=target.version, to_program=target.name)
                self.story.begin(record)
            except BaseException:
                life.busy = ""
                raise
        self._hand_over(
            Handover(
                self.story, self._registry, (str(target.executable),), layout=here.layout, target=target, older=older
            )
        )
        return record

    # ----------------------------------------------------------------------------------------------------------------

    def _go(self, target: Version, here: Installed, version: str) -> None:
        """The rest of an upgrade, while its sender watches."""

        async def rest() -> None:
            try:
                with self.story.step(f"try minipaas {version}"):
                    facts = await try_out(target)
                    _check(facts, version)
                handover = Handover(
                    self.story, self._registry, (str(target.executable),), layout=here.layout, target=target
                )
                self._hand_over(handover)
            except Exception as error:
                await self._gave_up(error)

        self._working = asyncio.create_task(rest(), name="upgrade")

    async def _gave_up(self, error: BaseException) -> None:
        """An upgrade ends before its hand-over, whatever the reason; another one can begin. Raises nothing of its own:
        a full disk must not hide what went wrong."""
        if self._life is not None:
            self._life.busy = ""
        reason = error.message if isinstance(error, MinipaasError) else f"it broke off: {type(error).__name__}"
        if not isinstance(error, MinipaasError | asyncio.CancelledError):
            log.error("an upgrade broke off", exc_info=error)
        try:
            self.story.end(State.FAILED, reason)
            await self._audit()
        except (MinipaasError, OSError) as trouble:
            log.error("cannot write down that an upgrade failed (%s): %s", reason, trouble)

    def _hand_over(self, handover: Handover) -> None:
        life = self._life
        if life is None:
            raise AssertionError("a hand-over without a life")
        life.busy = ""
        life.wish(handover)

    def _free(self, what: str) -> Life:
        life = self._life
        if life is None:
            raise AssertionError("asked before the life of this process has begun")
        if life.busy:
            raise Conflict(f"cannot {what}: {life.busy}", hint="see: minipaas upgrade --status", code="self.busy")
        return life

    def _installed(self, what: str) -> Installed:
        if self._here is None:
            raise Refused(
                f"cannot {what}: this program was not laid out by minipaas install, so there is nowhere to put another",
                hint="install it once, from its file: ./minipaas install",
                code="self.not_installed",
            )
        return self._here

    def _box(self) -> Control:
        if self._control is None:
            raise AssertionError("asked without a box")
        return self._control

    def _record(self, kind: Kind, actor: str, origin: str, *, to_version: str = "", to_program: str = "") -> Record:
        back = self._here.layout.previous() if self._here is not None else None
        return Record(
            kind=kind,
            actor=actor,
            origin=origin,
            began=time.time(),
            from_version=own_version(),
            from_program=self._here.version.name if self._here is not None else "",
            back_program=back.name if back is not None else "",
            from_schema=schema.VERSION,
            to_version=to_version,
            to_program=to_program,
            trial=0.0 if kind is Kind.RELOAD else float(self._settings.trial),
        )

    def _name(self, verdict: Verdict) -> None:
        with self.story.edit() as record:
            record.to_version = verdict.release.version

    @property
    def _registry(self) -> Path:
        return self._data / "registry.db"

    def _command(self) -> tuple[str, ...]:
        """The words that start this very program."""
        return (str(self._here.version.executable),) if self._here is not None else program.command()

    def _is(self, name: str) -> bool:
        return name == (self._here.version.name if self._here is not None else "")


def _check(facts: Facts, version: str) -> None:
    if facts.version != version:
        raise Refused(
            f"cannot upgrade: the bundle says minipaas {version}, its program says {facts.version}",
            hint="make the bundle again: minipaas bundle self",
            code="self.version",
        )
