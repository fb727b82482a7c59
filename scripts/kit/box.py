"""A box as a subprocess, and the author beside it: both use nothing but the real command line, API and ingress.

What always holds: a box listens on free ports of 127.0.0.1 only, lives in its own directory, and is ended by its pid.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.podman import PrivatePodman

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = REPO / "examples"
VENV_PROGRAM = (str(REPO / ".venv/bin/minipaas"),)
READY_SECONDS = 60.0


class BoxError(Exception):
    """A box or a command did not do what it should; the text says what it said."""


@dataclass
class Done:
    """A command that has ended."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"minipaas {' '.join(self.args)}: exit code {self.code}\n{self.out}{self.err}"


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def free_port(*preferred: int) -> int:
    """The first preferred port that is free on 127.0.0.1, else any free one below those that the kernel gives to
    connections (ip(7), ip_local_port_range): one of those may be taken a moment later."""
    below = range(12000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    for port in (*preferred, *random.SystemRandom().sample(below, 100)):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                return port
    raise BoxError("there is no free port on 127.0.0.1")


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 60.0, every: float = 0.1) -> Any:
    """Poll until `condition` gives something true, and return that. Raises BoxError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise BoxError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(every)


def fetch(
    port: int,
    path: str = "/",
    *,
    host: str = "",
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> Answer:
    """One request to 127.0.0.1:`port`. Raises OSError or http.client.HTTPException when there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, {**({"Host": host} if host else {}), **(headers or {})})
        response = connection.getresponse()
        data = response.read()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, data)
    finally:
        connection.close()


