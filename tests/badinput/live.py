"""A box as its users have it: a socket, a port and a command line. It lives on a thread, so that tests are plain code.

`scene` is all that a refusal must leave as it was; `refused` sends a bundle by hand and by command line, and compares.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec import Struct

from minipaas.model.config import Config
from minipaas.surface.cli.main import run
from tests.boxes import PATIENCE, RunningBox, config, running_box
from tests.fakepodman.server import FakePodman

T = TypeVar("T")
BUNDLES = "/api/v1/bundles"


class Said(Struct):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def why(self) -> str:
        """The first line of stderr."""
        return self.err.splitlines()[0] if self.err else ""

    @property
    def hint(self) -> str:
        """The line with what to do."""
        return next((line.removeprefix("→ ") for line in self.err.splitlines() if line.startswith("→ ")), "")


class Answer(Struct):
    """What the API said."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        return str(self.json["error"]["kind"])

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class Scene(Struct):
    """Everything that must be the same after a refusal."""

    desired: object
    releases: object
    roots: object
    floors: object
    time_floor: object
    tokens: object
    blobs: dict[str, int]
    staging: list[str]
    containers: dict[str, tuple[str, bool]]
    images: set[str]
    volumes: set[str]
    routes: object


class LiveBox:
    """A started box, seen from outside; `inside` is for what cannot be seen from there."""

    def __init__(self, directory: Path, settings: Callable[[FakePodman], Config] = config) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.data = directory / "data"
        self.socket = self.data / "minipaas.sock"
        self.to = f"unix://{self.socket}"
        self.fake = FakePodman(directory)
        self._settings = settings
        self._ready: asyncio.Future[None]
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._live, name="box", daemon=True)
        self.inside: RunningBox

    def __enter__(self) -> LiveBox:
        self.fake.__enter__()
        self._thread.start()
        assert self._started.wait(PATIENCE)
        if self._failure is not None:
            self.fake.__exit__()
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)
        self.fake.__exit__()

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._run())
            except BaseException as error:
                self._failure = error
                self._started.set()

    async def _run(self) -> None:
        async with running_box(self.fake, self.directory, self._settings(self.fake)) as box:
            self.inside = box
            self._started.set()
            await self._stop.wait()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the box's loop."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)
        except (CancelledError, RuntimeError):
            self._thread.join(PATIENCE)
            raise self._failure or AssertionError("the box has ended") from None

    # -- from outside

    @property
    def tcp(self) -> tuple[str, int]:
        """Where the API answers on TCP."""
        with self._connection() as wire:
            wire.request("GET", "/api/v1/box")
            host, _, port = json.loads(wire.getresponse().read())["api"][0].rpartition(":")
        return host, int(port)

    @contextlib.contextmanager
    def _connection(self, tcp: bool = False) -> Iterator[http.client.HTTPConnection]:
        wire = http.client.HTTPConnection("box")
        wire.sock = self.plug(tcp)
        try:
            yield wire
        finally:
            wire.close()

    def plug(self, tcp: bool = False) -> socket.socket:
        """A raw connection to the API."""
        made = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        made.settimeout(PATIENCE)
        made.connect(self.tcp if tcp else str(self.socket))
        return made

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}, *, tcp: bool = False
    ) -> Answer:
        """One request, as curl would send it."""
        named = {"Host": f"127.0.0.1:{self.tcp[1]}" if tcp else "box"} | dict(headers)
        with self._connection(tcp) as wire:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # answered before the body was out
                wire.request(method, path, body, named)
            answer = wire.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def put(self, data: bytes) -> Answer:
        """`curl --unix-socket … -T FILE`."""
        return self.ask("PUT", BUNDLES, data)

    def cli(self, *arguments: object, to: str | None = None, token: str = "") -> Said:
        """The command line, in this process."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MINIPAAS_HOST", to or self.to)
            patch.setenv("MINIPAAS_TOKEN", token)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = run([str(argument) for argument in arguments], serve=_no_serve)
        return Said(code, out.getvalue(), err.getvalue())

    def app(self, name: str = "shop") -> Any:
        """`status APP --json`."""
        return self.ask("GET", f"/api/v1/apps/{name}").json

    def get(self, host: str = "shop.local") -> tuple[int, str]:
        """Status and instance of one request to an app."""
        return self.do(self.inside.get(host))

    def until(self, look: Callable[[], object]) -> object:
        """Poll until it is so."""
        return self.do(self.inside.until(lambda: asyncio.to_thread(look)))

    def audit(self) -> list[Any]:
        """Rows, the newest first."""
        rows: list[Any] = self.ask("GET", "/api/v1/audit?limit=500").json["rows"]
        return rows

    def deploy(self, data: bytes, app: str = "shop") -> Any:
        """Deploy, and wait for the end; how it ended."""
        answer = self.put(data)
        assert answer.status == 202, answer
        number = answer.json["change"]

        def ended() -> Any:
            change = self.ask("GET", f"/api/v1/changes/{number}").json["change"]
            return None if change["active"] else change

        return self.until(ended)

    # -- nothing has changed

    def scene(self) -> Scene:
        """Everything that a refusal must leave as it is."""
        registry = self.inside.control.registry
        apps = self.do(registry.desired())
        return Scene(
            desired=apps,
            releases={app.app: self.do(registry.releases(app.app)) for app in apps.apps},
            roots=self.do(registry.roots()),
            floors=self.do(registry.floors()),
            time_floor=self.do(registry.time_floor()),
            tokens=self.do(registry.tokens()),
            blobs={str(file): file.stat().st_size for file in (self.data / "blobs").rglob("*") if file.is_file()},
            staging=sorted(str(file) for file in (self.data / "staging").rglob("*")),
            containers={name: (one.id, one.running) for name, one in self.fake.containers.items()},
            images=self.fake.images,
            volumes=self.fake.volumes,
            routes=self.inside.control.ingress.routes(),
        )

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is done inside changes nothing: no row, no blob, no container; and who served goes on to."""
        before = self.scene()
        assert before.staging == []
        yield
        after = self.scene()
        for field in Scene.__struct_fields__:
            assert getattr(after, field) == getattr(before, field), field
        for app in before.desired.apps:  # type: ignore[attr-defined]
            assert self.get(f"{app.app}.local")[0] == 200


