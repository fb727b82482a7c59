"""A small real HTTP server that stands in for a box: a table of answers, on a Unix socket or TCP."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from minipaas.model.change import ChangeKind, ChangeState
from minipaas.model.observed import HealthState, InstanceState
from minipaas.model.outlook import Fate
from minipaas.model.typed import to_json
from minipaas.surface import wire, wire_box, wire_plan
from minipaas.surface.cli.main import run


class Seen:
    """One request that arrived."""

    def __init__(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
        self.method, self.path, self.query, self.headers, self.body = method, path, query, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Unix | _Tcp

    def handle_expect_100(self) -> bool:
        early = self.server.box.early
        if early is None:
            return super().handle_expect_100()
        status, value = early
        self._note(b"")
        self.answer(status, value, close=True)
        return False

    def _note(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        seen = Seen(self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body)
        self.server.box.seen.append(seen)

    def handle_any(self) -> None:
        box = self.server.box
        answer = box.answers.get(f"{self.command} {urlsplit(self.path).path}")
        if callable(answer):
            answer(self)
            return
        self._note(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if answer is None:
            self.answer(404, error("missing", f"cannot find {self.path}: no such path"))
        else:
            self.answer(*answer)

    do_GET = do_PUT = do_POST = do_DELETE = handle_any

    def answer(self, status: int, value: object, close: bool = False) -> None:
        body = value if isinstance(value, bytes) else to_json(value)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def note_without_body(self) -> None:
        self._note(b"")

    def log_message(self, *_: object) -> None:
        pass


class _Quiet:
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave in the middle are part of the tests."""


