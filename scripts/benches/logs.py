"""What logs cost: lines into the searchable store, a search, disk, memory, and what a flood does to the ingress."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tomli_w
from kit import counting
from kit.box import REPO, Box, wait_for
from kit.stage import Stage, stage

from benches.idle import resident_mb
from benches.rows import Row, note

WORDS = ("request", "upstream", "accepted", "closed", "retry", "cache", "database", "queue", "timeout", "payment")
LINE = 100
"""Bytes of each line of text, without Podman's time and stream."""
FLOOD = "while true; do echo a line of a service that writes as fast as it can, and then some more of it; done"


def bench_logs(runs: int, quick: bool = False) -> list[Row]:
    """All of it. `quick`: a tenth of the lines, shorter waits."""
    lines = 1_000_000 if quick else 10_000_000
    return [*_store(lines), *_box(max(1, runs), 4.0 if quick else 10.0, 50)]


def bench_counting(_: int) -> list[Row]:
    """Lines are counted, not sampled."""
    with stage() as on:
        trouble = counting.run(on.box, on.author, 20, 100_000, 10)
    for who, what in trouble.items():
        note(f"{who}: {'; '.join(what)}")
    return [Row("readers for whom lines are missing or double, of 40", [float(len(trouble))], "", 0)]


def _store(lines: int) -> list[Row]:
    """In a process of its own, on one core."""
    note(f"{lines:,} lines of {LINE} bytes into the store")
    ran = subprocess.run(
        [sys.executable, "-m", "benches.logs", str(lines)],
        cwd=REPO / "scripts",
        capture_output=True,
        text=True,
        timeout=1800,
        check=True,
    )
    told: dict[str, Any] = json.loads(ran.stdout)
    return [
        Row(
            "CPU for a line into the searchable store, on one core",
            [told["line"]],
            "us",
            20,
            f"{1e6 / told['line']:,.0f} lines/s",
        ),
        Row(f"search of a rare word in {lines:,} lines", told["searches"], "ms", 200),
        Row("  of a part of a word, which no index knows", [told["inside"]], "ms"),
        Row("disk for a byte of text", [told["disk"]], "B", 2.2),
    ]


def _box(runs: int, seconds: float, count: int) -> list[Row]:
    memory: list[float] = []
    calm: list[float] = []
    flooded: list[float] = []
    unseen: list[float] = []
    with stage() as on:
        note(f"starting {count} instances that write ten lines a second each")
        talk = 'while true; do echo "a line at $(date) of an instance that says what it does"; sleep 0.1; done'
        talkers = {"build": ".", "command": ["sh", "-c", talk], "replicas": count, "stop": "1s"}
        on.box.cli("deploy", _bundle(on, "many", {"talker": talkers}), timeout=900)
        time.sleep(15)
        memory.append(resident_mb(on.box.pid))
        on.box.cli("remove", "many", "--yes", timeout=300)
        # without a limit of CPU, which would show in the tail
        web = {"build": ".", "port": 8080, "replicas": 2, "routes": ["hello.localhost"]}
        on.box.cli("deploy", _bundle(on, "hello", {"web": web}), timeout=300)
        flood = {"build": ".", "command": ["sh", "-c", FLOOD], "cpus": 0.25, "stop": "1s"}
        bundle = _bundle(on, "flood", {"loud": flood})
        for number in range(runs):
            note(f"p99 through the ingress without and with a flood, run {number + 1} of {runs}")
            calm.append(_p99(on.box, seconds))
            on.box.cli("deploy", bundle) if not number else on.box.cli("scale", "flood/loud", "1")
            wait_for("it floods", lambda: on.box.app("flood")["state"] == "running")
            flooded.append(_p99(on.box, seconds))
            image = str(next(iter(on.podman.containers("flood").values()))["Image"])
            on.box.cli("scale", "flood/loud", "0")
            # the same, past minipaas: what Podman and two cores make of a flood that nobody reads
            past = on.podman.run(
                *("run", "--detach", "--cpus", "0.25", "--log-driver", "k8s-file", image, "sh", "-c", FLOOD)
            ).strip()
            unseen.append(_p99(on.box, seconds))
            on.podman.run("rm", "--force", "--time", "0", past)
    ratio = [loud / quiet for quiet, loud in zip(calm, flooded, strict=True)]
    ours = [loud / past for past, loud in zip(unseen, flooded, strict=True)]
    return [
        Row(f"resident memory of serve, {count} instances followed", memory, "MB", 90),
        Row("p99 through the ingress, nobody floods", calm, "ms"),
        Row("  while a service writes as fast as it can", flooded, "ms"),
        Row("  the second in the first, run by run", ratio, "", 1.5, f"median {statistics.median(ratio):.2f}"),
        Row("  while a container that minipaas does not follow does so", unseen, "ms"),
        Row("  what following adds to that, run by run", ours, "", None, f"median {statistics.median(ours):.2f}"),
    ]


