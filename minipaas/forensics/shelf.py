"""Where capsules lie: DATA/crashes/APP/GROUP/, a directory for each capsule and a `group.json`.

    CAPSULE/capsule.json    what is known
    CAPSULE/log.txt         the last lines of the log
    CAPSULE/files.tar.zst   what the instance has written

What always holds: a capsule is whole or not there (it is made aside and renamed); of equal failures the first and the
latest are kept and all are counted; an app has at most `per_app` bytes and all apps together `total`: the groups that
have been silent longest go first, the one that was just written last. Blocking, for a thread; one at a time.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from minipaas.forensics import limits
from minipaas.model.capsule import Capsule, CapsuleGroup
from minipaas.model.errors import Missing

T = TypeVar("T")

CAPSULE = "capsule.json"
LOG = "log.txt"
FILES = "files.tar.zst"
_GROUP = "group.json"
_STAGING = ".staging"


class Shelf:
    """All capsules of a box. `per_app`, `total`: bytes on disk."""

    def __init__(self, data: Path, *, per_app: int, total: int) -> None:
        self.root = data / "crashes"
        self._per_app = per_app
        self._total = total
        self._lock = threading.Lock()
        self._groups: dict[str, CapsuleGroup] | None = None

    # -- looking

    def groups(self, app: str | None = None) -> list[CapsuleGroup]:
        """Equal failures together, those that happened last first."""
        with self._lock:
            found = [one for one in self._known().values() if app is None or one.app == app]
        return sorted(found, key=lambda one: one.latest, reverse=True)

    def find(self, name: str) -> tuple[CapsuleGroup, Capsule]:
        """A capsule by its id, or the latest of a group by the group's. Raises Missing."""
        with self._lock:
            for group in self._known().values():
                wanted = group.kept[-1] if name == group.id and group.kept else name
                if wanted in group.kept:
                    capsule = _read(self._place(group) / wanted / CAPSULE, Capsule)
                    if capsule is not None:
                        return group, capsule
        raise Missing(
            f"cannot find a crash {name}: there is none, or it was let go for newer ones",
            hint="see: minipaas crashes",
            code="crash.unknown",
        )

    def file(self, group: CapsuleGroup, capsule: str, name: str) -> Path:
        """Where a part of a capsule lies; it need not be there."""
        return self._place(group) / capsule / name

    def counted(self, identity: str) -> bool:
        """Whether this end of this container is on the shelf, or was counted into a group."""
        with self._lock:
            return any(identity in one.recent for one in self._known().values())

    # -- changing

    def stage(self, identity: str) -> Path:
        """A fresh directory to make a capsule in; `put` takes it, or `discard`. Raises OSError."""
        with self._lock:
            self._known()
        place = self.root / _STAGING / identity
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, mode=0o700)
        return place

    def discard(self, staged: Path) -> None:
        """Nothing came of it."""
        shutil.rmtree(staged, ignore_errors=True)

    def put(self, staged: Path, capsule: Capsule) -> CapsuleGroup:
        """Take in a capsule that was made in `stage`. Raises OSError."""
        with self._lock:
            known = self._known().get(capsule.group) or CapsuleGroup(
                id=capsule.group,
                app=capsule.app,
                service=capsule.service,
                reason=capsule.reason,
                count=0,
                first=capsule.at,
                latest=capsule.at,
                kept=(),
                size=0,
            )
            place = self._place(known)
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            (staged / CAPSULE).write_bytes(msgspec.json.format(msgspec.json.encode(capsule), indent=1))
            for file in staged.iterdir():
                _sync(file)
            staged.rename(place / capsule.id)
            _sync(place)
            gone = known.kept[1:]
            group = _one_more(known, capsule.id, capsule.at)
            group = replace(group, kept=(*known.kept[:1], capsule.id), reason=capsule.reason)
            for one in gone:
                shutil.rmtree(place / one, ignore_errors=True)
            group = replace(group, size=_size(place))
            self._write(group)
            self._make_room(group)
            return group

    def count(self, group: str, identity: str, at: float) -> bool:
        """One more failure like those of a group, of which nothing more is kept. False: there is no such group. Raises
        OSError."""
        with self._lock:
            known = self._known().get(group)
            if known is not None:
                self._write(_one_more(known, identity, at))
            return known is not None

    def remove(self, name: str) -> int:
        """Let a group go, or one capsule of it. Returns how many capsules that were. Raises Missing."""
        group, capsule = self.find(name)
        with self._lock:
            if name == group.id or len(group.kept) == 1:
                self._drop(group)
                return len(group.kept)
            shutil.rmtree(self._place(group) / capsule.id)
            kept = tuple(one for one in group.kept if one != capsule.id)
            self._write(replace(group, kept=kept, size=_size(self._place(group))))
            return 1

    # -- inside

    def _known(self) -> dict[str, CapsuleGroup]:
        if self._groups is None:
            shutil.rmtree(self.root / _STAGING, ignore_errors=True)
            self._groups = {group.id: group for group in self._load()}
        return self._groups

    def _load(self) -> Iterator[CapsuleGroup]:
        """What lies there. A directory without a group that can be read is what a power cut has left."""
        for place in sorted(self.root.glob("*/*")):
            if not place.is_dir() or place.parent.name == _STAGING:
                continue
            group = _read(place / _GROUP, CapsuleGroup)
            if group is None or group.id != place.name:
                shutil.rmtree(place, ignore_errors=True)
                continue
            there = {one.name for one in place.iterdir() if (one / CAPSULE).exists()}
            for one in there - set(group.kept):
                shutil.rmtree(place / one, ignore_errors=True)
            kept = tuple(one for one in group.kept if one in there)
            if kept:
                yield replace(group, kept=kept)
            else:
                shutil.rmtree(place, ignore_errors=True)

    def _place(self, group: CapsuleGroup) -> Path:
        return self.root / group.app / group.id

    def _write(self, group: CapsuleGroup) -> None:
        place = self._place(group)
        new = place / f"{_GROUP}.new"
        new.write_bytes(msgspec.json.encode(group))
        _sync(new)
        new.replace(place / _GROUP)
        _sync(place)
        self._known()[group.id] = group

    def _make_room(self, newest: CapsuleGroup) -> None:
        """Let go what does not fit, of the app first."""
        for app, most in ((newest.app, self._per_app), (None, self._total)):
            found = [one for one in self._known().values() if app is None or one.app == app]
            size = sum(one.size for one in found)
            for one in sorted(found, key=lambda one: one.latest):
                if size <= most or one.id == newest.id:
                    break
                self._drop(one)
                size -= one.size

    def _drop(self, group: CapsuleGroup) -> None:
        shutil.rmtree(self._place(group), ignore_errors=True)
        self._known().pop(group.id, None)


def _one_more(group: CapsuleGroup, identity: str, at: float) -> CapsuleGroup:
    recent = (*group.recent, identity)[-limits.RECENT :]
    return replace(group, count=group.count + 1, latest=max(at, group.latest), recent=recent)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None


def _size(place: Path) -> int:
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