class _Unix(_Quiet, socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    box: FakeBox


class _Tcp(_Quiet, socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    box: FakeBox


Answer = tuple[int, object] | list[tuple[int, object]] | Callable[[Any], None]


class FakeBox:
    """`answers["GET /api/v1/apps"] = (200, struct)`; a list gives one answer a request; a function does it by hand."""

    def __init__(self, server: _Unix | _Tcp, url: str) -> None:
        self.url = url
        self.answers: dict[str, Answer] = {}
        self.early: tuple[int, object] | None = None
        """The answer instead of `100 Continue`."""
        self.seen: list[Seen] = []
        self._server = server
        server.box = self
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def requests(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]


def error(kind: str, message: str = "cannot do it: because", hint: str = "", code: str = "some.rule") -> object:
    """The body of a refusal."""
    return {"error": {"kind": kind, "code": code, "message": message, "hint": hint}}


class Boxes:
    """Makes fake boxes and closes them at the end."""

    error = staticmethod(error)

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[FakeBox] = []

    def unix(self, name: str = "minipaas.sock") -> FakeBox:
        path = self._directory / name
        return self._keep(FakeBox(_Unix(str(path), _Handler), f"unix://{path}"))

    def tcp(self, tls: ssl.SSLContext | None = None) -> FakeBox:
        server = _Tcp(("127.0.0.1", 0), _Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https" if tls else "http"
        return self._keep(FakeBox(server, f"{scheme}://127.0.0.1:{server.server_address[1]}"))

    def _keep(self, box: FakeBox) -> FakeBox:
        self._made.append(box)
        return box

    def close(self) -> None:
        for box in self._made:
            box.close()


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dates are printed by the local clock."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    made = Boxes(tmp_path_factory.mktemp("b"))
    yield made
    made.close()


@pytest.fixture
def box(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> FakeBox:
    """A fake box that the command line finds without --to."""
    made = boxes.unix()
    monkeypatch.setenv("MINIPAAS_HOST", made.url)
    return made


NOW = 1_700_000_000.0
DIGEST = "sha256:" + "ab" * 32


class Views:
    """Answers as a box gives them, with everything that does not matter filled in."""

    def box(self, **given: Any) -> wire_box.BoxView:
        plain: dict[str, Any] = {
            "version": "0.1.0",
            "id": "b",
            "podman": wire_box.PodmanView(version="4.3.1", rootless=False, runtime="runc"),
            "trouble": "",
            "disk": wire_box.DiskView(free=3 * 1024**3, reserve=0, tight=False),
            "clock": wire_box.ClockView(now=NOW, synced=True, floor=0),
            "ingress": (),
            "api": (),
            "counts": wire_box.CountsView(apps=1, services=1, instances=1, running=1, healthy=1),
            "root_version": 1,
        }
        return wire_box.BoxView(**plain | given)

    def change(self, **given: Any) -> wire.ChangeView:
        plain: dict[str, Any] = {
            "id": 7,
            "app": "shop",
            "kind": ChangeKind.DEPLOY,
            "state": ChangeState.DONE,
            "active": False,
            "target": DIGEST,
            "version": "1.4.2",
            "fallback": None,
            "fallback_version": None,
            "actor": "root via socket",
            "started": NOW,
            "deadline": NOW + 600,
            "switched": NOW + 3,
            "ended": NOW + 4.2,
            "reason": "",
        }
        return wire.ChangeView(**plain | given)

    def step(self, number: int, title: str, **given: Any) -> wire.StepView:
        plain: dict[str, Any] = {
            "id": number,
            "kind": "StartInstance",
            "title": title,
            "started": NOW + number,
            "ended": NOW + number + 1.5,
            "ok": True,
            "detail": "",
        }
        return wire.StepView(**plain | given)

    def release(self, version: str = "1.4.2", **given: Any) -> wire.ReleaseView:
        plain: dict[str, Any] = {
            "digest": DIGEST,
            "app": "shop",
            "version": version,
            "epoch": 1,
            "sequence": 3,
            "issued": int(NOW),
            "valid_until": None,
            "signers": ("k",),
            "size": 1000,
            "serving": True,
            "good": True,
            "accepted": NOW,
            "outcome": "done",
        }
        return wire.ReleaseView(**plain | given)

    def instance(self, slot: int = 1, **given: Any) -> wire.InstanceView:
        plain: dict[str, Any] = {
            "id": "c" * 64,
            "name": f"minipaas-shop-web-{slot}-1",
            "slot": slot,
            "release": DIGEST,
            "version": "1.4.2",
            "state": InstanceState.RUNNING,
            "health": HealthState.HEALTHY,
            "word": "healthy",
            "well": True,
            "detail": "GET /healthz: 200",
            "attempt": 0,
            "created": NOW,
            "started": NOW,
            "finished": None,
            "exit_code": None,
            "oom_killed": False,
        }
        return wire.InstanceView(**plain | given)

    def app(self, name: str = "shop", **given: Any) -> wire.AppView:
        route = wire.RouteView(route="shop.local", service="web", url="http://shop.local", backends=1)
        service = wire.ServiceView(
            name="web",
            state=wire.ServiceState.RUNNING,
            replicas=1,
            released=1,
            healthy=1,
            image=DIGEST,
            port=8080,
            memory=256 * 1024**2,
            cpus=None,
            volumes=(),
            routes=(route,),
            instances=(self.instance(),),
        )
        plain: dict[str, Any] = {
            "name": name,
            "description": "",
            "state": wire.AppState.RUNNING,
            "sentence": "1.4.2 runs.",
            "needs_you": False,
            "serving": self.release(),
            "good": self.release(),
            "change": self.change(),
            "services": (service,),
            "routes": (route,),
        }
        return wire.AppView(**plain | given)

    def apps(self, *apps: wire.AppView) -> wire.Apps:
        return wire.Apps(well=True, sentence="Everything is well.", apps=apps)

    def preview(self, kind: ChangeKind = ChangeKind.REMOVE, **given: Any) -> wire_plan.PlanPreview:
        steps = (("drain web", False), ("stop web #1 (the app is removed)", False), ("remove web-1", True))
        plain: dict[str, Any] = {
            "app": "shop",
            "kind": kind,
            "version": None,
            "serving": "1.4.2",
            "steps": tuple(wire_plan.PlannedStep(kind="Step", title=title, after=after) for title, after in steps),
            "services": (
                wire_plan.ServiceForecast(
                    name="web", fate=Fate.GONE, before=2, after=0, pauses=False, why="", at_most=None
                ),
                wire_plan.ServiceForecast(
                    name="db",
                    fate=Fate.REPLACED,
                    before=1,
                    after=1,
                    pauses=True,
                    why="it holds a volume",
                    hold=60.0,
                    at_most=720.0,
                ),
            ),
            "volumes_kept": (),
            "volumes_deleted": (),
            "at_most": 600.0,
        }
        return wire_plan.PlanPreview(**plain | given)

    def held(self, **given: Any) -> wire_plan.Held:
        plain: dict[str, Any] = {
            "id": "0123456789abcdef",
            "app": "shop",
            "version": "1.4.2",
            "release": self.release(),
            "replaces": None,
            "actor": "root via socket",
            "held": NOW,
            "expires": NOW + 1800,
            "size": 2**21,
            "new": 2**20,
            "verification": wire_plan.Verification(
                signers=("k1",),
                threshold=1,
                keys=2,
                root_version=3,
                new_roots=0,
                issued=int(NOW) - 7200,
                age=7200.0,
                valid_until=None,
                epoch=1,
                sequence=3,
                min_sequence=0,
                warnings=("the trust root has expired",),
            ),
            "diff": None,
        }
        return wire_plan.Held(**plain | given)

    def accepted(self, **given: Any) -> wire.Accepted:
        plain: dict[str, Any] = {
            "change": 7,
            "app": "shop",
            "version": "1.4.2",
            "events": "/api/v1/changes/7/events",
            "page": "/apps/shop",
        }
        return wire.Accepted(**plain | given)

    def story(self, *steps: wire.StepView, **change: Any) -> Callable[[Any], None]:
        """The whole event stream of a change: each step begins and ends; then the end."""
        view = self.change(**change)
        parts: list[tuple[str, str, object]] = []
        for step in steps:
            begun = self.step(step.id, step.title, ended=None, ok=None)
            parts.append((f"{step.id}.0", "step", wire.StepEvent(state="started", step=begun)))
            parts.append((f"{step.id}.1", "step", wire.StepEvent(state="ended", step=step)))
        urls = ("http://shop.local",) if view.state is ChangeState.DONE else ()
        parts.append(("", "end", wire.EndEvent(outcome=view.state, reason=view.reason, urls=urls, change=view)))
        text = "".join(f"id: {i}\nevent: {name}\ndata: {to_json(data).decode()}\n\n" for i, name, data in parts)

        def tell(handler: Any) -> None:
            handler.note_without_body()
            handler.send_response(200)
            handler.send_header("Content-Type", "text/event-stream")
            handler.send_header("Connection", "close")
            handler.end_headers()
            handler.wfile.write(text.encode())
            handler.close_connection = True

        return tell


@pytest.fixture
def views() -> Views:
    return Views()


class Outcome:
    """What a user would notice."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def minipaas(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """`minipaas("status", "--json")` in this process."""
    for name in ("MINIPAAS_TOKEN", "MINIPAAS_DEBUG", "MINIPAAS_DATA"):
        monkeypatch.delenv(name, raising=False)

    def serve(config: object, data: Path) -> int:
        print(config, data)
        return 0

    def call(*args: str) -> Outcome:
        capsys.readouterr()
        code = run(args, serve=serve)
        told = capsys.readouterr()
        return Outcome(code, told.out, told.err)

    return call
