"""Uploads: so many at a time, and whoever stalls or goes away leaves neither files nor threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minipaas.control.intake import AT_ONCE, BY_SIGNATURE, WAITING
from minipaas.model.change import ChangeState
from minipaas.model.errors import MinipaasError
from tests.boxes import RunningBox, running_box, toml
from tests.bundle.builders import make_bundle
from tests.fakepodman.server import FakePodman


class Stalled:
    """An upload that sends its first half and then waits until it is told to go on."""

    def __init__(self, box: RunningBox, data: bytes, *, by_signature: bool = False) -> None:
        self.go_on = asyncio.Event()
        self.begun = asyncio.Event()
        self._data = data
        self.task = asyncio.create_task(
            box.control.receive_bundle(self._chunks(), len(data), actor="t", origin="t", by_signature=by_signature),
            name="stalled upload",
        )

    async def _chunks(self) -> AsyncIterator[bytes]:
        half = len(self._data) // 2
        self.begun.set()
        yield self._data[:half]
        await self.go_on.wait()
        yield self._data[half:]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def bundle(tmp_path: Path, app: str, sequence: int = 99) -> bytes:
    text = toml(app, routes=f'"{app}.local"')
    path = make_bundle(tmp_path, name=f"{app}.bundle", app=app, sequence=sequence, app_toml=text, services=("web",))
    return path.read_bytes()


def upload_threads() -> int:
    return sum(thread.name.startswith("upload") for thread in threading.enumerate())


async def test_so_many_uploads_at_a_time_and_the_next_one_gets_its_turn(started: RunningBox, tmp_path: Path) -> None:
    before = upload_threads()
    stalled = [Stalled(started, bundle(tmp_path, f"app{number}")) for number in range(AT_ONCE + 3)]
    for one in stalled[:AT_ONCE]:
        await one.begun.wait()
    assert not any(one.begun.is_set() for one in stalled[AT_ONCE:])
    assert upload_threads() - before <= AT_ONCE
    for one in stalled:
        one.go_on.set()
    changes = [await started.ended(await one.task) for one in stalled]
    assert {change.state for change in changes} == {ChangeState.DONE}


async def test_too_many_are_told_so_at_once_and_nothing_is_audited(started: RunningBox, tmp_path: Path) -> None:
    data = bundle(tmp_path, "app")
    stalled = [Stalled(started, data) for _ in range(AT_ONCE + WAITING)]
    await stalled[AT_ONCE - 1].begun.wait()
    await asyncio.sleep(0)
    with pytest.raises(MinipaasError) as caught:
        await started.control.receive_bundle(stalled[0]._chunks(), len(data), actor="t", origin="t")
    assert caught.value.code == "upload.busy"
    assert "upload.busy" not in (await started.control.registry.audit_log(1))[0].result
    for one in stalled:
        await one.end()


async def test_those_with_nothing_but_a_signature_do_not_keep_others_out(started: RunningBox, tmp_path: Path) -> None:
    strangers = [Stalled(started, bundle(tmp_path, "strange"), by_signature=True) for _ in range(BY_SIGNATURE + 2)]
    await strangers[0].begun.wait()
    change = await started.send_file(tmp_path / "strange.bundle")
    assert change.app == "strange"
    for one in strangers:
        await one.end()


async def test_whoever_goes_away_leaves_nothing(started: RunningBox, tmp_path: Path) -> None:
    for number in range(2 * AT_ONCE):
        one = Stalled(started, bundle(tmp_path, f"app{number}"))
        await one.begun.wait()
        await one.end()
    assert not list((tmp_path / "data" / "staging").iterdir())
    assert (await started.deploy(toml())).state is ChangeState.DONE, "and the turns are free"


async def test_a_box_stops_although_uploads_are_under_way(fake: FakePodman, tmp_path: Path) -> None:
    async with asyncio.timeout(60):
        async with running_box(fake, tmp_path) as box:
            await box.trust()
            stalled = [Stalled(box, bundle(tmp_path, f"app{number}")) for number in range(AT_ONCE + 1)]
            await stalled[0].begun.wait()
        await asyncio.gather(*(one.end() for one in stalled))
