"""The loop when things go wrong: one app's trouble is not another's, and no trouble is told without end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection

import pytest

from minipaas.model.change import ChangeState
from tests.boxes import RunningBox, running_box, toml
from tests.control.test_lanes import by_hand, quiet
from tests.fakepodman.server import FakePodman


async def in_registry(box: RunningBox, work: Callable[[Connection], object]) -> None:
    """Do something to the registry's file, as a stranger with sqlite3 could."""
    database = box.control.registry._database
    await database.write(lambda: database.transact(work))


async def test_a_settled_box_is_quiet(started: RunningBox) -> None:
    await started.deploy(toml(replicas=3))
    await quiet(started)


async def test_podman_that_is_away_is_told_once(started: RunningBox, caplog: pytest.LogCaptureFixture) -> None:
    await started.deploy(toml())
    with caplog.at_level(logging.INFO, "minipaas.control"):
        started.fake.down()
        await started.until(lambda: started.control.trouble)
        await asyncio.sleep(3)
        started.fake.up()
        await started.until(lambda: not started.control.trouble)
    told = [record.getMessage() for record in caplog.records if record.name == "minipaas.control.reconcile"]
    assert [text.split(":")[0] for text in (told[0], told[-1])] == ["cannot reconcile", "reconciling again"]
    # It may hear a closed connection first and find no socket then: each is told, none twice in three seconds of both.
    assert len(set(told)) == len(told)


async def test_an_app_that_cannot_be_planned_holds_up_no_other(started: RunningBox) -> None:
    await started.deploy(toml())
    spoilt = "UPDATE change SET state = 'rolling', target = NULL, ended = NULL WHERE app = 'shop'"
    await in_registry(started, lambda db: [db.execute("PRAGMA ignore_check_constraints = ON"), db.execute(spoilt)])
    other = await started.ended(await started.send(toml("two", routes='"two.local"'), app="two"))
    assert other.state is ChangeState.DONE
    assert (await started.get("two.local"))[0] == 200
    assert (await started.get())[0] == 200, "and what ran goes on"


async def test_a_full_disk_keeps_no_app_down_and_loses_no_change(started: RunningBox) -> None:
    """The registry can take nothing in (its pages are counted out): instances are replaced all the same, and what was
    being rolled out goes on when there is room again."""
    await started.deploy(toml())

    async def pages(most: str) -> None:
        await in_registry(started, lambda db: db.execute(f"PRAGMA max_page_count = {most}").fetchall())

    change = await started.send(toml(version="2.0", fake="start_delay=2").replace("500ms", "1m"), version="2.0")
    await started.until(lambda: "minipaas-shop-web-1-2" in started.running())
    filler = "INSERT INTO box (key, value) VALUES (hex(randomblob(8)), hex(zeroblob(3000)))"
    await pages("1")
    for _ in range(3):
        try:
            await in_registry(started, lambda db: db.execute(filler))
        except Exception as error:
            assert "full" in str(error)
    started.fake.crash("minipaas-shop-web-1-1")
    await started.until(lambda: "minipaas-shop-web-1-3" in started.running())
    await asyncio.sleep(3)
    await pages("1000000")
    assert (await started.ended(change)).state is ChangeState.DONE


async def test_a_container_that_is_removed_by_hand_is_made_anew(started: RunningBox) -> None:
    await started.deploy(toml())
    await by_hand(started, "DELETE", "containers/minipaas-shop-web-1-1?force=true")
    await started.until(lambda: started.fake.running == ["minipaas-shop-web-1-1"])
    await started.until(started.running)


async def test_a_network_that_is_removed_in_the_middle_is_made_again(started: RunningBox) -> None:
    await started.deploy(toml())
    await by_hand(started, "DELETE", "containers/minipaas-shop-web-1-1?force=true")
    started.fake.world.state.networks.clear()
    await started.until(lambda: started.fake.running)
    assert [name.startswith("minipaas-shop-") for name in started.fake.networks] == [True]


async def test_two_boxes_on_one_podman_leave_each_other_alone(fake: FakePodman, tmp_path: Path) -> None:
    here, there = tmp_path / "a", tmp_path / "b"
    here.mkdir()
    there.mkdir()
    async with running_box(fake, here) as one, running_box(fake, there) as other:
        await one.trust()
        await other.trust()
        await one.deploy(toml())
        await other.ended(await other.send(toml("two", routes='"two.local"'), app="two"))
        taken = await other.ended(await other.send(toml(routes='"else.local"')))
        assert taken.state is ChangeState.FAILED
        assert "there is a container of that name" in taken.reason or "in use" in taken.reason
        change = await other.control.remove("two", purge=True, actor="test", origin="test")
        assert (await other.ended(change)).state is ChangeState.DONE
        assert (await one.get())[0] == 200
        assert fake.running == ["minipaas-shop-web-1-1"]
