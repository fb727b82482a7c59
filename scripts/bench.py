"""The figures: each against its target, and where there is one against a yardstick measured in the same run.

deploy   a ~200 MB app from a file to the first 200 through the ingress, against raw podman load + run;
         and the next release of it with only the app layer changed
idle     memory and CPU of `serve` with 50 healthy instances probed every 10 s; a reconcile round with nothing
         to do for 200 instances
start    `version`, `status` and `serve`, from the start of the process
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kit.box import REPO, Author, Box, BoxError, Program, fetch, free_port, prepare, terminate_cleanly, wait_for
from kit.podman import PodmanError, PrivatePodman
from kit.words import say

BIG = """\
[app]
name = "big"
version = "{version}"

[services.web]
build = "."
port = 8000
routes = ["big.localhost"]
health = {{ http = "/", interval = "1s", timeout = "2s", grace = "30s" }}
"""
BIG_CONTAINERFILE = """\
FROM localhost/debian-guestbook:bookworm
COPY ballast /opt/ballast
COPY www /www
USER 1000:1000
CMD ["python3", "-m", "http.server", "--directory", "/www", "8000"]
"""
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


class Row:
    """One figure. `limit` is what must be reached."""

    def __init__(self, what: str, values: list[float], unit: str, limit: float | None = None, beside: str = "") -> None:
        self.what = what
        self.values = values
        self.unit = unit
        self.limit = limit
        self.beside = beside

    @property
    def value(self) -> float:
        """The median of all runs."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return "reached" if self.value <= self.limit else "MISSED"

    def as_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "median": self.value,
            "values": self.values,
            "unit": self.unit,
            "limit": self.limit,
            "reached": self.limit is None or self.value <= self.limit,
            "beside": self.beside,
        }


def show(rows: list[Row], as_json: bool) -> None:
    """A table for people, or JSON."""
    if as_json:
        say(json.dumps([row.as_dict() for row in rows], indent=2))
        return
    wide = max(len(row.what) for row in rows)
    for row in rows:
        target = f"must be <= {row.limit:g} {row.unit}: {row.verdict}" if row.limit is not None else ""
        spread = f"({min(row.values):.3g} to {max(row.values):.3g})" if len(row.values) > 1 else ""
        say(f"{row.what:{wide}}  {row.value:8.3g} {row.unit:4} {spread:18} {target:40} {row.beside}".rstrip())


@contextlib.contextmanager
def first_answer(port: int, host: str, mark: str, path: str = "/") -> Iterator[Callable[[], float]]:
    """Ask every few milliseconds, beginning now; the function gives the seconds to the first 200 that holds `mark`."""
    began = time.monotonic()
    found = threading.Event()
    taken: list[float] = []

    def ask() -> None:
        while not found.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = fetch(port, path, host=host, timeout=5)
                if answer.status == 200 and mark in answer.text:
                    taken.append(time.monotonic() - began)
                    found.set()
                    return
            time.sleep(0.005)

    def seconds() -> float:
        if not found.wait(120):
            raise BoxError(f"no answer from {host or port} within 120 s")
        return taken[0]

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    try:
        yield seconds
    finally:
        found.set()
        asker.join(10)


def bench_deploy(runs: int) -> list[Row]:
    """(a) the first deploy against raw Podman, (b) the next release against the first deploy."""
    ours: list[float] = []
    raw: list[float] = []
    second: list[float] = []
    with PrivatePodman() as maker, PrivatePodman() as podman:
        author, first, then, archive = _big_app(maker)
        sent = 0.0
        for number in range(runs):
            _note(f"run {number + 1} of {runs}")
            # who goes first changes, so that neither always finds a warmer machine
            order = (_raw_once, _ours_once) if number % 2 == 0 else (_ours_once, _raw_once)
            for once in order:
                if once is _raw_once:
                    raw.append(_raw_once(podman, archive))
                else:
                    one, two = _ours_once(podman, author, first, then, number)
                    ours.append(one)
                    second.append(two)
        size = archive.stat().st_size / 1e6
        sent = first.stat().st_size / 1e6
    ratios = [a / b for a, b in zip(ours, raw, strict=True)]
    again = [b / a for a, b in zip(ours, second, strict=True)]
    return [
        Row("podman load + run, first 200", raw, "s", beside=f"image archive {size:.0f} MB"),
        Row("minipaas deploy, first 200 through the ingress", ours, "s", beside=f"bundle {sent:.0f} MB"),
        Row("  against raw Podman", ratios, "x", 1.3),
        Row("the next release, only the app layer changed", second, "s"),
        Row("  against the first deploy", again, "x", 0.25),
    ]


