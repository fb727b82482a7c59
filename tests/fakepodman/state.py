"""What the fake knows: images, containers, networks, volumes, and how libpod 4.3 shows them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.fakepodman.behaviour import Behaviour, Listener, hold_port

NEVER = -62135596800
ZERO_TIME = "0001-01-01T00:00:00Z"


def rfc3339(seconds: float | None) -> str:
    """Go's spelling with nanoseconds."""
    if seconds is None:
        return ZERO_TIME
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


@dataclass
class Image:
    id: str
    """Hex, as Podman prints it."""
    digest: str
    tags: list[str] = field(default_factory=list)
    pulled_as: list[str] = field(default_factory=list)
    entrypoint: list[str] | None = None
    command: list[str] | None = None

    def listed(self) -> dict[str, Any]:
        return {
            "Id": self.id,
            "ParentId": "",
            "RepoTags": self.tags or None,
            "RepoDigests": self.pulled_as or [f"localhost/fake@{self.digest}"],
            "Created": 0,
            "Size": 4112747,
            "SharedSize": 0,
            "VirtualSize": 4112747,
            "Labels": None,
            "Containers": 0,
            "Names": [*self.tags, *self.pulled_as],
            "Digest": self.digest,
        }

    def inspected(self) -> dict[str, Any]:
        return {
            "Id": self.id,
            "Digest": self.digest,
            "RepoTags": self.tags,
            "RepoDigests": self.pulled_as,
            "Architecture": "amd64",
            "Os": "linux",
            "Size": 4112747,
            "Config": {"Entrypoint": self.entrypoint, "Cmd": self.command or ["run"], "Env": ["PATH=/bin"]},
        }


@dataclass
class Port:
    """A port mapping, with the held socket that makes it real."""

    host_ip: str
    host_port: int
    container_port: int
    protocol: str
    held: socket.socket | None = None
    elsewhere: bool = False
    """Another program has it."""

    def listed(self) -> dict[str, Any]:
        return {
            "host_ip": self.host_ip,
            "container_port": self.container_port,
            "host_port": self.host_port,
            "range": 1,
            "protocol": self.protocol,
        }


@dataclass
class Use:
    """What a container uses; its CPU time grows by itself."""

    cores: float = 0.0
    cpu: float = 0.0
    """Seconds used before `since`."""
    since: float = field(default_factory=time.monotonic)
    memory: int = 4 * 1024**2
    received: int = 0
    sent: int = 0
    pids: int = 1

    @property
    def cpu_now(self) -> float:
        return self.cpu + self.cores * (time.monotonic() - self.since)


