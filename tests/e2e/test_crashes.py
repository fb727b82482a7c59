"""Crash scenes on real Podman: they say why without the container, and have the file that was written last."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from kit.box import Author, Box, prepare, wait_for
from kit.podman import PrivatePodman

FALLS = """
#include <unistd.h>
int main(void) {
    while (access("/tmp/go", F_OK)) usleep(20000);
    *(volatile int *)0 = 1;
    return 0;
}
"""
WAIT = """
import os, sys, time
def last(text):
    for piece in (*text, "\\n"):
        os.write(1, piece.encode())
    with open("/tmp/last", "w") as file:
        file.write(text)
def wait():
    while not os.path.exists("/tmp/go"):
        time.sleep(0.02)
"""
EATS = f"""{WAIT}
wait()
last("opening one more tab")
kept = []
while True:
    kept.append(bytearray(1 << 20))
"""
HANGS = f"""{WAIT}
import http.server, threading
lock = threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists("/tmp/go"):
            last("taking the lock twice")
            lock.acquire()
            lock.acquire()
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass
http.server.HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
FILLS = f"""{WAIT}
wait()
last("writing the report")
try:
    with open("/dev/shm/report", "wb") as file:
        while True:
            file.write(bytes(1 << 20))
except OSError as error:
    print(f"cannot write the report: {{error.strerror}}", end="", flush=True)
    sys.exit(28)
"""
APP = """
[app]
name = "wretch"
version = "1.0.0"
[rollout]
confirm = "500ms"
[services.falls]
build = "."
command = ["sh", "-c", "cd /tmp; echo 'one step too far' | tee last; /falls; exit $?"]
env = { API_TOKEN = "hunter2", LEVEL = "high" }
[services.eats]
build = "."
command = ["python3", "/eats.py"]
memory = "48MiB"
[services.hangs]
build = "."
command = ["python3", "/hangs.py"]
port = 8080
health = { http = "/", interval = "300ms", timeout = "300ms", grace = "15s", retries = 2 }
stop = "1s"
[services.fills]
build = "."
command = ["python3", "/fills.py"]
"""


@pytest.fixture(scope="module")
def wretch(author: Author, workshop: PrivatePodman, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of an app each of whose services fails in its own way when it is told to."""
    prepare("guestbook", workshop)
    source = tmp_path_factory.mktemp("wretch")
    (source / "falls.c").write_text(FALLS)
    subprocess.run(["gcc", "-static", "-O1", "-o", source / "falls", source / "falls.c"], check=True, timeout=60)
    for name, text in (("eats", EATS), ("hangs", HANGS), ("fills", FILLS)):
        (source / f"{name}.py").write_text(text)
    (source / "Containerfile").write_text(
        "FROM localhost/debian-guestbook:bookworm\nCOPY falls eats.py hangs.py fills.py /\n"
        "ENV PYTHONUNBUFFERED=1\nUSER 1000:1000\n"
    )
    (source / "app.toml").write_text(APP)
    return author.build(source, "wretch")


def go(box: Box, service: str) -> str:
    """Tell a service's instance to fail; its container's name."""
    (name,) = [one.name for one in (box.data / "scratch").iterdir() if f"-wretch-{service}-" in one.name]
    (box.data / "scratch" / name / "tmp/go").touch()
    return name


def scene(box: Box, service: str) -> dict[str, Any]:
    """The scene of a service's instance, once it is kept."""

    def look() -> dict[str, Any] | None:
        groups = box.cli("crashes", "wretch", "--json").json["groups"]
        found = [one for one in groups if one["service"] == service]
        return found[0] if found else None

    group = wait_for(f"the scene of {service}", look)
    return box.cli("crash", "show", group["id"], "--json").json["capsule"]


def written(box: Box, capsule: dict[str, Any]) -> dict[str, bytes]:
    """The files in a scene."""
    url = f"http://box/api/v1/crashes/{capsule['id']}/files"
    got = subprocess.run(
        ["curl", "-fsS", "--unix-socket", box.data / "minipaas.sock", url], capture_output=True, timeout=30, check=True
    )
    plain = zstandard.ZstdDecompressor().stream_reader(got.stdout).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isreg()}  # type: ignore[union-attr]


