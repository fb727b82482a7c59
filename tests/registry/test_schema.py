"""The schema is documentation that is true, and every way to it ends at the same place."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from minipaas.model.change import ACTIVE, ChangeKind, ChangeState
from minipaas.registry.database import statements
from minipaas.registry.schema import VERSION, current

HERE = Path(__file__).parent


def fresh() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.executescript(current().create)
    return db


def test_the_script_splits_into_the_statements_that_it_is() -> None:
    split = sqlite3.connect(":memory:")
    for statement in statements(current().create):
        split.execute(statement)
    query = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
    assert split.execute(query).fetchall() == fresh().execute(query).fetchall()


def test_every_table_is_strict_and_explained() -> None:
    text = current().create
    tables = re.findall(r"^CREATE TABLE (\w+)", text, re.M)
    assert len(tables) > 5
    strict = {row[1] for row in fresh().execute("PRAGMA table_list") if row[5]}
    assert strict == set(tables)
    for table in tables:
        before = text[: text.index(f"CREATE TABLE {table} ")].rstrip()
        assert before.splitlines()[-1].startswith("-- "), f"{table} has no comment"


def test_the_words_of_a_change_are_those_of_the_model() -> None:
    [sql] = [row[0] for row in fresh().execute("SELECT sql FROM sqlite_schema WHERE name = 'change'")]
    lists = [tuple(re.findall(r"'(\w+)'", words)) for words in re.findall(r"IN \(([^)]*)\)", sql)]
    assert set(lists[0]) == {kind.value for kind in ChangeKind}
    assert set(lists[1]) == {state.value for state in ChangeState}
    assert set(lists[2]) == {state.value for state in ACTIVE}


def test_every_version_has_its_migration() -> None:
    assert sorted(current().migrations) == list(range(2, VERSION + 1))


def _meaning(db: sqlite3.Connection) -> dict[str, str]:
    """By name, the SQL of everything, without comments, line breaks and quotes."""
    rows = db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    plain = {name: re.sub(r"--[^\n]*", "", sql).replace('"', "") for name, sql in rows}
    return {name: re.sub(r"\s*([(),])\s*", r"\1", " ".join(sql.split())) for name, sql in plain.items()}


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_old_registry_and_a_fresh_one_end_at_the_same_schema(version: int) -> None:
    old = sqlite3.connect(":memory:")
    old.executescript((HERE / f"schema_{version}.sql").read_text())
    for number in range(version + 1, VERSION + 1):
        for statement in statements(current().migrations[number]):
            old.execute(statement)
    assert _meaning(old) == _meaning(fresh())


def test_no_foreign_key_is_without_an_index() -> None:
    """Else letting old rows go would read whole tables."""
    db = fresh()
    for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        for key in db.execute(f"PRAGMA foreign_key_list({table})").fetchall():
            plan = db.execute(f"EXPLAIN QUERY PLAN SELECT 1 FROM {table} WHERE {key[3]} = 1").fetchall()
            small = table in ("app", "floor")
            assert small or "SEARCH" in plan[0][3], f"{table}.{key[3]}: {plan[0][3]}"