@dataclass
class Container:
    id: str
    name: str
    image: Image
    body: dict[str, Any]
    behaviour: Behaviour
    ports: list[Port]
    created: float = field(default_factory=time.time)
    state: str = "created"
    started: float | None = None
    finished: float | None = None
    exit_code: int = 0
    oom: bool = False
    logs: list[tuple[int, str]] = field(default_factory=list)
    """(1 stdout or 2 stderr, line)"""
    files: dict[str, bytes] = field(default_factory=dict)
    """What it has written into its own layer."""
    removed: list[str] = field(default_factory=list)
    log_file: Path = Path("/dev/null")
    """What conmon would write."""
    log_path: Path = Path("/dev/null")
    """Where that is said to be."""
    using: Use = field(default_factory=Use)
    listener: Listener | None = None
    life: asyncio.Task[None] | None = None
    """What happens to it by itself: it begins to listen, it ends."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @cached_property
    def root(self) -> Path:
        """Its file system: a directory, made when somebody asks for it; gone with the container."""
        self.directory = tempfile.TemporaryDirectory(prefix="fake-container-")
        return Path(self.directory.name)

    @property
    def shares(self) -> str:
        """The id of the container whose processes it shares."""
        return (self.body.get("pidns") or {}).get("value", "")

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.body.get("labels") or {})

    @property
    def running(self) -> bool:
        return self.state in ("running", "stopping")

    def write(self, stream: int, line: str) -> None:
        """A line of its output."""
        self.logs.append((stream, line))
        now = time.time_ns()
        stamp = datetime.fromtimestamp(now // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        with self.log_file.open("ab") as file:
            file.write(f"{stamp}.{now % 10**9:09d}+00:00 {'stdout' if stream == 1 else 'stderr'} F {line}\n".encode())

    def hold_ports(self, *, free_choice: bool = False) -> None:
        """Keep the host ports (with `free_choice` only those to be chosen) while nothing listens. Raises OSError when
        one is taken."""
        for port in self.ports:
            if port.elsewhere or port.held is not None or port.protocol != "tcp":
                continue
            if port.host_port == 0 or not free_choice:
                port.held = hold_port(port.host_ip or "127.0.0.1", port.host_port)
                port.host_port = port.held.getsockname()[1]

    def free_ports(self) -> None:
        for port in self.ports:
            if port.held is not None:
                port.held.close()
                port.held = None

    def use(self, cores: float, memory: int, received: int, sent: int, pids: int) -> None:
        self.using = Use(cores, self.using.cpu_now, memory=memory, received=received, sent=sent, pids=pids)

    def used(self) -> dict[str, Any]:
        """Its part of `containers/stats`, as libpod 5 gives it."""
        use = self.using
        return {
            "AvgCPU": 0.0,
            "ContainerID": self.id,
            "Name": self.name,
            "CPU": use.cores * 100,
            "CPUNano": int(use.cpu_now * 1e9),
            "CPUSystemNano": 0,
            "MemUsage": use.memory,
            "MemLimit": 32 * 1024**2,
            "MemPerc": 0.0,
            "NetInput": 0,
            "NetOutput": 0,
            "Network": {"eth0": {"RxBytes": use.received, "TxBytes": use.sent}},
            "BlockInput": 0,
            "BlockOutput": 0,
            "PIDs": use.pids,
            "UpTime": 0,
            "Duration": 0,
        }

    def listed(self) -> dict[str, Any]:
        return {
            "AutoRemove": False,
            "Command": self.body.get("command") or self.image.command or ["run"],
            "Created": rfc3339(self.created),
            "CreatedAt": "",
            "Exited": self.state == "exited",
            "ExitedAt": int(self.finished) if self.finished else NEVER,
            "ExitCode": self.exit_code,
            "Id": self.id,
            "Image": f"sha256:{self.image.id}",
            "ImageID": self.image.id,
            "IsInfra": False,
            "Labels": self.labels or None,
            "Mounts": [mount["destination"] for mount in self.body.get("mounts") or ()],
            "Names": [self.name],
            "Namespaces": {},
            "Networks": list(self.body.get("Networks") or {}),
            "Pid": 4242 if self.running else 0,
            "Pod": "",
            "PodName": "",
            "Ports": [port.listed() for port in self.ports] or None,
            "Size": None,
            "StartedAt": int(self.started) if self.started else NEVER,
            "State": self.state,
            "Status": "",
        }

    def inspected(self) -> dict[str, Any]:
        return {
            "Id": self.id,
            "Created": rfc3339(self.created),
            "State": {
                "Status": self.state,
                "Running": self.running,
                "OOMKilled": self.oom,
                "Pid": 4242 if self.running else 0,
                "ExitCode": self.exit_code,
                "Error": "",
                "StartedAt": rfc3339(self.started),
                "FinishedAt": rfc3339(self.finished),
            },
            "Image": self.image.id,
            "Name": self.name,
            "HostConfig": {"LogConfig": {"Type": "k8s-file", "Path": str(self.log_path), "Size": "0B"}},
            "Config": {"Labels": self.labels, "Env": [f"{k}={v}" for k, v in (self.body.get("env") or {}).items()]},
            "Mounts": [
                {"Type": "volume", "Name": one["Name"], "Destination": one["Dest"]}
                for one in self.body.get("volumes") or ()
            ],
        }


@dataclass
class ExecSession:
    id: str
    container: str
    command: list[str]
    tty: bool = False
    stdin: bool = False
    env: dict[str, str] = field(default_factory=dict)
    running: bool = False
    exit_code: int = 0
    pid: int = 0
    size: tuple[int, int] = (80, 24)
    master: int | None = None
    """Of its terminal."""
    process: asyncio.subprocess.Process | None = None

    def kill(self) -> None:
        """Its process and those in its group."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Its terminal is gone."""
        if self.master is not None:
            os.close(self.master)
            self.master = None


@dataclass
class Refusal:
    """Calls whose method and path match are answered with this error."""

    pattern: str
    status: int
    message: str
    times: int
    delay: float = 0.0
    """Seconds before the answer; with status 0 the call then goes on as usual."""
    drop: bool = False
    """Close the connection instead of an answer."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """The delay is over before its time."""


@dataclass
class State:
    images: dict[str, Image] = field(default_factory=dict)
    """By hex id."""
    containers: dict[str, Container] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    execs: dict[str, ExecSession] = field(default_factory=dict)

    def container(self, key: str) -> Container | None:
        """By id, unique prefix of it, or name."""
        for container in self.containers.values():
            if key == container.name or (len(key) >= 12 and container.id.startswith(key)):
                return container
        return None

    def image(self, key: str) -> Image | None:
        key = key.removeprefix("sha256:")
        for image in self.images.values():
            if key == image.id or key in image.tags or key in image.pulled_as:
                return image
        return None