def test_every_way_to_die(boxes: Callable[..., Box], author: Author, wretch: Path, podman: PrivatePodman) -> None:
    box = boxes()
    box.start()
    box.cli("trust", "add", author.root)
    box.cli("deploy", wretch)
    names = {service: go(box, service) for service in ("falls", "eats", "hangs", "fills")}
    found = {service: scene(box, service) for service in names}
    for service, name in names.items():
        assert found[service]["instance"] == name
    # Nothing of what follows asks the containers: they are gone.
    box.stop()
    for name in names.values():
        podman.run("rm", "-f", "-t", "0", name)
    box.start()

    falls = found["falls"]
    assert (falls["cause"], falls["exit_code"], falls["signal"]) == ("signal", 139, "SIGSEGV")
    assert falls["last_words"][-1].startswith(("one step too far", "Segmentation fault"))
    assert falls["environment"]["LEVEL"] == "high"
    assert "hunter2" not in str(falls)
    files = written(box, falls)
    assert files["tmp/last"] == b"one step too far\n"
    assert falls["cores"] == ["/tmp/core"]
    assert files["tmp/core"].startswith(b"\x7fELF")
    assert {"path": "/tmp/last", "what": "added", "size": 17, "podmans": False} in falls["changes"]
    assert "/tmp/core" in [one["path"] for one in falls["changes"]]

    eats = found["eats"]
    assert (eats["cause"], eats["exit_code"]) == ("memory", 137)
    assert eats["reason"] == "the kernel killed it: it wanted more memory than its limit"
    assert (eats["figures"]["reached"], eats["figures"]["most"]) == (True, 48 * 1024**2)
    assert eats["last_words"] == ["opening one more tab"]
    assert written(box, eats)["tmp/last"] == b"opening one more tab"

    hangs = found["hangs"]
    assert hangs["cause"] == "health"
    assert hangs["reason"].startswith("failed its health check: GET /: no answer within 0.3 s")
    assert [one["ok"] for one in hangs["probes"]][-2:] == [False, False]
    assert written(box, hangs)["tmp/last"] == b"taking the lock twice"
    (stuck,) = [one for one in hangs["alive"]["processes"] if "/hangs.py" in one["command"] and one["pid"] != 1]
    assert stuck["state"] == "S"
    assert stuck["wait"].startswith("futex") or stuck["stack"][:1] == ["futex_wait_queue"] or not stuck["wait"]
    assert hangs["figures"]["most"] > stuck["memory"] // 2  # what the kernel had counted before it was stopped
    assert any(each["call"] == "futex" for each in stuck["stacks"])
    assert {"kind": "tcp", "local": "0.0.0.0:8080", "peer": "0.0.0.0:0", "state": "LISTEN"} in hangs["alive"]["sockets"]

    fills = found["fills"]
    assert (fills["cause"], fills["exit_code"]) == ("exit", 28)
    assert fills["last_words"] == ["writing the report", "cannot write the report: No space left on device"]

    shown = box.cli("crash", "show", falls["id"]).out
    assert "ended by SIGSEGV" in shown
    assert re.search(r"^  A /tmp/last +17 B$", shown, re.MULTILINE)
    assert "its limit of memory: 48.0 MiB, which it reached" in box.cli("crash", "show", eats["id"]).out
    had_open = box.cli("crash", "show", hangs["id"], "--all").out.partition("what its processes had open")[2]
    assert re.search(r"\d+: 1 -> pipe:", had_open)
    assert "core files: /tmp/core" in shown
    told = box.cli("crashes").out
    assert "failed its health check" in told
    # One file, for any machine.
    key = box.directory / "box.pub"
    key.write_text(box.cli("crash", "key").out)
    file = box.directory / "falls.crash"
    box.cli("crash", "export", falls["id"], "-o", file)
    alone = box.program.run("crash", "show", file, "--key", key, MINIPAAS_HOST="unix:///nowhere")
    assert "ended by SIGSEGV" in alone.out
    file.write_bytes(file.read_bytes().replace(b"one step too far", b"one step too few"))
    assert box.cli("crash", "show", file, check=False).code == 3

    # Into the scene: its files, its environment, its image; nothing of the world.
    assert box.cli("crash", "open", falls["id"], "--", "cat", "/tmp/last").out == "one step too far\n"
    inside = box.cli("crash", "open", falls["group"], "--", "sh", "-c", "env; ls -l /tmp; ls /sys/class/net; id -u").out
    assert "API_TOKEN=hunter2" in inside
    assert "LEVEL=high" in inside
    assert re.search(r"-rw-\S+ 1 1000 +1000 .* core$", inside, re.MULTILINE)
    assert inside.splitlines()[-2:] == ["lo", "1000"]
    assert box.cli("crash", "open", hangs["id"], "--", "sh", "-c", "exit 7", check=False).code == 7
    assert box.cli("crash", "open", hangs["id"], "--", "no-such-thing", check=False).code == 127
    assert "minipaas-scene" not in podman.run("ps", "-a")
    assert "access.scene" in box.cli("audit", "--action", "access").out

    box.cli("crash", "remove", falls["group"], "--yes")
    gone = box.cli("crash", "show", falls["id"], check=False)
    assert gone.code == 4
    assert "minipaas crashes" in gone.err
