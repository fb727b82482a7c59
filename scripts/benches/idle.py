"""What a box costs that has nothing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from kit.box import REPO, BoxError, wait_for
from kit.stage import stage

from benches.rows import Row, note

MANY = """\
[app]
name = "hello"
version = "1.0.0"

[services.web]
build = "."
port = 8080
replicas = {count}
routes = ["hello.localhost"]
health = {{ http = "/", interval = "{interval}", timeout = "3s", grace = "60s" }}
"""


def bench_idle(runs: int, count: int = 50, window: float = 60.0) -> list[Row]:
    """(c) memory and CPU of an idle box with many healthy instances, (d) a round with nothing to do."""
    memory: list[float] = []
    cpu: list[float] = []
    engine: list[float] = []
    with stage() as on:
        box = on.box
        source = on.source("many")
        (source / "app.toml").write_text(MANY.format(count=count, interval="10s"))
        note(f"starting {count} instances")
        box.cli("deploy", on.author.build(source, "many"), timeout=600)
        wait_for("all are healthy", lambda: box.app("hello")["services"][0]["healthy"] == count, seconds=120)
        time.sleep(15)
        deployed = resident_mb(box.pid)
        box.stop()
        box.start()
        wait_for("all are healthy", lambda: box.app("hello")["services"][0]["healthy"] == count, seconds=120)
        time.sleep(15)
        for number in range(runs):
            note(f"measuring for {window:g} s, run {number + 1} of {runs}")
            before, engine_before, began = cpu_seconds(box.pid), cpu_seconds(on.podman.pid), time.monotonic()
            time.sleep(window)
            took = time.monotonic() - began
            cpu.append(100 * (cpu_seconds(box.pid) - before) / took)
            engine.append(100 * (cpu_seconds(on.podman.pid) - engine_before) / took)
            memory.append(resident_mb(box.pid))
        wait_for("still healthy", lambda: box.app("hello")["services"][0]["healthy"] == count, seconds=5)
    return [
        Row(f"resident memory of serve, {count} instances, after a restart", memory, "MB", 70),
        Row("  of the process that has deployed them", [deployed], "MB", 70),
        Row(f"CPU of serve, {count} instances probed and measured every 10 s", cpu, "%", 1.5, "of one core"),
        Row("  of Podman's service meanwhile", engine, "%", beside="of one core"),
        *_rounds(runs),
    ]


def _rounds(runs: int) -> list[Row]:
    ran = subprocess.run(
        [sys.executable, "-m", "benches.rounds", "--instances", "200", "--runs", str(max(runs, 20))],
        cwd=REPO / "scripts",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if ran.returncode != 0:
        raise BoxError(f"the reconcile rounds failed:\n{ran.stdout}{ran.stderr}")
    return [Row("a reconcile round with nothing to do, 200 instances", json.loads(ran.stdout), "ms", 50, "own CPU")]


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Resident memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise BoxError(f"process {pid} has no memory of its own")
