"""What is known of the last hand-over of this box: what it was for, its steps, how it went, and whether the version
that serves is still on trial.

It is a file of its own in the data directory, because it is read and written also while nobody has the registry open,
and by either of two processes; never by both at once. What always holds: the file is replaced whole, and is on the disk
when `save` returns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct, field

from minipaas.model.errors import MinipaasError
from minipaas.model.typed import from_json, to_json

NAME = "upgrade.json"
_MOST = 1024**2


class Kind(StrEnum):
    """What it was for."""

    RELOAD = "reload"
    """The same program anew."""
    UPGRADE = "upgrade"
    ROLLBACK = "rollback"


class State(StrEnum):
    """How it stands."""

    WORKING = "working"
    TRIAL = "trial"
    """The new version serves, and is gone back from if it crashes twice."""
    DONE = "done"
    FAILED = "failed"
    """The new version never served."""
    RETURNED = "returned"
    """It served, crashed, and the version before serves again."""


class Step(Struct, kw_only=True):
    """One thing done. Times are Unix seconds."""

    title: str
    started: float
    ended: float | None = None
    ok: bool | None = None
    detail: str = ""


class Entry(Struct, kw_only=True, frozen=True):
    """A row for the audit that could not be written yet, because the registry was closed."""

    at: float
    action: str
    subject: str
    result: str


class Return(Struct, kw_only=True, frozen=True):
    """A hand-over to another version that did not hold, so that the version before serves again. It is told until a
    later one holds, or until somebody says that they have seen it."""

    kind: Kind
    to_version: str
    serves: str
    """The version that serves again."""
    reason: str
    at: float


class Record(Struct, kw_only=True):
    """The file's content. Programs are named by their directory; empty: not from an installed layout."""

    id: int = 0
    """Grows with every hand-over."""
    kind: Kind
    state: State = State.WORKING
    actor: str
    origin: str
    began: float
    ended: float | None = None
    from_version: str = ""
    to_version: str = ""
    from_program: str = ""
    to_program: str = ""
    back_program: str = ""
    """The way back of the one before: it is that again when the new one is gone back from."""
    from_schema: int = 0
    """The registry's schema before."""
    trial: float = 0.0
    """Seconds that the new version has to serve until it is confirmed."""
    ready: float | None = None
    """When it began to serve."""
    starts: int = 0
    """How often the version on trial was started."""
    steps: list[Step] = field(default_factory=list)
    reason: str = ""
    """Why it failed or was gone back from."""
    last_lines: list[str] = field(default_factory=list)
    """What the program that failed wrote last."""
    entries: list[Entry] = field(default_factory=list)
    told: int = 0
    """So many of the entries are in the audit."""
    returned: Return | None = None
    """The last return that nobody has seen yet; of this hand-over, or of one before it."""

    @property
    def unseen(self) -> Return | None:
        """What is to be told of it now: nothing while another version is being put in, or is on trial."""
        return None if self.state in (State.WORKING, State.TRIAL) else self.returned

    @property
    def what(self) -> str:
        """`minipaas 1.1.0`."""
        return f"minipaas {self.to_version}".rstrip()

    def note(self, result: str) -> None:
        """A row for the audit."""
        self.entries.append(Entry(at=time.time(), action=f"self.{self.kind}", subject=self.what, result=result))


class Story:
    """The file."""

    def __init__(self, data: Path) -> None:
        self.path = data / NAME

    def load(self) -> Record | None:
        """None before the first hand-over, and when the file is damaged: it decides about nothing but the way back."""
        try:
            with self.path.open("rb") as file:
                return from_json(file.read(_MOST), Record)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def save(self, record: Record) -> None:
        """Raises MinipaasError when the disk does not take it."""
        beside = self.path.with_name(self.path.name + ".new")
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(to_json(record))
                file.flush()
                os.fsync(file.fileno())
            beside.rename(self.path)
            directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            raise MinipaasError(
                f"cannot write {self.path}: {error.strerror}", hint="make room on its disk", code="self.record"
            ) from None

    @contextmanager
    def edit(self) -> Iterator[Record]:
        """Change what is there, with one write at the end. Raises MinipaasError."""
        record = self.load()
        if record is None:
            raise MinipaasError(f"cannot go on: {self.path} is gone or damaged", hint="begin again", code="self.record")
        yield record
        self.save(record)

    def begin(self, record: Record) -> None:
        """A new hand-over takes the place of the last one, whose rows may still have to be audited."""
        last = self.load()
        record.id = last.id + 1 if last is not None else 1
        record.entries = last.entries[last.told :] if last is not None else []
        record.returned = last.returned if last is not None else None
        self.save(record)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Do one step between two writes; an error is its detail, and goes on. The step may be given a detail."""
        step = Step(title=title, started=time.time())
        with self.edit() as record:
            record.steps.append(step)
            number = len(record.steps) - 1
        try:
            yield step
        except BaseException as error:
            step.ok = False
            step.detail = error.message if isinstance(error, MinipaasError) else type(error).__name__
            raise
        else:
            step.ok = True
        finally:
            step.ended = time.time()
            with self.edit() as record:
                record.steps[number] = step

    def end(self, state: State, reason: str = "", last_lines: Sequence[str] = ()) -> None:
        """It is over, or on trial; with a row for the audit."""
        with self.edit() as record:
            record.state = state
            record.reason = reason
            record.last_lines = list(last_lines)
            record.ended = None if state is State.TRIAL else time.time()
            if record.kind is not Kind.RELOAD:
                record.returned = _returned(record)
            words = {
                State.TRIAL: f"serves; on trial for {record.trial:g} s",
                State.DONE: "done",
                State.FAILED: f"failed: {reason}",
                State.RETURNED: f"went back to {record.from_version}: {reason}",
            }
            record.note(words.get(state, str(state)))

    def seen(self) -> bool:
        """Nobody needs to be told of the last return any more. Returns whether there was one to tell of. Raises
        MinipaasError."""
        record = self.load()
        if record is None or record.returned is None:
            return False
        record.returned = None
        self.save(record)
        return True


def _returned(record: Record) -> Return | None:
    """What is to be told once it has ended like this. What failed before the other program was there, such as a bundle
    that was refused, was told to whoever brought it."""
    if record.state is State.DONE:
        return None
    if record.state is State.RETURNED or (record.state is State.FAILED and record.to_program):
        return Return(
            kind=record.kind,
            to_version=record.to_version,
            serves=record.from_version,
            reason=record.reason.partition("\n")[0],
            at=record.ended or time.time(),
        )
    return record.returned
