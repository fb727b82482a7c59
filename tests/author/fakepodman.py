"""A Podman that only has images: enough of its API, on a real Unix socket, for the author's side."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.author import made

PREFIX = "/v4.0.0/libpod/"
VERSION = "4.3.1"


class FakePodman(socketserver.ThreadingUnixStreamServer):
    """Holds docker-archives by image id, and names for them."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self.archives: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self.cut: int | None = None
        """Break off exports after so many bytes."""
        super().__init__(str(path), _Handler)

    def add(self, name: str, config: bytes, layers: list[bytes]) -> str:
        """An image; its id."""
        image_id = made.digest(config)
        self.archives[image_id] = made.archive(made.docker_archive(config, layers)).getvalue()
        self.names[name] = self.names[image_id] = image_id
        return image_id


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakePodman

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix(PREFIX)
        name, _, what = path.removeprefix("images/").rpartition("/")
        image_id = self.server.names.get(name)
        if path == "info":
            self._answer(200, {"version": {"Version": VERSION}, "host": {}, "store": {}})
        elif image_id is None:
            self._answer(404, {"cause": "image not known", "message": f"{name}: image not known", "response": 404})
        elif what == "json":
            size = len(self.server.archives[image_id])
            facts = {"Id": image_id[7:], "Digest": image_id, "Os": "linux", "Architecture": "amd64", "Size": size}
            self._answer(200, facts | {"RepoTags": [name]})
        else:
            self._export(self.server.archives[image_id])

    def _export(self, archive: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(archive)))
        self.end_headers()
        self.wfile.write(archive if self.server.cut is None else archive[: self.server.cut])
        self.close_connection = self.server.cut is not None

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests read what minipaas prints."""


@contextlib.contextmanager
def fake_podman(directory: Path) -> Iterator[FakePodman]:
    """A running one."""
    with FakePodman(directory / "podman.sock") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