def _bundle(on: Stage, name: str, services: dict[str, dict[str, Any]]) -> Path:
    source = on.source(name)
    (source / "app.toml").write_text(tomli_w.dumps({"app": {"name": name, "version": "1.0.0"}, "services": services}))
    return on.author.build(source, name)


def _p99(box: Box, seconds: float) -> float:
    """Milliseconds, at a steady rate: eight kept connections, each with a request every 100 ms."""
    took: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", box.ingress)
        due = time.perf_counter() + number * 0.012
        until = due + seconds
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            took.append(time.perf_counter() - due)  # from when it was due: what waits behind another counts
            due += 0.1
        writer.close()

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(client(number))

    asyncio.run(all_of_them())
    return 1000 * statistics.quantiles(took, n=100)[98]


def _measure(lines: int) -> dict[str, Any]:
    from minipaas.model.logs import Source, Wanted
    from minipaas.telemetry.logs.intake import Bounds, Intake
    from minipaas.telemetry.logs.lines import stamp_of
    from minipaas.telemetry.logs.reading import Reading

    chance = random.Random(1)
    source = Source(container="c" * 64, app="shop", service="web", instance="shop-web-1-1", release="sha256:1")
    with tempfile.TemporaryDirectory(prefix="minipaas-logs-") as name:
        directory = Path(name)
        path = directory / "ctr.log"
        path.touch()
        intake = Intake(directory / "logs", Bounds(quota=2 << 30, keep=1e9, rate=0))
        intake.follow({source.container: (source, str(path))})
        now, spent = time.time_ns() - lines * 20_000, 0.0
        for begin in range(0, lines, 100_000):
            batch = []
            for number in range(begin, begin + 100_000):
                now += chance.randrange(1000, 30_000)
                said = " ".join(chance.choices(WORDS, k=9))
                text = f"level=info request={chance.getrandbits(64):016x} n={number} {said}"
                batch.append(b"%s stdout F %s\n" % (stamp_of(now), text[:LINE].ljust(LINE, ".").encode()))
            fresh = path.with_name("ctr.tmp")  # as conmon does: a full file is replaced
            fresh.write_bytes(b"".join(batch))
            fresh.replace(path)
            before = time.process_time()
            intake.round(force=begin + 100_000 >= lines)
            spent += time.process_time() - before
        app = directory / "logs" / "shop"
        disk = sum(one.stat().st_size for one in app.iterdir())

        def search(text: str, found: int) -> float:
            began = time.perf_counter()
            reading = Reading(app, list(intake.tails.values()))
            lines_found = len(reading.newest(Wanted(text=text), 100).lines)
            took = 1000 * (time.perf_counter() - began)
            if lines_found != found:
                raise ValueError(f"{text!r}: {lines_found} lines found, {found} were written")
            return took

        searches = [search(f"n={chance.randrange(lines // 10, lines)} ", 1) for _ in range(9)]
        searches += [search("thisisnowhere", 0)]
        inside = search("*hisisnowher", 0)
    return {"line": 1e6 * spent / lines, "searches": searches, "inside": inside, "disk": disk / (lines * (LINE + 1))}


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
