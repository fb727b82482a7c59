"""Which Podman is meant, and a service of our own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from minipaas.engine.socket import OwnService, find_socket
from minipaas.model.errors import EngineDown, Invalid
from tests.engine.conftest import until


@pytest.mark.parametrize(
    ("configured", "environ", "expected"),
    [
        ("unix:///a.sock", {"CONTAINER_HOST": "unix:///b.sock"}, "/a.sock"),
        ("", {"CONTAINER_HOST": "unix:///b.sock"}, "/b.sock"),
        ("/plain/path.sock", {}, "/plain/path.sock"),
    ],
)
def test_the_operator_s_word_comes_first(configured: str, environ: dict[str, str], expected: str) -> None:
    assert find_socket(configured, environ=environ) == expected


@pytest.mark.parametrize("value", ["tcp://10.0.0.1:8080", "ssh://root@box/run/podman.sock", "unix://relative", "x"])
def test_a_podman_elsewhere_is_an_error_not_a_fallback(value: str) -> None:
    with pytest.raises(Invalid, match="cannot use CONTAINER_HOST") as caught:
        find_socket(environ={"CONTAINER_HOST": value})
    assert "unix:///" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root uses the system's socket")
def test_the_user_s_socket(tmp_path: Path) -> None:
    (tmp_path / "podman").mkdir()
    path = tmp_path / "podman" / "podman.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert find_socket(environ={"XDG_RUNTIME_DIR": str(tmp_path)}) == str(path)


FAKE_PODMAN = """#!/bin/sh
# Stands in for `podman system service --time=0 unix://PATH`.
echo "a warning" >&2
exec python3 -c '
import os, socketserver, sys
class H(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.0 200 OK\\r\\n\\r\\nOK")
socketserver.UnixStreamServer(sys.argv[1][7:], H).serve_forever()
' "$4"
"""
BROKEN_PODMAN = """#!/bin/sh
echo 'Error: no space left on device' >&2
exit 125
"""


@pytest.fixture
def podman_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory / "podman"


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


async def test_our_own_service_comes_back_and_ends_with_us(podman_on_path: Path, tmp_path: Path) -> None:
    write_program(podman_on_path, FAKE_PODMAN)
    restarts = []
    service = OwnService(tmp_path, lambda: restarts.append(1))
    assert await service.start() == str(tmp_path / "podman.sock")
    first = service.pid
    assert first is not None
    try:
        os.kill(first, signal.SIGKILL)

        async def back() -> bool:
            return bool(restarts)

        await until(back)
        second = service.pid
        assert second not in (None, first)
    finally:
        await service.stop()
    assert not Path(f"/proc/{second}").exists()  # noqa: ASYNC240
    assert not (tmp_path / "podman.sock").exists()


async def test_our_own_service_does_not_speak_to_the_service_manager(
    podman_on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman would say that it is the main process of our unit."""
    write_program(podman_on_path, FAKE_PODMAN)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    service = OwnService(tmp_path)
    await service.start()
    try:
        given = Path(f"/proc/{service.pid}/environ").read_bytes()  # noqa: ASYNC240
        assert b"PATH=" in given
        assert b"NOTIFY_SOCKET" not in given
        assert b"WATCHDOG" not in given
    finally:
        await service.stop()


async def test_an_orphan_of_a_killed_minipaas_is_replaced(podman_on_path: Path, tmp_path: Path) -> None:
    write_program(podman_on_path, FAKE_PODMAN)
    killed = OwnService(tmp_path)
    await killed.start()
    orphan = killed.pid
    service = OwnService(tmp_path)
    await service.start()
    try:
        assert service.pid != orphan

        async def gone() -> bool:
            return killed._process is None or killed._process.returncode is not None

        await until(gone)
    finally:
        await killed.stop()
        await service.stop()


async def test_a_service_that_does_not_start_says_why(podman_on_path: Path, tmp_path: Path) -> None:
    write_program(podman_on_path, BROKEN_PODMAN)
    with pytest.raises(EngineDown, match="cannot start Podman: Error: no space left on device"):
        await OwnService(tmp_path).start()


async def test_without_podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("podman") is None
    with pytest.raises(EngineDown, match="no podman on PATH") as caught:
        await OwnService(tmp_path).start()
    assert "apt install podman" in caught.value.hint


async def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    with pytest.raises(EngineDown, match="too long") as caught:
        await OwnService(tmp_path / ("x" * 120)).start()
    assert "--data" in caught.value.hint