def _note(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _big_app(maker: PrivatePodman) -> tuple[Author, Path, Path, Path]:
    """The author, two bundles, and the first image as an archive for `podman load`."""
    _note("making a ~200 MB app")
    prepare("guestbook", maker)
    author = Author(maker.directory / "author", Program(maker))
    author.make_keys()
    source = maker.directory / "big"
    (source / "www").mkdir(parents=True)
    (source / "Containerfile").write_text(BIG_CONTAINERFILE)
    # half of it compresses, as real files do
    (source / "ballast").write_bytes(b"".join(os.urandom(8192) + bytes(8192) for _ in range(20 * 1024 * 1024 // 16384)))
    bundles = []
    for sequence, version in enumerate(("1.0.0", "2.0.0"), start=1):
        (source / "app.toml").write_text(BIG.format(version=version))
        (source / "www/index.html").write_text(f"big {version}\n")
        bundles.append(author.build(source, f"big-{version}", "--sequence", str(sequence)))
        if sequence == 1:
            archive = maker.directory / "big.tar"
            maker.run("build", "--tag", "localhost/raw-big", str(source))
            maker.run("save", "--output", str(archive), "localhost/raw-big")
    return author, bundles[0], bundles[1], archive


def _empty(podman: PrivatePodman) -> None:
    podman.run("rm", "--all", "--force", "--time", "0")
    podman.run("rmi", "--all", "--force", check=False)
    podman.run("network", "prune", "--force")
    os.sync()


def _raw_once(podman: PrivatePodman, archive: Path) -> float:
    _empty(podman)
    port = free_port()
    with first_answer(port, "", "big 1.0.0") as seconds:
        podman.run("load", "--input", str(archive))
        podman.run("run", "--detach", "--publish", f"127.0.0.1:{port}:8000", "localhost/raw-big")
        taken = seconds()
    _empty(podman)
    return taken


def _ours_once(podman: PrivatePodman, author: Author, first: Path, then: Path, number: int) -> tuple[float, float]:
    _empty(podman)
    taken = []
    with Box(podman.directory / f"box{number}", Program(podman)) as box:
        box.cli("trust", "add", author.root)
        for bundle, mark in ((first, "big 1.0.0"), (then, "big 2.0.0")):
            os.sync()
            with first_answer(box.ingress, "big.localhost", mark) as seconds:
                box.cli("deploy", bundle)
                taken.append(seconds())
    _empty(podman)
    shutil.rmtree(podman.directory / f"box{number}")
    return taken[0], taken[1]


def bench_idle(runs: int, count: int = 50, window: float = 60.0) -> list[Row]:
    """(c) memory and CPU of an idle box with many healthy instances, (d) a round with nothing to do."""
    memory: list[float] = []
    cpu: list[float] = []
    with PrivatePodman() as podman:
        program = Program(podman)
        author = Author(podman.directory / "author", program)
        author.make_keys()
        source = podman.directory / "many"
        shutil.copytree(prepare("hello", podman), source, symlinks=True)
        (source / "app.toml").write_text(MANY.format(count=count, interval="10s"))
        bundle = author.build(source, "many")
        with Box(podman.directory / "box", program) as box:
            box.cli("trust", "add", author.root)
            _note(f"starting {count} instances")
            box.cli("deploy", bundle, timeout=600)
            wait_for("all are healthy", lambda: box.app("hello")["services"][0]["healthy"] == count, seconds=120)
            time.sleep(15)
            deployed = resident_mb(box.pid)
            box.stop()
            box.start()
            wait_for("all are healthy", lambda: box.app("hello")["services"][0]["healthy"] == count, seconds=120)
            time.sleep(15)
            for number in range(runs):
                _note(f"measuring for {window:g} s, run {number + 1} of {runs}")
                before, began = cpu_seconds(box.pid), time.monotonic()
                time.sleep(window)
                cpu.append(100 * (cpu_seconds(box.pid) - before) / (time.monotonic() - began))
                memory.append(resident_mb(box.pid))
            wait_for("still healthy", lambda: box.app("hello")["services"][0]["healthy"] == count, seconds=5)
    return [
        Row(f"resident memory of serve, {count} instances, after a restart", memory, "MB", 70),
        Row("  of the process that has deployed them", [deployed], "MB", 70),
        Row(f"CPU of serve, {count} instances probed every 10 s", cpu, "%", 1.5, "of one core"),
        *_rounds(runs),
    ]


def _rounds(runs: int) -> list[Row]:
    ran = subprocess.run(
        [sys.executable, str(REPO / "scripts/rounds.py"), "--instances", "200", "--runs", str(max(runs, 20))],
        cwd=REPO,
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


def bench_start(runs: int) -> list[Row]:
    """(e) whole processes, from the sources and, where it was built, as the binary."""
    rows: list[Row] = []
    binary = REPO / "dist/minipaas"
    with PrivatePodman() as podman:
        programs = {"from the sources": Program(podman)}
        if binary.exists():
            programs["the binary"] = Program(podman, (str(binary),))
        for name, program in programs.items():
            version, status, ready = [], [], []
            for number in range(runs):
                box = Box(podman.directory / f"{name.replace(' ', '-')}-{number}", program)
                began = time.monotonic()
                box.start()
                ready.append(time.monotonic() - began)
                with contextlib.ExitStack() as stack:
                    stack.callback(box.stop)
                    version.append(_timed(program, "version"))
                    status.append(_timed(program, "status", "--to", box.url))
            rows += [
                Row(f"minipaas version, {name}", version, "s"),
                Row(f"minipaas status, {name}", status, "s", 0.3 if name == "from the sources" else None),
                Row(f"serve until page and ingress answer, {name}", ready, "s"),
            ]
    return rows


def _timed(program: Program, *args: str) -> float:
    began = time.monotonic()
    program.run(*args)
    return time.monotonic() - began


BENCHES = {"deploy": (bench_deploy, 3), "idle": (bench_idle, 1), "start": (bench_start, 5)}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=BENCHES)
    parser.add_argument("--runs", type=int, help="how often; the table shows the median")
    parser.add_argument("--json", action="store_true", help="all values, for programs")
    asked = parser.parse_args()
    terminate_cleanly()
    bench, runs = BENCHES[asked.what]
    try:
        rows = bench(asked.runs or runs)
    except (BoxError, PodmanError, OSError, subprocess.SubprocessError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    show(rows, asked.json)
    return 0 if all(row.verdict != "MISSED" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
