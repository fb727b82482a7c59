"""Three proxies in front of recorders: our ingress, nginx and HAProxy, each in as many lanes as cases run at once.

A lane is a front and the one recorder behind it, so that what a recorder sees comes from the case that runs there.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from minipaas.ingress import Ingress
from minipaas.model.route import Backend, Route, RouteEntry

from .recorder import Recorder, Seen

NAMES = ("ours", "nginx", "haproxy")
LANES = 12
START = 60.0
"""Seconds that nginx and HAProxy may take to listen."""

_NGINX = """
daemon off; master_process off; pid nginx.pid; error_log nginx.log crit;
events {{ worker_connections 512; }}
http {{
    access_log off; client_max_body_size 8m;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    {servers}
}}
"""
_NGINX_LANE = """
    upstream u{lane} {{ server unix:{dir}/nginx-{lane}.back; keepalive 4; }}
    server {{
        listen unix:{dir}/nginx-{lane}.front;
        location / {{
            proxy_pass http://u{lane}; proxy_http_version 1.1; proxy_request_buffering off;
            proxy_set_header Host $http_host; proxy_set_header Connection "";
        }}
    }}
"""
_HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
{lanes}
"""
_HAPROXY_LANE = """
frontend f{lane}
    bind unix@{dir}/haproxy-{lane}.front
    default_backend b{lane}
backend b{lane}
    server s unix@{dir}/haproxy-{lane}.back
"""


class Outcome(NamedTuple):
    """What became of one case. `statuses`: final ones, in order; `ended`: the proxy closed the connection."""

    statuses: tuple[int, ...]
    seen: tuple[Seen, ...]
    trailers: tuple[bytes, ...]
    unclear: tuple[bytes, ...]
    ended: bool


class Lane:
    """One front of one proxy."""

    def __init__(self, recorder: Recorder, front: Path | int) -> None:
        self.recorder = recorder
        self._front = front

    async def run(self, wire: bytes, patience: float) -> Outcome:
        """Send a case; the answer is over when the proxy closes, or is silent for `patience` seconds."""
        self.recorder.seen.clear()
        self.recorder.trailers.clear()
        self.recorder.unclear.clear()
        if isinstance(self._front, int):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._front)
        else:
            reader, writer = await asyncio.open_unix_connection(self._front)
        answer, ended = b"", False
        try:
            writer.write(wire)
            while True:
                async with asyncio.timeout(patience):
                    data = await reader.read(65536)
                if not data:
                    ended = True
                    break
                answer += data
        except TimeoutError:
            pass
        except ConnectionError:
            ended = True
        finally:
            writer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self.recorder.at_rest()
        recorder = self.recorder
        return Outcome(
            *(tuple(_statuses(answer)), tuple(recorder.seen), tuple(recorder.trailers), tuple(recorder.unclear), ended)
        )


def _statuses(wire: bytes) -> list[int]:
    """Of the final answers in a row; an answer without a head (HTTP/0.9) is 0."""
    found = []
    while wire:
        head, end, rest = wire.partition(b"\r\n\r\n")
        match = re.match(rb"HTTP/1\.[01] ([1-5][0-9][0-9])[ \r]", head + b"\r")
        if match is None or not end:
            return [*found, 0]
        status = int(match[1])
        if status >= 200:
            found.append(status)
            length = re.search(rb"\r\ncontent-length: *([0-9]+)", head.lower())
            if not rest.startswith(b"HTTP/1."):
                rest = rest[int(length[1]) :] if length else b""
        wire = rest
    return found


@contextlib.asynccontextmanager
async def rivals(directory: Path) -> AsyncIterator[dict[str, list[Lane]]]:
    """All three, started."""
    async with contextlib.AsyncExitStack() as stack:
        lanes: dict[str, list[Lane]] = {name: [] for name in NAMES}
        for name in NAMES:
            for number in range(LANES):
                recorder = Recorder()
                await recorder.start(None if name == "ours" else directory / f"{name}-{number}.back")
                stack.push_async_callback(recorder.stop)
                if name == "ours":
                    ingress = Ingress()
                    stack.push_async_callback(ingress.close, 0.0)
                    await ingress.start([("127.0.0.1", 0)])
                    backend = Backend("recorder", "127.0.0.1", recorder.port)
                    ingress.set_app("app", (RouteEntry(Route("*", "/"), "app", "web", (backend,)),))
                    lanes[name].append(Lane(recorder, ingress.addresses[0][1]))
                else:
                    lanes[name].append(Lane(recorder, directory / f"{name}-{number}.front"))
        numbers = range(LANES)
        servers = "".join(_NGINX_LANE.format(lane=number, dir=directory) for number in numbers)
        (directory / "nginx.conf").write_text(_NGINX.format(servers=servers))
        fronts = "".join(_HAPROXY_LANE.format(lane=number, dir=directory) for number in numbers)
        (directory / "haproxy.cfg").write_text(_HAPROXY.format(lanes=fronts))
        for program, *arguments in (
            ("nginx", "-p", str(directory), "-e", "nginx.log", "-c", "nginx.conf"),
            ("haproxy", "-q", "-db", "-f", "haproxy.cfg"),
        ):
            process = await _start(directory, program, *arguments)
            stack.push_async_callback(_stop, process)
            await _listening(process, program, directory, directory / f"{program}-{LANES - 1}.front")
        yield lanes


async def versions() -> tuple[str, ...]:
    """Of nginx and HAProxy, up to the second number."""
    found = []
    for program in ("nginx", "haproxy"):
        process = await asyncio.create_subprocess_exec(
            _where(program), "-v", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        match = re.search(r"(nginx/|HAProxy version )[0-9]+\.[0-9]+", said.decode())
        found.append(match[0] if match is not None else said.decode())
    return tuple(found)


def _where(program: str) -> str:
    found = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert found, f"{program} is missing: it comes with Debian's package {program}"
    return found


async def _start(directory: Path, program: str, *arguments: str) -> asyncio.subprocess.Process:
    log = (directory / f"{program}.out").open("wb")
    try:
        return await asyncio.create_subprocess_exec(_where(program), *arguments, cwd=directory, stdout=log, stderr=log)
    finally:
        log.close()


async def _listening(process: asyncio.subprocess.Process, program: str, directory: Path, front: Path) -> None:
    async with asyncio.timeout(START):
        while True:
            assert process.returncode is None, (directory / f"{program}.out").read_text()
            try:
                _, writer = await asyncio.open_unix_connection(front)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.wait()
