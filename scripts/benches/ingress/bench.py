"""`scripts/bench ingress`: all proxies run at once and are asked in turn, round after round, so that what else happens
on the machine meets them all alike."""

from __future__ import annotations

import argparse
import contextlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kit.box import BoxError

from benches.ingress.cases import APP, CASES, ECHO, IDLE, Round, names
from benches.ingress.load import Load
from benches.ingress.peers import OURS, STARTERS, Peer, Site, minipaas
from benches.ingress.report import Report
from benches.ingress.started import Cores, Started, all_stopped, files_allowed, tool
from benches.ingress.upstream import Upstream, compiled
from benches.rows import note

ROUNDS, SECONDS = 3, 2.0
SPARE = 2000
"""Files that a proxy may need beside those of idle connections."""


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--quick", action="store_true", help="one second each, and one round without --runs")
    parser.add_argument("--case", action="append", choices=CASES, help="only this case; may be given again")
    parser.add_argument("--peer", action="append", choices=STARTERS, help="only beside this one; may be given again")


def bench_ingress(asked: argparse.Namespace) -> bool:
    """Measure and print; whether all that must be reached is."""
    rounds, seconds = (asked.runs or 1, 1.0) if asked.quick else (asked.runs or ROUNDS, SECONDS)
    chosen = {name: CASES[name] for name in asked.case or CASES}
    others = [name for name in STARTERS if name in (asked.peer or STARTERS)]
    directory = Path(tempfile.mkdtemp(prefix="minipaas-bench-"))
    programs: list[Started] = []
    try:
        with all_stopped(programs), contextlib.ExitStack() as stack:
            files = files_allowed()
            cores = Cores()
            load_program = compiled(directory)
            upstream = Upstream(directory, cores, files, load_program, programs)
            certificate = _certificate(directory)

            def site(hosts: Mapping[str, int]) -> Site:
                return Site(directory, hosts, certificate, cores, files)

            peers = _started(site({APP: upstream.port, ECHO: upstream.echo}), others, programs, stack)
            many: dict[str, Peer] = {}
            few: dict[str, Peer] = {}
            if "routes" in chosen:
                wanted = [name for name in others if name in CASES["routes"].peers]
                all_hosts = {f"app{number}.local": upstream.port for number in range(200)}
                few = _started(site({APP: upstream.port}), wanted, programs, stack)
                many = _started(site(all_hosts), wanted, programs, stack)
            idle = min(IDLE, files - SPARE)
            at = Round(Load(load_program, directory, cores), seconds, idle, many, few)
            report = Report(_host(), str(cores), {p.name: p.version for p in peers.values()}, rounds, seconds)
            for name, case in chosen.items():
                note(case.title if name != "idle" else f"{idle:,} idle connections")
                for number in range(min(rounds, case.rounds or rounds)):
                    for peer in _in_turn([peers[one] for one in names(case, tuple(peers))], number):
                        report.add(name, peer.name, case.measure(at, peer))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    report.print(asked.json)
    return report.good


def _started(
    site: Site, others: Sequence[str], programs: list[Started], stack: contextlib.ExitStack
) -> dict[str, Peer]:
    note(f"starting minipaas, {', '.join(others)} with {len(site.hosts)} route(s)")
    ours = stack.enter_context(minipaas(site))
    return {OURS: ours, **{name: STARTERS[name](site, programs) for name in others}}


def _in_turn(peers: list[Peer], number: int) -> Iterator[Peer]:
    """Another one begins each round."""
    start = number % len(peers)
    yield from peers[start:] + peers[:start]


def _certificate(directory: Path) -> Path:
    """Certificate and key for the others, of the kind that ours makes for itself (ECDSA P-256)."""
    both, key = directory / "site.pem", directory / "site.key"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=bench"]
    words += ["-addext", f"subjectAltName=DNS:{APP},DNS:{ECHO},IP:127.0.0.1"]
    ran = subprocess.run(
        [tool("openssl"), *words, "-days", "2", "-keyout", str(key), "-out", str(both)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if ran.returncode != 0:
        raise BoxError(f"openssl could not make a certificate:\n{ran.stderr}")
    both.write_text(both.read_text() + key.read_text())
    return both


def _host() -> str:
    """The processor and the system."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return f"{model}, {system}, Linux {platform.release()}, Python {platform.python_version()}"
