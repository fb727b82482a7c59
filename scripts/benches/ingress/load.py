"""Asking a proxy: wrk where it can, load.c where it cannot; and what the proxy spends meanwhile."""

from __future__ import annotations

import json
import math
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.box import BoxError

from benches.ingress.peers import Peer
from benches.ingress.started import Cores, cpu_seconds, pinned, tool

WRK = """\
local method, size = "{method}", {size}
if size > 0 then wrk.method, wrk.body = method, string.rep("x", size) end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\n{{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d, "statuses": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
"""


@dataclass(frozen=True)
class Sample:
    """One measurement of one proxy. Times in milliseconds."""

    rate: float
    """Requests a second."""
    p50: float
    p99: float
    cpu: float
    """Seconds of CPU that the proxy spent for 100,000 requests."""
    busy: float
    """Share of its core that it had."""
    late: float = 0.0
    """How late the load itself was while a connection was free (p99)."""
    owed: float = 0.0
    """Requests that were due and could not be sent any more, of a hundred."""


class Load:
    """Both programs, on the core of the load."""

    def __init__(self, program: Path, directory: Path, cores: Cores) -> None:
        self._program = program
        self._directory = directory
        self._core = cores.load
        self._wrk = tool("wrk")

    def wrk(
        self,
        peer: Peer,
        host: str,
        path: str,
        *,
        connections: int,
        seconds: float,
        upload: int = 0,
        secure: bool = False,
        close: bool = False,
    ) -> Sample:
        """As many requests as it takes, each connection sends its next one when its answer is there."""
        script = self._directory / f"wrk-{upload}.lua"
        script.write_text(WRK.format(method="POST", size=upload))
        where = f"https://127.0.0.1:{peer.secure}" if secure else f"http://127.0.0.1:{peer.port}"
        words = [self._wrk, "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "-s", str(script)]
        words += ["-H", f"Host: {host}", *(["-H", "Connection: close"] if close else []), where + path]
        said, cpu, took = self._timed(peer, words)
        if said["statuses"] or said["errors"] > said["requests"] / 1000:
            raise BoxError(f"{peer.name}: {said['statuses']} wrong answers, {said['errors']} errors of wrk")
        return _sample(said["requests"], said["seconds"], said["p50"], said["p99"], cpu, took)

    def ask(
        self, peer: Peer, hosts: Sequence[str], path: str, *, connections: int, seconds: float, rate: float = 0
    ) -> Sample:
        """With `rate`, that many requests a second, each at its time; without, as many as it takes. Connection number i
        asks for host number i, in turn."""
        requests = [f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n" for host in hosts]
        return self._own(peer, "ask", connections, seconds, rate, requests)

    def talk(self, peer: Peer, host: str, *, connections: int, seconds: float) -> Sample:
        """Messages over WebSockets, each connection sends its next one when the last has come back."""
        return self._own(peer, "talk", connections, seconds, 0, [host])

    def _own(self, peer: Peer, what: str, connections: int, seconds: float, rate: float, more: Sequence[str]) -> Sample:
        words = [str(self._program), what, str(peer.port), str(seconds), str(connections), str(rate), *more]
        said, cpu, took = self._timed(peer, words)
        sample = _sample(said["requests"], said["seconds"], said["p50"], said["p99"], cpu, took)
        owed = 100 * said["owed"] / (rate * seconds) if rate else 0.0
        return replace(sample, late=said["late"] / 1000, owed=owed)

    def hold(self, peer: Peer, host: str, path: str, count: int) -> Held:
        """So many connections that have had one answer each, and say nothing more."""
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        return Held(pinned(self._core, [self._program, "hold", str(peer.port), str(count), request]), peer)

    def _timed(self, peer: Peer, words: Sequence[str]) -> tuple[Any, float, float]:
        before, began = cpu_seconds(peer.pid), time.monotonic()
        ran = subprocess.run(
            pinned(self._core, words), capture_output=True, text=True, timeout=120, check=False, errors="replace"
        )
        took, cpu = time.monotonic() - began, cpu_seconds(peer.pid) - before
        lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
        if ran.returncode != 0 or not lines:
            raise BoxError(f"{peer.name}: the load failed: {ran.stdout[-500:]}{ran.stderr[-500:]}")
        return json.loads(lines[-1]), cpu, took


def _sample(requests: int, seconds: float, p50: float, p99: float, cpu: float, took: float) -> Sample:
    if not requests:
        raise BoxError("no request was answered")
    return Sample(requests / seconds, p50 / 1000, p99 / 1000, cpu * 100_000 / requests, cpu / took)


class Held:
    """Idle connections, until `close`."""

    def __init__(self, command: Sequence[str], peer: Peer) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if self._process.stdout is None or not self._process.stdout.readline():
            _, said = self._process.communicate(timeout=10)
            raise BoxError(f"{peer.name}: the idle connections cannot be had: {said[-500:]}")

    def close(self) -> None:
        self._process.communicate(timeout=30)
