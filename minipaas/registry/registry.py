"""The registry as the other rooms use it: async calls, each one transaction or one consistent read.

What a call has returned is on the disk. A call that raises has changed nothing. A caller that is cancelled while it
waits may find its write done or not done, never half.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Literal, TypeAlias, TypeVar

from minipaas.model.change import Change, ChangeState, Desired
from minipaas.model.observed import Note
from minipaas.model.release import Floor, Release
from minipaas.registry import (
    apps,
    audit,
    changes,
    deaths,
    history,
    journal,
    news,
    notes,
    releases,
    requests,
    tokens,
    trust,
)
from minipaas.registry.audit import ANY, AuditRow, Wanted
from minipaas.registry.database import Database
from minipaas.registry.deaths import Death
from minipaas.registry.history import Happening, Past, Place
from minipaas.registry.journal import JournalRow
from minipaas.registry.news import News
from minipaas.registry.rehearsal import Rehearsal
from minipaas.registry.releases import ReleaseRow
from minipaas.registry.schema import Schema
from minipaas.registry.tokens import Token

T = TypeVar("T")


class Keep(enum.Enum):
    """Says that a pointer stays where it is; None would clear it."""

    KEEP = "keep"


KEEP = Keep.KEEP
Pointer: TypeAlias = str | Literal[Keep.KEEP] | None


class Registry:
    """An open registry. Made by `open`, ended by `close`. Times are Unix seconds; digests `sha256:<hex>`."""

    def __init__(self, database: Database, box_id: str, version: int) -> None:
        self.box_id = box_id
        self.rehearse = Rehearsal(database)
        self._database = database
        self._news = News(version)
        self._generation = 0
        self._last_changes: tuple[int, dict[str, Change]] | None = None
        self._desired: tuple[int, Desired] | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        on_full: Callable[[], bool] | None = None,
        schema: Schema | None = None,
        now: float | None = None,
    ) -> Registry:
        """Open the file, make it if there is none, migrate an older one, close steps that were interrupted. `on_full`
        is called when the disk is full, frees space if it can (`Ballast.release`) and says whether it did. Raises
        Refused(registry.newer), MinipaasError(registry.corrupt, registry.foreign, registry.readonly, …), NoSpace."""
        database = Database.open(path, schema, on_full=on_full)
        box_id, version = database.transact(lambda db: _settle(db, time.time() if now is None else now))
        return cls(database, box_id, version)

    async def close(self) -> None:
        """Finish what is under way and close the file."""
        await self._database.close()

    async def keep_copy(self) -> bool:
        """Renew the safety copy beside the file if it is a day old; returns whether it was. Cheap to ask often. Raises
        NoSpace; then the old copy stays."""
        return await self._database.keep_copy()

    # -- news --------------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Grows with each commit that a reader could notice; never repeats, also over restarts."""
        return self._news.version

    async def newer(self, than: int, timeout: float) -> int:  # noqa: ASYNC109  a length of wait is the point of it
        """Wait until the version is not `than`, at most `timeout` seconds; returns the version then."""
        return await self._news.newer(than, timeout)

    # -- trust and time ----------------------------------------------------------------------------------------------

    async def roots(self) -> tuple[bytes, ...]:
        """Every trusted root.json, oldest first."""
        return await self._database.read(trust.roots)

    async def add_roots(
        self, roots: Sequence[tuple[int, bytes]], actor: str, origin: str, now: float | None = None
    ) -> None:
        """Append (version, root.json) pairs that were checked. Raises Conflict(root.fork), Refused(root.gap)."""
        at = time.time() if now is None else now
        await self._write(lambda db: requests.add_roots(db, roots, actor=actor, origin=origin, now=at))

    async def time_floor(self) -> int:
        """The newest `issued` of an accepted release; 0 before the first."""
        return await self._database.read(trust.time_floor)

    async def floors(self) -> dict[str, Floor]:
        """By app, also those removed, the lowest that may still be accepted or gone back to."""
        return await self._database.read(trust.floors)

    async def newest(self) -> dict[str, str]:
        """By app, the digest of the newest accepted release."""
        return await self._database.read(trust.newest)

    # -- releases and changes ----------------------------------------------------------------------------------------

    async def accept(
        self,
        release: Release,
        *,
        new_roots: Sequence[bytes] = (),
        trusted_root: int | None = None,
        actor: str,
        origin: str,
        now: float,
        clean: frozenset[str] = frozenset(),
    ) -> Change:
        """Take in a verified release, with the root.json files that its bundle brought and that were checked, and
        begin to deploy it: `requests.accept`."""

        def work(db: Connection) -> Change:
            return requests.accept(
                db,
                release,
                new_roots=new_roots,
                trusted_root=trusted_root,
                actor=actor,
                origin=origin,
                now=now,
                clean=clean,
            )

        return await self._write(work, apps=True)

    async def accept_own(
        self,
        release: Release,
        *,
        new_roots: Sequence[bytes],
        trusted_root: int,
        actor: str,
        origin: str,
        now: float,
    ) -> None:
        """Take in a verified release of minipaas itself: `requests.accept_own`."""
        await self._write(
            lambda db: requests.accept_own(
                db, release, new_roots=new_roots, trusted_root=trusted_root, actor=actor, origin=origin, now=now
            )
        )

    async def rollback(self, app: str, *, to: str | None = None, actor: str, origin: str, now: float) -> Change:
        """Begin to go back to a release: `requests.rollback`."""
        return await self._write(
            lambda db: requests.rollback(db, app, to, actor=actor, origin=origin, now=now), apps=True
        )

    async def remove(
        self, app: str, *, purge: bool, leftovers: bool = False, actor: str, origin: str, now: float
    ) -> Change:
        """Begin to remove an app: `requests.remove`."""

        def work(db: Connection) -> Change:
            return requests.remove(db, app, purge=purge, leftovers=leftovers, actor=actor, origin=origin, now=now)

        return await self._write(work, apps=True)

    async def restart(self, app: str, service: str | None, *, actor: str, origin: str, now: float) -> Change:
        """Begin to restart an app or one service of it: `requests.restart`."""
        return await self._write(
            lambda db: requests.restart(db, app, service, actor=actor, origin=origin, now=now), apps=True
        )

    async def scale(
        self, app: str, service: str, replicas: int | None, *, actor: str, origin: str, now: float
    ) -> Change:
        """Begin to run a service with so many instances; None: as many as its release says: `requests.scale`."""
        return await self._write(
            lambda db: requests.scale(db, app, service, replicas, actor=actor, origin=origin, now=now), apps=True
        )

    async def desired(self) -> Desired:
        """Everything this box should be. Read once after each write that concerns it, else from memory."""
        generation = self._generation
        if self._desired is not None and self._desired[0] == generation:
            return self._desired[1]
        desired = await self._database.read(apps.desired)
        # If a write has come between, the generation has moved on, and this value is not found again.
        self._desired = (generation, desired)
        return desired

    async def save_change(
        self, change: Change, *, serving: Pointer = KEEP, good: Pointer = KEEP, forget_app: bool = False
    ) -> None:
        """Write the next state of a change and move the app's pointers with it, in one transaction. How a release is
        run goes with the pointer: as the change wants its target, or, when it goes back, as before. A release that
        becomes `good` is confirmed from then on. `forget_app`: the removal is finished. Raises Missing,
        Conflict(change.ended) when it was superseded meanwhile: look again."""

        def work(db: Connection) -> None:
            changes.save(db, change)
            if forget_app:
                if change.state.active:
                    raise ValueError(f"change {change.id} goes on; {change.app} cannot be forgotten")
                apps.forget(db, change.app)
                return
            if serving is KEEP and good is KEEP:
                return
            old = apps.get(db, change.app)
            forward = change.state in (ChangeState.CONFIRMING, ChangeState.DONE)
            tuning = changes.tuning_text(change) if forward else old.good_tuning
            apps.point(
                db,
                change.app,
                apps.Pointers(
                    serving=old.serving if serving is KEEP else serving,
                    serving_tuning=old.serving_tuning if serving is KEEP else tuning,
                    good=old.good if good is KEEP else good,
                    good_tuning=old.good_tuning if good is KEEP else tuning,
                ),
            )
            if good is not KEEP and good is not None:
                releases.confirm(db, good, change.ended or change.switched or change.started)

        await self._write(work, apps=True)

    async def release(self, digest: str) -> Release:
        """One release, retired or not. Raises Missing."""
        return await self._database.read(lambda db: releases.get(db, digest))

    async def releases(self, app: str) -> list[ReleaseRow]:
        """All releases of an app, newest first."""
        return await self._database.read(lambda db: releases.every(db, app))

    async def named(self, app: str, name: str) -> ReleaseRow:
        """The release that a person means: `releases.named`. Raises Missing, Invalid(release.ambiguous)."""
        return await self._database.read(lambda db: releases.named(db, app, name))

    async def change(self, id: int) -> Change:  # noqa: A002
        """One change. Raises Missing."""
        return await self._database.read(lambda db: changes.get(db, id))

    async def changes(self, app: str | None, limit: int) -> list[Change]:
        """The newest changes of an app or of all, newest first."""
        return await self._database.read(lambda db: changes.page(db, app, limit))

    async def last_changes(self) -> dict[str, Change]:
        """By app, its newest change. Read once after each write that concerns one, else from memory."""
        version = self.version
        if self._last_changes is None or self._last_changes[0] != version:
            self._last_changes = (version, await self._database.read(changes.newest))
        return self._last_changes[1]

    async def change_counts(self) -> dict[tuple[str, str], int]:
        """How many changes are remembered, by kind and state."""
        return await self._database.read(changes.counts)

    async def retire(self, app: str, digests: Iterable[str], now: float | None = None) -> tuple[str, ...]:
        """Give releases up: their blobs may go, rollback to them is Missing. Those that are in use, or that a rollback
        would go to next, are left out; returns the ones given up."""
        given, at = tuple(digests), time.time() if now is None else now
        return await self._write(lambda db: requests.retire(db, app, given, at))

    async def stored_releases(self) -> dict[str, list[Release]]:
        """By app, also those removed, the releases that are not retired, newest first."""
        return await self._database.read(releases.stored)

    async def needed_blobs(self) -> set[str]:
        """Digests of all blobs of all releases that are not retired."""
        return await self._database.read(releases.needed_blobs)

    # -- journal -----------------------------------------------------------------------------------------------------

    async def begin_step(self, change: int | None, app: str, kind: str, title: str, now: float) -> int:
        """Write that a step begins, before it does; returns the row's id. `change` None: upkeep."""
        return await self._write(lambda db: journal.begin(db, change, app, kind, title, now))

    async def end_step(self, id: int, ok: bool, detail: str, now: float) -> None:  # noqa: A002
        """Write how a step ended."""
        await self._write(lambda db: journal.end(db, id, ok, detail, now))

    async def journal(self, change: int, after: int = 0) -> list[JournalRow]:
        """The steps of a change, oldest first, those with an id above `after`."""
        return await self._database.read(lambda db: journal.of_change(db, change, after))

    async def recent(self, app: str, limit: int) -> list[JournalRow]:
        """The newest steps of an app, newest first."""
        return await self._database.read(lambda db: journal.recent(db, app, limit))

    async def happenings(
        self, app: str, limit: int, before: Place | None = None, *, audited: bool = False
    ) -> list[Happening]:
        """What happened to an app, the newest first, only what stands before `before`; with the audit if `audited`."""
        return await self._database.read(lambda db: history.page(db, app, limit, before, audited))

    async def past(self, app: str, since: float, until: float) -> Past:
        """What happened to an app in [since, until), Unix seconds."""
        return await self._database.read(lambda db: history.past(db, app, since, until))

    async def record_deaths(self, found: Iterable[Death]) -> None:
        """Write down who ended by itself; what is written already stays as it is."""
        given = tuple(found)
        await self._write(lambda db: deaths.add(db, given))

    # -- notes, audit, tokens ----------------------------------------------------------------------------------------

    async def notes(self) -> dict[str, Note]:
        """What is remembered of containers, by container id."""
        return await self._database.read(notes.every)

    async def note(self, id: str, *, boot: str | None = None, stopped: str | None = None) -> None:  # noqa: A002
        """Remember something of a container; None leaves a part as it is."""
        await self._write(lambda db: notes.put(db, id, boot, stopped), news_worthy=False)

    async def drop_notes(self, ids: Iterable[str]) -> None:
        """Forget containers that are gone."""
        given = tuple(ids)
        await self._write(lambda db: notes.drop(db, given), news_worthy=False)

    async def audit(
        self,
        *,
        actor: str,
        action: str,
        subject: str,
        origin: str,
        result: str,
        now: float,
        app: str | None = None,
    ) -> None:
        """Write what is no mutation of the registry itself, above all refusals. `app`: which it was about, if any."""
        await self._write(
            lambda db: audit.append(
                db, at=now, actor=actor, action=action, subject=subject, origin=origin, result=result, app=app
            ),
            news_worthy=False,
        )

    async def audit_log(self, limit: int, wanted: Wanted = ANY) -> list[AuditRow]:
        """The newest rows first."""
        return await self._database.read(lambda db: audit.page(db, limit, wanted))

    async def audit_actions(self) -> list[str]:
        """What sorts of things the audit log tells of."""
        return await self._database.read(audit.actions)

    async def add_token(self, name: str, role: str, now: float, *, actor: str, origin: str) -> str:
        """Make a token; returns its secret, which is not kept. Raises Invalid, Conflict(token.exists)."""

        def work(db: Connection) -> str:
            secret = tokens.add(db, name, role, now)
            audit.append(
                db, at=now, actor=actor, action="token.add", subject=f"{name} ({role})", origin=origin, result="added"
            )
            return secret

        return await self._write(work)

    async def revoke_token(self, name: str, *, actor: str, origin: str, now: float) -> None:
        """Forget a token. Raises Missing."""

        def work(db: Connection) -> None:
            tokens.revoke(db, name)
            audit.append(db, at=now, actor=actor, action="token.revoke", subject=name, origin=origin, result="revoked")

        await self._write(work)

    async def tokens(self) -> list[Token]:
        """All tokens, by name, without their secrets."""
        return await self._database.read(tokens.every)

    async def token(self, secret: str) -> Token | None:
        """Whose secret this is."""
        return await self._database.read(lambda db: tokens.find(db, secret))

    # ----------------------------------------------------------------------------------------------------------------

    async def _write(self, work: Callable[[Connection], T], *, apps: bool = False, news_worthy: bool = True) -> T:
        """One transaction. `apps`: it may change what `desired` answers."""
        loop = asyncio.get_running_loop()

        def transaction(db: Connection) -> tuple[T, int | None]:
            result = work(db)
            return result, news.bump(db) if news_worthy else None

        def job() -> T:
            result, version = self._database.transact(transaction)
            if apps:
                self._generation += 1
            if version is not None:
                self._news.publish(version, loop)
            return result

        return await self._database.write(job)


def _settle(db: Connection, now: float) -> tuple[str, int]:
    """What every start does: give a new registry its identity, close interrupted steps. Returns (box id, version)."""
    fresh = {"box_id": secrets.token_hex(8), "time_floor": "0", "version": "1"}
    db.executemany("INSERT OR IGNORE INTO box (key, value) VALUES (?, ?)", list(fresh.items()))
    if journal.close_interrupted(db, now):
        news.bump(db)
    box_id = db.execute("SELECT value FROM box WHERE key = 'box_id'").fetchone()[0]
    return str(box_id), news.stored(db)
