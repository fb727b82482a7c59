"""Everything of minipaas is killed in the middle of a hand-over; who starts next puts right what was left."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from minipaas.install.layout import Layout
from minipaas.registry import putback, schema
from minipaas.takeover.handover import Handover
from minipaas.takeover.installed import Installed
from minipaas.takeover.record import Kind, Record, State, Story
from minipaas.takeover.recovery import recover
from tests.takeover.programs import insert, install
from tests.takeover.steady import Served
from tests.takeover.test_upgrade import TRIAL, add_migration, both, current, installed, newer

STALLS = insert("app.py", "        news = _News()", "        await asyncio.sleep(3600)\n")
"""It has brought the registry forward, and is never ready."""
WAITS = insert(
    "app.py",
    "        blobs = BlobStore(data)",
    "        while ingress is not None and (data / 'wait').exists():\n            await asyncio.sleep(0.05)\n",
)
"""It may be kept from opening the registry."""


async def stepping(box: Served) -> None:
    """Until main has let go of the registry."""

    async def look() -> bool:
        record = Story(box.data).load()
        assert record is not None
        return record.steps[-1].title == "hand the box over"

    await box.until(look)


async def test_on_trial(tmp_path: Path) -> None:
    """Nobody watches it any more: it counts its own starts."""
    async with installed(tmp_path, TRIAL.replace("1s", "60s")) as box:
        status, begun = await box.api("PUT", "/api/v1/self", newer(tmp_path, add_migration))
        assert status == 202, begun
        await box.last("trial")
        for version in ("2.0.0", "1.0.0"):
            await box.crash()
            await box.start()
            assert (await box.myself())["version"] == version
        assert (await box.last("returned"))["to_version"] == "2.0.0"
        assert current(tmp_path) == "1.0.0"
        assert (await box.myself())["previous"] is None
        assert (await box.audit())[0].startswith("self.upgrade: went back to 1.0.0: ")


async def test_when_the_registry_is_brought_forward_and_nobody_serves_yet(tmp_path: Path) -> None:
    async with installed(tmp_path) as box:
        status, begun = await box.api("PUT", "/api/v1/self", newer(tmp_path, both(add_migration, STALLS)))
        assert status == 202, begun
        await box.until(lambda: asyncio.to_thread(lambda: putback.schema_of(box.data / "registry.db") > schema.VERSION))
        await box.crash()
        await box.start()
        seen = await box.myself()
        assert (seen["version"], seen["busy"], current(tmp_path)) == ("1.0.0", "", "1.0.0")
        assert seen["last"]["state"] == "failed"
        assert (await box.api("GET", "/api/v1/apps/shop"))[1]["state"] == "running"
        told = "\n".join(await box.audit())
        assert "self.upgrade: failed: minipaas was stopped in the middle of it" in told
        assert "the registry went back to its copy" in told


async def test_when_the_older_registry_is_there_and_nobody_serves_yet(tmp_path: Path) -> None:
    async with installed(tmp_path, change=WAITS) as box:
        status, begun = await box.api("PUT", "/api/v1/self", newer(tmp_path, add_migration))
        assert status == 202, begun
        await box.last("done")
        await box.free()
        await box.api("POST", "/api/v1/tokens", {"name": "new", "role": "read"})
        (box.data / "wait").touch()
        status, begun = await box.api("POST", "/api/v1/self/rollback", {"lose": True})
        assert status == 202, begun
        await box.until(
            lambda: asyncio.to_thread(lambda: putback.schema_of(box.data / "registry.db") == schema.VERSION)
        )
        await stepping(box)
        await box.crash()
        (box.data / "wait").unlink()
        await box.start()
        seen = await box.myself()
        assert (seen["version"], current(tmp_path), seen["last"]["state"]) == ("2.0.0", "2.0.0", "failed")
        assert [row["name"] for row in (await box.api("GET", "/api/v1/tokens"))[1]["tokens"]] == ["new"]


# -- between two writes of one process, which no kill can be timed for


class Half:
    """A host on which version 2.0.0 was to take over from 1.0.0."""

    def __init__(self, tmp_path: Path) -> None:
        self.layout = Layout(tmp_path / "opt")
        for version in ("0.9.0", "1.0.0", "2.0.0"):
            (tree := tmp_path / version).mkdir()
            (tree / "minipaas").write_text(version)
            (tree / "minipaas").chmod(0o755)
            install(self.layout.home, tree, version)
        self.oldest, self.old, self.new = self.layout.versions()
        self.layout.restore(self.old, self.oldest)
        self.registry = tmp_path / "registry.db"
        self.story = Story(tmp_path)

    def begin(self, kind: Kind = Kind.UPGRADE) -> None:
        record = Record(kind=kind, actor="ann", origin="here", began=1.0, trial=60.0, from_schema=schema.VERSION)
        record.from_program, record.to_program, record.back_program = self.old.name, self.new.name, self.oldest.name
        self.story.begin(record)

    def state(self) -> State:
        """As it is written down."""
        record = self.story.load()
        assert record is not None
        return record.state

    def starts(self) -> str:
        """Whatever is current; which version runs in the end."""
        here = self.layout.current()
        assert here is not None
        instead = recover(self.story, Installed(self.layout, here), self.registry)
        return (instead or here).version


def test_after_the_switch_and_before_it_is_written_down(tmp_path: Path) -> None:
    half = Half(tmp_path)
    half.begin()
    half.layout.switch(half.new)
    assert half.starts() == "2.0.0"
    assert half.state() is State.TRIAL
    assert half.starts() == "1.0.0"
    assert half.state() is State.RETURNED
    assert half.layout.previous() == half.oldest
    assert half.starts() == "1.0.0"


def test_after_going_back_and_before_it_is_written_down(tmp_path: Path) -> None:
    half = Half(tmp_path)
    half.begin()
    half.layout.switch(half.new)
    half.story.end(State.TRIAL)
    half.layout.restore(half.old, half.oldest)
    assert half.starts() == "1.0.0"
    assert half.state() is State.RETURNED


@pytest.mark.parametrize("kind", [Kind.UPGRADE, Kind.ROLLBACK, Kind.RELOAD])
def test_before_anything_was_changed(tmp_path: Path, kind: Kind) -> None:
    half = Half(tmp_path)
    with_schema(half.registry, schema.VERSION)
    with_schema(half.registry.with_name("registry.db.newer"), schema.VERSION + 1)  # of long ago
    half.begin(kind)
    assert half.starts() == "1.0.0"
    assert putback.schema_of(half.registry) == schema.VERSION
    assert half.state() is State.WORKING, "told by whoever opens the registry"


def test_a_disk_that_is_full_when_the_new_one_serves_leaves_the_old_one_current(tmp_path: Path) -> None:
    half = Half(tmp_path)
    half.begin()
    wish = Handover(half.story, half.registry, (), layout=half.layout, target=half.new)
    half.layout.switch(half.new)
    wish.failed("cannot write upgrade.json", [], served=False)
    assert (half.layout.current(), half.layout.previous()) == (half.old, half.oldest)
    assert half.state() is State.FAILED


def with_schema(path: Path, number: int) -> None:
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {number:d}")
    db.close()
