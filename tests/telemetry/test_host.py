"""The machine, as it really is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from minipaas.telemetry.host import Host


def test_what_the_machine_says_is_so(tmp_path: Path) -> None:
    host = Host(tmp_path)
    first = host.read()
    sum(number * number for number in range(400_000))
    second = host.read()
    assert second.busy + second.idle > first.busy + first.idle
    assert second.tick > first.tick
    total, used, _ = shutil.disk_usage(tmp_path)
    assert second.disk_total == total
    assert second.disk_used == pytest.approx(used, rel=0.05)
    meminfo = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    assert second.memory_total == int(meminfo["MemTotal"].split()[0]) * 1024
    assert 0 < second.memory_used < second.memory_total
    assert second.cores == os.cpu_count()
    assert second.uptime == pytest.approx(float(Path("/proc/uptime").read_text().split()[0]), abs=5)
