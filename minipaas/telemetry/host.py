"""The machine itself, as psutil sees it. Blocking, though quick: for a thread."""

from __future__ import annotations

import os
import time
from pathlib import Path

from msgspec import Struct

_VIRTUAL = ("lo", "veth", "podman", "cni", "docker", "br-", "virbr", "tap", "tun")


class HostReading(Struct, frozen=True, kw_only=True):
    """Counters and gauges of one instant."""

    tick: float
    """Monotonic seconds."""
    busy: float
    """Seconds of CPU time of all cores since the boot."""
    idle: float
    cores: int
    memory_used: int
    memory_total: int
    disk_used: int
    disk_total: int
    load: tuple[float, float, float]
    uptime: float
    received: int
    sent: int


class Host:
    """Reads the machine; `data`: whose file system is meant."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def read(self) -> HostReading:
        """Now. Raises OSError when /proc is not there."""
        import psutil

        cpu = psutil.cpu_times()
        # guest time is part of user time (proc_stat(5)); waiting for a disk leaves the core free
        idle = cpu.idle + getattr(cpu, "iowait", 0.0)
        busy = cpu.user + cpu.nice + cpu.system + cpu.irq + cpu.softirq + cpu.steal
        memory = psutil.virtual_memory()
        disk = os.statvfs(self._data)
        received, sent = self._network()
        return HostReading(
            tick=time.monotonic(),
            busy=busy,
            idle=idle,
            cores=os.cpu_count() or 1,
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_used=(disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            disk_total=disk.f_blocks * disk.f_frsize,
            load=os.getloadavg(),
            uptime=max(0.0, time.time() - psutil.boot_time()),
            received=received,
            sent=sent,
        )

    @staticmethod
    def _network() -> tuple[int, int]:
        """Bytes in and out over the real interfaces: what runs over bridges and veth pairs would be counted twice."""
        import psutil

        cards = psutil.net_io_counters(pernic=True)
        real = [name for name in cards if Path(f"/sys/class/net/{name}/device").exists()]
        names = real or [name for name in cards if not name.startswith(_VIRTUAL)]
        return sum(cards[name].bytes_recv for name in names), sum(cards[name].bytes_sent for name in names)
