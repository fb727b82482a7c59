"""What is kept of leases, and for how long."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from minipaas.forensics.kept import Kept
from minipaas.model.errors import Missing
from tests.forensics.made import DAY, lease


async def test_the_newest_come_first_also_of_one_app(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "access", 10**6, DAY)
    for number, app in ((16, "shop"), (17, "blog"), (18, "shop")):
        await kept.add(lease(number, app=app))
    assert [int(one.started) for one in await kept.newest(10)] == [18, 17, 16]
    assert [int(one.started) for one in await kept.newest(1)] == [18]
    assert [int(one.started) for one in await kept.newest(10, "blog")] == [17]
    assert [int(one.started) for one in await kept.newest(10, before=lease(18).id)] == [17, 16]
    assert [int(one.started) for one in await kept.newest(10, "shop", lease(18).id)] == [16]
    assert await kept.get(lease(17).id) == lease(17, app="blog")
    assert await kept.get(lease(19).id) is None
    await kept.add(lease(19))
    assert await kept.get(lease(19).id) == lease(19)


async def test_nothing_is_kept_yet(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "access", 10**6, DAY)
    assert await kept.newest(10) == []
    with pytest.raises(Missing, match="no recording"):
        await kept.recording("000000100001")


async def test_the_oldest_make_room(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "access", 250_000, DAY)
    for number in range(16, 21):
        recording = kept.record(lease(number))
        recording.begin(80, 24, "sh")
        recording.output(b"x" * 100_000)
        recording.close()
        await kept.add(lease(number, recording=True))
    assert [int(one.started) for one in await kept.newest(10)] == [20, 19]
    assert sum(path.stat().st_size for path in (tmp_path / "access").iterdir()) <= 250_000


async def test_what_is_old_goes(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "access", 10**6, 100.0)
    for number in (16, 1000):
        await kept.add(lease(number, ended=float(number + 1)))
    assert [int(one.started) for one in await kept.newest(10)] == [1000]


async def test_a_damaged_file_hides_no_other(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "access", 10**6, DAY)
    await kept.add(lease(16))
    (tmp_path / "access" / "000000110001.json").write_bytes(b"{")
    assert [int(one.started) for one in await kept.newest(10)] == [16]


async def test_nobody_else_may_read_them(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "access", 10**6, DAY)
    kept.record(lease(16))
    await kept.add(lease(16))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "access").iterdir()}
    assert (stat.S_IMODE((tmp_path / "access").stat().st_mode), modes) == (0o700, {0o600})


async def test_a_recording_is_an_asciicast(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "access", 10**6, DAY)
    recording = kept.record(lease(16))
    recording.begin(100, 30, "sh")
    recording.output("grün".encode()[:3])
    recording.output("grün".encode()[3:])
    recording.resize(80, 24)
    recording.close()
    header, *events = [msgspec.json.decode(line) for line in (await kept.recording(lease(16).id)).splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 100, 30)
    assert [event[1:] for event in events] == [["o", "gr"], ["o", "ün"], ["r", "80x24"]]
