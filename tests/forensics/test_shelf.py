"""Capsules on disk: whole or not there, equal ones counted, room bounded, power cuts survived."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.forensics.shelf import FILES, LOG, Shelf
from minipaas.model.capsule import Capsule, CapsuleGroup, Cause
from minipaas.model.errors import Missing


def capsule(number: int, group: str = "g", app: str = "shop") -> Capsule:
    return Capsule(
        id=f"c{number}",
        group=group,
        app=app,
        service="web",
        slot=1,
        instance="minipaas-shop-web-1",
        container="0" * 64,
        release="sha256:1",
        version="1.0",
        image="sha256:2",
        cause=Cause.EXIT,
        exit_code=1,
        signal="",
        reason="exit code 1",
        at=1000.0 + number,
        ran=1.0,
        attempt=1,
        captured=1000.5 + number,
        took=0.1,
        command=("serve",),
        environment={},
        volumes={},
        last_words=(),
        log_lines=0,
        changes=(),
        changes_left_out=0,
        files_size=0,
        cores=(),
        probes=(),
        alive=None,
        figures=None,
        host=None,
        audit=(),
    )


def shelf(data: Path, *, per_app: int = 1 << 20, total: int = 1 << 20) -> Shelf:
    return Shelf(data, per_app=per_app, total=total)


def put(on: Shelf, one: Capsule, size: int = 10) -> CapsuleGroup:
    staged = on.stage(one.id)
    (staged / LOG).write_text("log\n")
    (staged / FILES).write_bytes(bytes(size))
    return on.put(staged, one)


def test_the_first_and_the_latest_are_kept(tmp_path: Path) -> None:
    on = shelf(tmp_path)
    for number in range(1, 6):
        group = put(on, capsule(number))
    assert (group.count, group.first, group.latest, group.kept) == (5, 1001.0, 1005.0, ("c1", "c5"))
    assert sorted(one.name for one in (tmp_path / "crashes/shop/g").iterdir()) == ["c1", "c5", "group.json"]
    assert on.find("c1")[1].at == 1001.0
    assert on.find("g")[1].id == "c5"
    assert on.file(group, "c5", LOG).read_text() == "log\n"
    with pytest.raises(Missing, match="cannot find a crash c3"):
        on.find("c3")


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    before = shelf(tmp_path)
    put(before, capsule(1))
    put(before, capsule(2))
    put(before, capsule(3, "other", "blog"))
    after = shelf(tmp_path)
    assert after.groups() == before.groups()
    assert [one.app for one in after.groups()] == ["blog", "shop"]
    assert after.counted("c2")
    assert not after.counted("c9")


def test_room_is_made_for_the_newest(tmp_path: Path) -> None:
    on = shelf(tmp_path, per_app=25_000, total=40_000)
    put(on, capsule(1, "a"), 10_000)
    put(on, capsule(2, "b"), 10_000)
    put(on, capsule(3, "c"), 10_000)
    assert [one.id for one in on.groups("shop")] == ["c", "b"]
    put(on, capsule(4, "d", "blog"), 10_000)
    put(on, capsule(5, "e", "blog"), 10_000)
    assert [one.id for one in on.groups()] == ["e", "d", "c"]
    assert sorted(one.name for one in (tmp_path / "crashes/shop").iterdir()) == ["c"]


def test_one_that_is_larger_than_all_room_is_kept_alone(tmp_path: Path) -> None:
    on = shelf(tmp_path, per_app=100, total=100)
    put(on, capsule(1, "a"))
    put(on, capsule(2, "b"))
    assert [one.id for one in on.groups()] == ["b"]


def test_what_a_power_cut_leaves_is_cleared(tmp_path: Path) -> None:
    on = shelf(tmp_path)
    put(on, capsule(1))
    on.stage("half")
    place = tmp_path / "crashes/shop"
    (place / "g/c2").mkdir()
    (place / "g/c2/capsule.json").write_text("{}")
    (place / "torn").mkdir()
    (place / "torn/group.json").write_text('{"id": "to')
    (place / "g/group.json.new").write_text("{")
    again = shelf(tmp_path)
    assert [one.kept for one in again.groups()] == [("c1",)]
    assert sorted(one.name for one in place.iterdir()) == ["g"]
    assert not (place / "g/c2").exists()
    assert not (tmp_path / "crashes/.staging").exists()


def test_removing(tmp_path: Path) -> None:
    on = shelf(tmp_path)
    for number in (1, 2):
        put(on, capsule(number))
    put(on, capsule(3, "h"))
    assert on.remove("c1") == 1
    assert on.groups()[1].kept == ("c2",)
    assert on.remove("c2") == 1
    assert on.remove("h") == 1
    assert on.groups() == []
    with pytest.raises(Missing):
        on.remove("h")
    assert list((tmp_path / "crashes/shop").iterdir()) == []