def program(*arguments: object, env: Mapping[str, str] = {}, **options: Any) -> Said:
    """The real command line, in a process of its own."""
    import os

    done = subprocess.run(
        [sys.executable, "-m", "minipaas", *map(str, arguments)],
        env={**os.environ, "MINIPAAS_DATA": "/nonexistent", **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def _no_serve(config: Config, data: Path) -> int:
    raise AssertionError("a box was started")


def told(said: Said, code: int, *words: str, hint: bool = True) -> None:
    """A command failed as it should: in words, with a way on, without a stack trace."""
    assert said.code == code, said
    assert said.why.startswith("cannot "), said.err
    assert "Traceback" not in said.err
    assert bool(said.hint) or not hint, said.err
    for word in words:
        assert word in said.err, said.err


def refused(
    box: LiveBox,
    data: bytes,
    codes: str | set[str],
    *words: str,
    kind: str = "refused",
    status: int = 422,
    exit_code: int = 3,
) -> Answer:
    """This bundle is refused by the API and by the command line, in the same words, and it leaves only audit rows."""
    wanted = {codes} if isinstance(codes, str) else codes
    with box.unchanged():
        before = box.audit()[0]["id"]
        answer = box.put(data)
        assert (answer.status, answer.kind) == (status, kind), answer
        assert answer.code in wanted, answer
        assert answer.message.startswith("cannot "), answer
        assert answer.json["error"]["hint"]
        row, *_ = box.audit()
        assert (row["id"] > before, row["action"], row["origin"]) == (True, "deploy", "socket")
        verb = "refused" if kind in ("refused", "conflict") else "failed"
        assert row["result"] == f"{verb}: {answer.code}: {answer.message}"
        file = box.directory / "bad.bundle"
        file.write_bytes(data)
        said = box.cli("deploy", file)
        told(said, exit_code)
        for word in words:
            assert word in answer.message
            assert word in said.err
    return answer
