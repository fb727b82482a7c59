"""Real software: the guestbook, and an off-the-shelf pair that nobody here wrote."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import tomllib
from collections.abc import Callable
from pathlib import Path

import tomli_w
from kit.box import EXAMPLES, Author, Box, fetch, free_port, prepare, wait_for
from kit.podman import PrivatePodman


def test_guestbook(box: Box, example: Callable[[str], Path], podman: PrivatePodman) -> None:
    box.cli("deploy", example("guestbook"))
    host = "guestbook.localhost"
    first = box.get("/entries", host=host).json["entries"]
    assert [one["name"] for one in first] == ["the release hook"], "the hook has prepared the data"

    line = json.dumps({"name": "e2e", "text": "we were here"}).encode()
    signed = box.get("/entries", host=host, method="POST", body=line, headers={"Content-Type": "application/json"})
    assert signed.status == 201
    instances = set()
    for _ in range(20):
        seen = box.get("/entries", host=host).json
        assert seen["entries"][0]["text"] == "we were here"
        instances.add(seen["instance"])
    assert len(instances) == 2
    assert "we were here" in box.get("/guestbook", host="any.name").text, "the path route answers on every host"

    redis = next(name for name in podman.containers("guestbook") if "-redis-" in name)
    wait_for("the append-only file is written", lambda: podman.run("exec", redis, "du", "/data").strip())
    podman.run("kill", redis)
    wait_for("Redis is back with its data", lambda: _entries(box, host) and box.app("guestbook")["state"] == "running")
    assert _entries(box, host)[0]["text"] == "we were here"


def _entries(box: Box, host: str) -> list[dict[str, object]]:
    answer = box.get("/entries", host=host)
    return list(answer.json["entries"]) if answer.status == 200 else []


def test_iot(box: Box, author: Author, workshop: PrivatePodman) -> None:
    """MQTT goes in on a port of the box, a Node-RED flow keeps it, HTTP shows it, and the editor's socket is alive."""
    source = prepare("iot", workshop)
    port = free_port()
    copy = workshop.directory / "iot"
    copy.mkdir()
    spec = tomllib.loads((source / "app.toml").read_text())
    for name, service in spec["services"].items():
        (copy / name).symlink_to(source / name)
        if name == "mosquitto":
            service["tcp"] |= {"listen": port, "port": 1883}
    (copy / "app.toml").write_text(tomli_w.dumps(spec))
    box.cli("deploy", author.build(copy, "iot"), timeout=300)
    host = "iot.localhost"

    publish(port, "sensors/cellar", b"12.5")
    readings = wait_for("the flow has seen it", lambda: box.get("/api/readings", host=host).json)
    assert readings["sensors/cellar"]["value"] == 12.5

    editor = box.get("/", host=host)
    assert editor.status == 200
    assert "Node-RED" in editor.text
    settings = box.get("/settings", host=host).json
    assert settings["version"] == _pinned()
    assert "hb" in websocket_text(box.ingress, host, "/comms")


def _pinned() -> str:
    version = json.loads((EXAMPLES / "iot/nodered/package.json").read_text())["dependencies"]["node-red"]
    assert isinstance(version, str)
    return version


def publish(port: int, topic: str, payload: bytes) -> None:
    """One MQTT 3.1.1 message, QoS 1, and wait for its acknowledgement (OASIS MQTT 3.1.1, section 3)."""
    name = topic.encode()
    connect = b"\x00\x04MQTT\x04\x02\x00\x1e" + struct.pack(">H", 4) + b"test"
    message = struct.pack(">H", len(name)) + name + b"\x00\x01" + payload
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(bytes([0x10, len(connect)]) + connect)
        assert sock.recv(4) == b"\x20\x02\x00\x00"
        sock.sendall(bytes([0x32, len(message)]) + message)
        assert sock.recv(4) == b"\x40\x02\x00\x01"


def websocket_text(port: int, host: str, path: str) -> str:
    """Open a WebSocket through the ingress and return its first text message (RFC 6455)."""
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(request.encode())
        stream = sock.makefile("rb")
        status = stream.readline()
        assert b" 101 " in status, status
        while stream.readline() not in (b"\r\n", b""):
            pass
        first, length = stream.read(2)
        assert first == 0x81, "a whole text message"
        size = length & 0x7F
        if size == 126:
            size = struct.unpack(">H", stream.read(2))[0]
        return stream.read(size).decode()


def test_compose_import_of_the_guestbook(box: Box, author: Author, workshop: PrivatePodman) -> None:
    """The Compose file becomes an app.toml that builds, deploys and answers."""
    source = prepare("guestbook", workshop)
    copy = workshop.directory / "composed"
    copy.mkdir()
    for name in ("web", "redis", "compose.yaml"):
        place = source / name
        shutil.copytree(place, copy / name) if place.is_dir() else shutil.copy(place, copy / name)
    compose = copy / "compose.yaml"
    port = free_port()
    compose.write_text(compose.read_text().replace("8000:8000", f"127.0.0.1:{port}:8000"))
    author.program.run("bundle", "init", copy, "--from", compose)
    spec = tomllib.loads((copy / "app.toml").read_text())
    assert spec["services"]["web"]["read_only"] is False, "Compose's meaning is kept by writing it out"
    assert set(spec["services"]) == {"web", "redis"}
    # Compose has no release hook: its web would wait for a schema that nobody makes
    spec["services"]["web"].setdefault("hooks", {})["release"] = ["python3", "migrate.py"]
    (copy / "app.toml").write_text(tomli_w.dumps(spec))
    box.cli("deploy", author.build(copy, "composed"))
    assert fetch(port, "/healthz").json["ok"] is True