@dataclass
class Program:
    """How to run minipaas here: from the sources, or as the built binary."""

    podman: PrivatePodman
    command: Sequence[str] = VENV_PROGRAM
    env: dict[str, str] = field(default_factory=dict)
    clean: bool = False
    """Do not inherit this process's environment."""

    def environment(self, **more: str) -> dict[str, str]:
        """Podman's place, and `more`."""
        ours = {"CONTAINERS_CONF": str(self.podman.conf), "CONTAINER_HOST": self.podman.url, "NO_COLOR": "1"}
        inherited = {} if self.clean else {k: v for k, v in os.environ.items() if not k.startswith("MINIPAAS_")}
        return {**inherited, **ours, **self.env, **more}

    def run(self, *args: str | Path, check: bool = True, timeout: float = 300.0, **env: str) -> Done:
        """Run one command to its end. With `check`, a failure raises BoxError with all it said."""
        words = tuple(str(arg) for arg in args)
        try:
            ran = subprocess.run(
                [*self.command, *words],
                env=self.environment(**env),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = f"{(late.stdout or b'').decode()}{(late.stderr or b'').decode()}"
            raise BoxError(f"minipaas {' '.join(words)}: not done after {timeout:g} s; it said:\n{said}") from None
        done = Done(words, ran.returncode, ran.stdout.decode(errors="replace"), ran.stderr.decode(errors="replace"))
        if check and done.code != 0:
            raise BoxError(str(done))
        return done


class Author:
    """Who makes bundles: a release key, and the root that names it."""

    def __init__(self, directory: Path, program: Program) -> None:
        self.directory = directory
        self.program = program
        directory.mkdir(parents=True, exist_ok=True)
        self.key = directory / "release.key"
        self.public = directory / "release.key.pub"
        self.root = directory / "root.json"

    def make_keys(self) -> None:
        """`key new` and `trust new`."""
        self.program.run("key", "new", self.key)
        self.program.run("trust", "new", "--key", self.public, "--threshold", "1", "-o", self.root)

    def build(self, source: Path, name: str, *more: str) -> Path:
        """`bundle build SOURCE`, signed."""
        bundle = self.directory / f"{name}.bundle"
        self.program.run("bundle", "build", source, "-o", bundle, "--key", self.key, "--root", self.root, *more)
        return bundle


class Box:
    """`minipaas serve` with a data directory of its own."""

    def __init__(
        self,
        directory: Path,
        program: Program,
        *,
        ingress: int = 0,
        page: int = 0,
        tls: bool = False,
        config: str = "",
    ) -> None:
        self.directory = directory
        self.program = program
        self.data = directory / "data"
        self.log = directory / "serve.log"
        self.ingress = ingress or free_port()
        self.page = page or free_port()
        self.secure = free_port() if tls else 0
        """Where apps answer with TLS."""
        directory.mkdir(parents=True, exist_ok=True)
        self.config = directory / "config.toml"
        https = f'https = ["127.0.0.1:{self.secure}"]\n' if tls else ""
        self.config.write_text(
            f'[api]\nlisten = ["127.0.0.1:{self.page}"]\n[ingress]\nhttp = ["127.0.0.1:{self.ingress}"]\n{https}'
            f'[podman]\nsocket = "{program.podman.url}"\n{config}'
        )
        self._serve: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Box:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What `--to` and MINIPAAS_HOST take."""
        return f"unix://{self.data}/minipaas.sock"

    @property
    def pid(self) -> int:
        """Of `serve`."""
        if self._serve is None:
            raise BoxError("the box is not running")
        return self._serve.pid

    def start(self, *, wait: bool = True) -> None:
        """Start `serve`, and wait until it answers."""
        with self.log.open("ab") as log:
            self._serve = subprocess.Popen(
                [*self.program.command, "serve", "--config", str(self.config), "--data", str(self.data)],
                env=self.program.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Until page and ingress answer. Raises BoxError with the log when `serve` ends instead."""
        deadline = time.monotonic() + READY_SECONDS
        while not (self._answers(self.page, "/healthz") and self._answers(self.ingress, "/")):
            if self._serve is None or self._serve.poll() is not None:
                raise BoxError(f"minipaas serve ended before it was ready:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise BoxError(f"minipaas serve is not ready after {READY_SECONDS:g} s:\n{self.tail()}")
            time.sleep(0.02)

    @staticmethod
    def _answers(port: int, path: str) -> bool:
        try:
            fetch(port, path, timeout=2)
        except (OSError, http.client.HTTPException):
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout: float = 30.0) -> int | None:
        """Send a signal and wait for the end; the exit code."""
        if self._serve is None:
            return None
        process, self._serve = self._serve, None
        process.send_signal(how)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise BoxError(f"minipaas serve did not stop within {timeout:g} s:\n{self.tail()}") from None

    def kill(self) -> None:
        """SIGKILL, as the kernel would."""
        self.stop(signal.SIGKILL)

    def cli(self, *args: str | Path, check: bool = True, timeout: float = 300.0) -> Done:
        """A command of the operator, against this box."""
        return self.program.run(*args, check=check, timeout=timeout, MINIPAAS_HOST=self.url)

    def api(self, path: str) -> Any:
        """GET `/api/v1` + path from the page's port, as JSON."""
        return fetch(self.page, f"/api/v1{path}").json

    def get(self, path: str = "/", host: str = "", **more: Any) -> Answer:
        """One request through the ingress."""
        return fetch(self.ingress, path, host=host, **more)

    def app(self, name: str) -> Any:
        """What the API says of an app; None when there is none."""
        answer = fetch(self.page, f"/api/v1/apps/{name}")
        return answer.json if answer.status == 200 else None

    def tail(self, lines: int = 60) -> str:
        """The last lines that `serve` wrote."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def story(self) -> str:
        """All that helps to understand a failed test: log, changes with their steps, containers."""
        parts = [f"--- serve ({self.directory})", self.tail(120)]
        with contextlib.suppress(Exception):
            for row in self.api("/changes?limit=5")["changes"]:
                parts += _story_of(self.api(f"/changes/{row['id']}"))
        with contextlib.suppress(Exception):
            parts += ["--- containers", self.program.podman.run("ps", "-a")]
        return "\n".join(parts)


def _story_of(detail: Any) -> list[str]:
    change = detail["change"]
    parts = [f"--- change {change['id']}: {change['kind']} {change['app']} {change['state']}: {change['reason']}"]
    for one in detail["steps"]:
        word = {None: "?", True: "ok", False: "FAILED"}[one["ok"]]
        parts.append(f"    {word}  {one['title']}  {one['detail']}")
    return parts


def prepare(example: str, podman: PrivatePodman) -> Path:
    """Run an example's `prepare` against this Podman; the example's directory. One at a time: it works in place."""
    directory = EXAMPLES / example
    with (directory / "prepare").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = subprocess.run(
            [str(directory / "prepare")],
            env=podman.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=900,
            check=False,
        )
    if ran.returncode != 0:
        raise BoxError(f"examples/{example}/prepare failed:\n{ran.stdout.decode()}{ran.stderr.decode()}"[-4000:])
    return directory


def terminate_cleanly() -> None:
    """Let SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that everything is cleaned up."""

    def stop(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
