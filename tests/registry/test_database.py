"""The file itself: made, migrated, copied, refused; whole transactions or none; the disk's failures in plain words."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minipaas.model.errors import MinipaasError, NoSpace, Refused
from minipaas.model.typed import to_json
from minipaas.registry.database import Database
from minipaas.registry.registry import Registry
from minipaas.registry.schema import APPLICATION_ID, VERSION, Schema, current
from tests.registry.made import accept, release, serve

SLOW = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0;"
"""A statement that never ends."""


def newer(*, migration: str, create: str = "") -> Schema:
    """The schema of a later minipaas."""
    return Schema(
        version=VERSION + 1,
        create=current().create + create,
        migrations=current().migrations | {VERSION + 1: migration},
    )


async def filled(path: Path) -> None:
    """A registry of this version with something in it."""
    registry = Registry.open(path)
    await serve(registry, release(1))
    await registry.close()


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """What another program reads from the file."""
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# -- the file ----------------------------------------------------------------------------------------------------------


async def test_a_fresh_registry_is_one_of_ours_private_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data" / "registry.db"
    database = Database.open(path)

    def pragmas(db: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await database.write(lambda: database.transact(pragmas)) == ["wal", 2, 1, 5000]
    assert await database.read(pragmas) == ["wal", 2, 1, 5000]
    assert rows(path, "PRAGMA user_version") == [(VERSION,)]
    assert rows(path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {
        "registry.db": "0o600",
        "registry.db-wal": "0o600",
        "registry.db-shm": "0o600",
    }
    await database.close()


async def test_closing_folds_the_log_into_the_file(tmp_path: Path) -> None:
    await filled(tmp_path / "registry.db")
    assert names(tmp_path) == ["registry.db"]


async def test_a_closed_registry_says_so(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "registry.db")
    await registry.close()
    await registry.close()
    for call in (registry.roots(), registry.note("c", boot="b")):
        with pytest.raises(MinipaasError) as caught:
            await call
        assert caught.value.code == "registry.closed"


async def test_a_write_that_fails_half_way_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "registry.db")

    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO note (container) VALUES ('half')")
        raise KeyError("half way")

    def whole(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO note (container) VALUES ('whole')")

    with pytest.raises(KeyError):
        await database.write(lambda: database.transact(half))
    await database.write(lambda: database.transact(whole))
    found = await database.read(lambda db: db.execute("SELECT container FROM note").fetchall())
    assert [tuple(row) for row in found] == [("whole",)]
    await database.close()


async def test_the_reader_cannot_write(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "registry.db")
    with pytest.raises(MinipaasError):
        await database.read(lambda db: db.execute("DELETE FROM box"))
    await database.close()


async def test_reads_go_on_while_a_write_is_under_way(tmp_path: Path) -> None:
    registry = Registry.open(tmp_path / "registry.db")
    await accept(registry, release(1))
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.create_task(registry.note("c", boot="b"), name="blocked write")
    assert [app.app for app in (await registry.desired()).apps] == ["shop"]
    assert await registry.notes() == {}
    other.execute("ROLLBACK")
    other.close()
    await write
    assert "c" in await registry.notes()
    await registry.close()


# -- versions ----------------------------------------------------------------------------------------------------------


async def test_a_migration_keeps_everything_and_leaves_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    await filled(path)
    later = newer(
        migration="ALTER TABLE note ADD COLUMN place TEXT;\nUPDATE box SET value = 'x;y' WHERE key = 'box_id';"
    )
    registry = Registry.open(path, schema=later)
    assert registry.box_id == "x;y"
    assert [app.serving for app in (await registry.desired()).apps] == [release(1)]
    await registry.close()
    assert rows(path, "PRAGMA user_version") == [(VERSION + 1,)]

    copy = tmp_path / f"registry.db.before-v{VERSION + 1}.copy"
    assert oct(copy.stat().st_mode & 0o777) == "0o600"
    assert rows(copy, "PRAGMA user_version") == [(VERSION,)]
    assert rows(copy, "SELECT version FROM release") == [("1.1",)]


async def test_a_registry_of_version_1_is_led_to_this_one(tmp_path: Path) -> None:
    """What it knew is still there, its ids go on, and a copy of it stands beside."""
    path = tmp_path / "registry.db"
    first, second = to_json(release(1)).decode(), to_json(release(2)).decode()
    db = sqlite3.connect(path)
    db.executescript((Path(__file__).parent / "schema_1.sql").read_text())
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    for number, body in ((1, first), (2, second)):
        made = release(number)
        db.execute(
            "INSERT INTO release (digest, app, version, epoch, sequence, body, accepted) "
            "VALUES (?, 'shop', ?, 1, ?, ?, 5.0)",
            (made.digest, made.version, number, body),
        )
    db.execute("INSERT INTO app VALUES ('shop', ?, ?)", (release(1).digest, release(1).digest))
    begun = "INSERT INTO change (id, app, kind, state, target, actor, started, deadline, ended) "
    for number in (6, 7):
        values = "VALUES (?, 'shop', 'deploy', 'done', ?, 'root', 1.0, 2.0, 3.0)"
        db.execute(begun + values, (number, release(1).digest))
    db.execute("DELETE FROM change WHERE id = 7")
    db.execute("INSERT INTO step (change, app, kind, title, started, ended, ok) VALUES (6, 'shop', 'K', 't', 1, 2, 1)")
    for action, subject in (("deploy", "shop 1.1 (0123)"), ("deploy", "a bundle"), ("token.add", "ci (read)")):
        db.execute(
            "INSERT INTO audit (at, actor, action, subject, origin, result) VALUES (1.0, 'a', ?, ?, 'o', 'r')",
            (action, subject),
        )
    db.commit()
    db.close()

    registry = Registry.open(path)
    assert [(app.serving, app.good) for app in (await registry.desired()).apps] == [(release(1), release(1))]
    assert [(one.id, one.tuning) for one in await registry.changes("shop", 9)] == [(6, {})]
    assert [row.title for row in await registry.journal(6)] == ["t"]
    assert [row.app for row in await registry.audit_log(9)] == [None, None, "shop"]
    assert (await accept(registry, release(3))).id == 8, "the id of a change that was let go does not come again"
    await registry.close()
    assert rows(path, "PRAGMA user_version") == [(VERSION,)]
    assert rows(path, "PRAGMA foreign_key_check") == []
    copy = tmp_path / f"registry.db.before-v{VERSION}.copy"
    assert rows(copy, "PRAGMA user_version") == [(1,)]
    assert rows(copy, "SELECT count(*) FROM release") == [(2,)]


async def test_a_newer_registry_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    await filled(path)
    await Registry.open(path, schema=newer(migration="ALTER TABLE note ADD COLUMN place TEXT;")).close()
    before = path.read_bytes()
    with pytest.raises(Refused) as caught:
        Registry.open(path)
    assert caught.value.code == "registry.newer"
    assert f"version {VERSION + 1}" in caught.value.message
    assert path.read_bytes() == before
    # And the way back that its hint names is open.
    path.write_bytes((tmp_path / f"registry.db.before-v{VERSION + 1}.copy").read_bytes())
    registry = Registry.open(path)
    assert len((await registry.desired()).apps) == 1
    await registry.close()


@pytest.mark.parametrize(
    ("migration", "why"),
    [
        ("CREATE TABLE extra (a TEXT);\nDROP TABLE no_such_table;", "no such table"),
        ("CREATE TABLE extra (a TEXT);\nDELETE FROM release;", "point nowhere"),
        ("CREATE TABLE extra (a TEXT);\nSELECT syntax error;", "syntax|no such column"),
    ],
)
async def test_a_migration_that_fails_leaves_the_registry_to_the_old_program(
    tmp_path: Path, migration: str, why: str
) -> None:
    path = tmp_path / "registry.db"
    await filled(path)
    with pytest.raises(MinipaasError, match=why):
        Registry.open(path, schema=newer(migration=migration))
    assert rows(path, "SELECT name FROM sqlite_schema WHERE name = 'extra'") == []
    registry = Registry.open(path)
    assert [app.serving for app in (await registry.desired()).apps] == [release(1)]
    await registry.close()


async def test_a_minipaas_killed_while_it_migrates_can_do_it_again(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    await filled(path)
    steps = "CREATE TABLE extra (a TEXT);\nUPDATE release SET outcome = 'moved';\n"
    script = (
        "import sys; from pathlib import Path; from tests.registry.test_database import SLOW, newer\n"
        "from minipaas.registry.registry import Registry\n"
        f"Registry.open(Path(sys.argv[1]), schema=newer(migration={steps!r} + SLOW))"
    )
    kill_while_it_migrates([sys.executable, "-c", script, str(path)], path)

    assert rows(path, "PRAGMA user_version") == [(VERSION,)]
    assert rows(path, "SELECT name FROM sqlite_schema WHERE name = 'extra'") == []
    registry = Registry.open(path, schema=newer(migration=steps))
    assert [row.outcome for row in await registry.releases("shop")] == ["moved"]
    await registry.close()


def kill_while_it_migrates(command: list[str], path: Path) -> None:
    copy = path.with_name(f"registry.db.before-v{VERSION + 1}.copy")
    child = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        end = time.monotonic() + 30
        # The migration holds the write lock from its first statement on.
        while not (copy.exists() and _locked(path)):
            assert time.monotonic() < end, "the migration never began"
            assert child.poll() is None
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()


def _locked(path: Path) -> bool:
    db = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        db.close()
    return False


# -- damage ------------------------------------------------------------------------------------------------------------


async def test_a_file_that_is_no_registry_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(MinipaasError) as caught:
        Registry.open(path)
    assert caught.value.code == "registry.foreign"
    assert path.read_bytes() == before


def garbage(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 1000)


def torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192:20480] = os.urandom(20480 - 8192)
    path.write_bytes(content)


def short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("harm", [garbage, torn, short])
async def test_a_damaged_registry_says_which_copy_to_take_and_the_copy_works(tmp_path: Path, harm: object) -> None:
    path = tmp_path / "registry.db"
    await filled(path)
    await Registry.open(path).close()  # the first start that finds a sound file makes the day's copy
    harm(path)  # type: ignore[operator]
    with pytest.raises(MinipaasError) as caught:
        Registry.open(path)
    assert caught.value.code == "registry.corrupt"
    assert "Traceback" not in caught.value.message
    copy = tmp_path / "registry.db.day.copy"
    assert f"cp {copy} {path}" in caught.value.hint

    for stale in names(tmp_path):
        if stale != copy.name:
            (tmp_path / stale).unlink()
    path.write_bytes(copy.read_bytes())
    registry = Registry.open(path)
    assert [app.serving for app in (await registry.desired()).apps] == [release(1)]
    await registry.close()


async def test_a_damaged_registry_without_a_copy_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    garbage(path)
    with pytest.raises(MinipaasError) as caught:
        Registry.open(path)
    assert caught.value.code == "registry.corrupt"
    assert "deploy" in caught.value.hint


async def test_the_daily_copy_is_made_once_a_day(tmp_path: Path) -> None:
    path, copy = tmp_path / "registry.db", tmp_path / "registry.db.day.copy"
    await filled(path)
    await Registry.open(path).close()
    first = copy.stat().st_mtime_ns
    await Registry.open(path).close()
    assert copy.stat().st_mtime_ns == first
    yesterday = time.time() - 2 * 86_400
    os.utime(copy, (yesterday, yesterday))
    registry = Registry.open(path)
    assert copy.stat().st_mtime > yesterday + 86_400

    # A box that runs for long renews it while it runs.
    assert not await registry.keep_copy()
    os.utime(copy, (yesterday, yesterday))
    await accept(registry, release(2))
    assert await registry.keep_copy()
    assert rows(copy, "SELECT version FROM release ORDER BY sequence") == [("1.1",), ("1.2",)]
    await registry.close()


async def test_a_directory_that_cannot_be_is_no_stack_trace(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "registry.db", tmp_path):
        with pytest.raises(MinipaasError, match="cannot open the registry"):
            Registry.open(path)


# -- a full disk -------------------------------------------------------------------------------------------------------


async def fill_up(database: Database) -> None:
    """Let the file grow by a little only, as on a disk that is nearly full: SQLITE_FULL, the same as for ENOSPC."""

    def limit(db: sqlite3.Connection) -> None:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + 4}")

    await database.write(lambda: database.transact(limit))


def swell(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO note (container, boot) VALUES ('big', ?)", ("x" * 200_000,))


async def test_a_full_disk_is_no_space_and_nothing_is_half_written(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "registry.db")
    await fill_up(database)
    with pytest.raises(NoSpace) as caught:
        await database.write(lambda: database.transact(swell))
    assert (caught.value.code, bool(caught.value.hint)) == ("registry.full", True)
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM note").fetchone()[0]) == 0
    await database.close()


@pytest.mark.parametrize("freed", [True, False])
async def test_a_full_disk_costs_the_ballast_before_it_costs_a_write(tmp_path: Path, freed: bool) -> None:
    asked = []

    def on_full() -> bool:
        asked.append(True)
        if freed:
            database.transact(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
        return freed

    database = Database.open(tmp_path / "registry.db", on_full=on_full)
    await fill_up(database)
    write = database.write(lambda: database.transact(swell))
    if freed:
        await write
    else:
        with pytest.raises(NoSpace):
            await write
    assert asked == [True]
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM note").fetchone()[0]) == int(freed)
    await database.close()
