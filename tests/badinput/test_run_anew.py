"""Restarts, scalings and looks that cannot be: a clear word each, and the app does not notice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.badinput.conftest import trust
from tests.badinput.live import LiveBox, told
from tests.badinput.shop import forge
from tests.boxes import toml

DB = '[services.db]\nimage = "x"\nport = 5432\nvolumes = { data = "/data" }\n'


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBox]:
    """A box on which `shop` 1.0 serves, with a volume."""
    with LiveBox(tmp_path_factory.mktemp("box")) as one:
        trust(one)
        text = toml("shop", "1.0", extra=DB)
        made = forge(version="1.0", sequence=100, app_toml=text, services=("web", "db"))
        assert one.deploy(made.build())["state"] == "done"
        yield one


WRONG: dict[str, tuple[tuple[str, ...], int, str]] = {
    "a service that is not there": (
        ("restart", "shop/www"),
        4,
        "cannot restart shop/www: shop 1.0 has no such service",
    ),
    "an app that is not there": (("restart", "till"), 4, "cannot find app till"),
    "a service with a volume": (("scale", "shop/db", "2"), 3, "cannot scale shop/db: it holds a volume"),
    "the same, only looked at": (("scale", "shop/db", "2", "--dry-run"), 3, "cannot scale shop/db: it holds a volume"),
    "too many": (("scale", "shop/web", "65"), 2, "cannot scale shop/web to 65: it takes 0 to 64"),
    "too many, only looked at": (
        ("scale", "shop/web", "65", "--dry-run"),
        2,
        "cannot scale shop/web to 65: it takes 0 to 64",
    ),
    "a look back at nothing": (("rollback", "shop", "--dry-run"), 4, "cannot roll back shop: no earlier release"),
    "a removal of nothing": (("remove", "till", "--volumes", "--yes"), 4, "cannot find app till"),
    "a diff of one": (("diff", "shop"), 4, "cannot compare shop 1.0: there is no other release"),
    "a diff with nothing": (("diff", "shop", "0.1", "1.0"), 4, "cannot find release 0.1 of shop"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done(mine: LiveBox, name: str) -> None:
    args, code, words = WRONG[name]
    running, changes = sorted(mine.fake.running), len(mine.ask("GET", "/api/v1/changes").json["changes"])
    told(mine.cli(*args), code, words)
    assert sorted(mine.fake.running) == running
    assert len(mine.ask("GET", "/api/v1/changes").json["changes"]) == changes
    assert mine.get()[0] == 200


def test_a_bundle_that_is_refused_is_refused_when_it_is_only_looked_at(mine: LiveBox, tmp_path: Path) -> None:
    file = tmp_path / "old.bundle"
    file.write_bytes(forge(version="0.9", sequence=50).build())
    told(mine.cli("deploy", file, "--dry-run"), 3, "cannot accept ", "sequence 50")
    assert mine.ask("GET", "/api/v1/held").json == {"held": []}
    assert list((mine.data / "staging").iterdir()) == []


def test_a_yes_to_nothing(mine: LiveBox) -> None:
    answer = mine.ask("POST", "/api/v1/held/0123456789abcdef/deploy")
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["hint"]) == (
        404,
        "held.missing",
        "send it again",
    )
