"""What containers use: from cgroup files as kernels write them, and from Podman where there are none."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minipaas.engine.calls import Calls
from minipaas.engine.engine import Engine
from minipaas.engine.stats import Stats
from minipaas.model.errors import EngineDown
from minipaas.model.usage import Usage
from tests.engine.conftest import launch_one, make_launch
from tests.fakepodman import FakePodman

ID = "ab" * 32
NET = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9999999     410    0    0    0     0          0         0  9999999       8    0    0    0     0       0          0
  eth0:   33644     410    0    0    0     0          0         0      656       8    0    0    0     0       0          0
  eth1:     100       1    0    0    0     0          0         0       10       1    0    0    0     0       0          0
"""  # noqa: E501 - as the kernel writes it


class Kernel:
    """A /proc and a /sys/fs/cgroup of files."""

    def __init__(self, directory: Path) -> None:
        self.proc = directory / "proc"
        self.cgroups = directory / "cgroup"

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def process(self, pid: int, cgroup: str) -> None:
        self.write(self.proc / str(pid) / "cgroup", cgroup)
        self.write(self.proc / str(pid) / "net/dev", NET)

    def unified(self, path: str, **files: str) -> None:
        usual = {
            "cpu.stat": "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n",
            "memory.current": "9000000\n",
            "memory.stat": "anon 5\ninactive_file_not 7\ninactive_file 1000000\n",
            "memory.peak": "12000000\n",
            "memory.events": "low 0\noom 4\noom_kill 3\noom_group_kill 1\n",
            "pids.current": "6\n",
            "io.stat": "8:0 rbytes=100 wbytes=7 rios=1 wios=1 dbytes=0 dios=0\n8:16 rbytes=11 wbytes=1\n",
        }
        for name, text in (usual | files).items():
            self.write(self.cgroups / path / name, text)

    def hierarchies(self, path: str) -> None:
        for name, text in {
            "cpuacct/{}/cpuacct.usage": "2500000000\n",
            "memory/{}/memory.usage_in_bytes": "9000000\n",
            "memory/{}/memory.max_usage_in_bytes": "12000000\n",
            "memory/{}/memory.stat": "inactive_file 5\ntotal_inactive_file 1000000\n",
            "memory/{}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
            "pids/{}/pids.current": "6\n",
            "blkio/{}/blkio.throttle.io_service_bytes": "8:0 Read 100\n8:0 Write 8\n8:0 Total 108\n"
            "8:16 Read 11\nTotal 119\n",
        }.items():
            self.write(self.cgroups / name.format(path), text)


EXPECTED = Usage(
    cpu=2.5, memory=8_000_000, peak=12_000_000, received=33744, sent=666, read=111, written=8, pids=6, ooms=3
)
V1 = "\n".join(
    f"{number}:{names}:/libpod_parent/libpod-{ID}"
    for number, names in ((9, "name=systemd"), (8, "pids"), (7, "blkio"), (4, "memory"), (2, "cpu,cpuacct"), (0, ""))
)


@pytest.fixture
async def calls(fake: FakePodman) -> AsyncIterator[Calls]:
    made = Calls(fake.socket)
    yield made
    await made.close()


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


@pytest.fixture
def stats(kernel: Kernel, calls: Calls) -> Stats:
    return Stats(calls, proc=kernel.proc, cgroups=kernel.cgroups)


@pytest.mark.parametrize(
    ("own", "inside"),
    [
        (f"machine.slice/libpod-{ID}.scope", ""),
        (f"machine.slice/libpod-{ID}.scope", "/container"),
        (f"user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", "/init.scope"),
        (f"libpod_parent/libpod-{ID}", ""),
    ],
)
async def test_cgroups_v2(kernel: Kernel, stats: Stats, own: str, inside: str) -> None:
    kernel.process(7, f"0::/{own}{inside}\n")
    kernel.unified(own)
    assert await stats.read({ID: 7}) == {ID: EXPECTED}


async def test_cgroups_v1(kernel: Kernel, stats: Stats) -> None:
    kernel.process(7, V1)
    kernel.hierarchies(f"libpod_parent/libpod-{ID}")
    assert await stats.read({ID: 7}) == {ID: EXPECTED}


async def test_one_that_has_ended_is_told_of_as_long_as_its_cgroup_is_there(kernel: Kernel, stats: Stats) -> None:
    own = f"machine.slice/libpod-{ID}.scope"
    kernel.process(7, f"0::/{own}\n")
    kernel.unified(own)
    assert stats.one(ID, 7) == EXPECTED
    await stats.read({ID: 7})
    shutil.rmtree(kernel.proc / "7")
    ended = stats.one(ID, None)
    assert ended is not None and ended.peak == EXPECTED.peak
    shutil.rmtree(kernel.cgroups / own)
    assert stats.one(ID, None) is None
    assert stats.one(ID, 7) is None


async def test_what_a_kernel_does_not_tell_is_not_known(kernel: Kernel, stats: Stats) -> None:
    """No memory.peak before Linux 5.19; io and pids only where they are delegated."""
    own = f"user.slice/libpod-{ID}.scope"
    kernel.process(7, f"0::/{own}\n")
    kernel.unified(own)
    for name in ("memory.peak", "pids.current"):
        (kernel.cgroups / own / name).unlink()
    (kernel.proc / "7/net/dev").unlink()
    found = (await stats.read({ID: 7}))[ID]
    assert (found.peak, found.pids, found.received, found.sent) == (None, None, None, None)
    assert found.memory == 8_000_000


async def test_a_process_id_that_went_to_somebody_else_tells_nothing(kernel: Kernel, stats: Stats) -> None:
    kernel.process(7, "0::/user.slice/somebody.scope\n")
    kernel.unified("user.slice/somebody.scope")
    assert await stats.read({ID: 7}) == {}


async def test_a_container_that_has_ended_is_left_out(kernel: Kernel, stats: Stats) -> None:
    own = f"machine.slice/libpod-{ID}.scope"
    kernel.process(7, f"0::/{own}\n")
    kernel.unified(own)
    await stats.read({ID: 7})
    (kernel.cgroups / own / "cpu.stat").unlink()
    assert await stats.read({ID: 7}) == {}


async def test_a_container_that_was_started_anew_is_looked_for_again(kernel: Kernel, stats: Stats) -> None:
    for pid, cpu in ((7, 1), (8, 4)):
        own = f"machine.slice/libpod-{ID}-{pid}.scope"
        kernel.process(pid, f"0::/{own}\n")
        kernel.unified(own, **{"cpu.stat": f"usage_usec {cpu}000000\n"})
        assert (await stats.read({ID: pid}))[ID].cpu == cpu


async def test_podman_is_asked_for_what_is_not_on_this_kernel(engine: Engine, fake: FakePodman) -> None:
    container = await launch_one(engine, make_launch(fake.add_image()))
    fake.use(container, cores=0.0, memory=5000, received=70, sent=3, pids=4)
    await engine.observe()
    found = await engine.usage()
    assert found == {container: Usage(cpu=0.0, memory=5000, received=70, sent=3, read=0, written=0, pids=4)}
    assert fake.calls["GET containers/stats"] == 1


async def test_an_idle_box_asks_nobody(engine: Engine, fake: FakePodman) -> None:
    await engine.observe()
    assert await engine.usage() == {}
    assert fake.calls["GET containers/stats"] == 0


async def test_podman_that_is_away_is_an_error_with_a_word(engine: Engine, fake: FakePodman) -> None:
    await launch_one(engine, make_launch(fake.add_image()))
    await engine.observe()
    fake.down()
    with pytest.raises(EngineDown, match="cannot"):
        await engine.usage()
