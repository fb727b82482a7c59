"""TLS on a real box: two apps, each with its certificate, other people's clients, big bodies, files under load."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from kit.box import EXAMPLES, REPO, Author, Box, free_port, wait_for

from tests.certs.made import OtherCa
from tests.e2e.books import block
from tests.e2e.hello import HOST, HelloBundles
from tests.e2e.load import Load, Named

BULK = 100_000_000
BULK_CGI = """#!/bin/sh
if [ "$REQUEST_METHOD" = POST ]; then
    printf 'Content-Type: text/plain\\r\\n\\r\\n'
    busybox head -c "$CONTENT_LENGTH" | busybox sha256sum
else
    printf 'Content-Type: application/octet-stream\\r\\nContent-Length: %d\\r\\n\\r\\n' BULK
    busybox head -c BULK /dev/zero
fi
"""
WEBSOCKET = """#!/bin/sh
while read -r line; do
    line=${line%?}
    case $line in Sec-WebSocket-Key:*) key=${line#* } ;; "") break ;; esac
done
[ -n "$key" ] || { printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n'; exit 0; }
sum=$(printf '%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11' "$key" | busybox sha1sum)
accept=$(printf '%s' "${sum%% *}" | busybox xxd -r -p | busybox base64)
printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'
printf 'Sec-WebSocket-Accept: %s\\r\\n\\r\\n\\201\\005hello' "$accept"
cat >/dev/null
"""
APP = """
[app]
name = "mover"
version = "1.0.0"
[rollout]
confirm = "500ms"
[services.web]
build = "."
port = 8080
routes = ["mover.localhost"]
[services.talk]
build = "."
command = ["busybox", "nc", "-ll", "-p", "8081", "-e", "/www/talk"]
port = 8081
routes = ["mover.localhost/talk"]
"""


@pytest.fixture(scope="module")
def mover(hello: HelloBundles, author: Author) -> Path:
    """The bundle of an app that moves many bytes, and talks."""
    source = hello.directory / "mover"
    shutil.copytree(EXAMPLES / "hello", source, symlinks=True)
    (source / "app.toml").write_text(APP)
    for name, text in (("cgi-bin/bulk", BULK_CGI.replace("BULK", str(BULK))), ("talk", WEBSOCKET)):
        (source / "www" / name).write_text(text)
        (source / "www" / name).chmod(0o755)
    return author.build(source, "mover")


@pytest.fixture
def secure(boxes: Callable[..., Box], author: Author) -> Iterator[Box]:
    """A running box with TLS that trusts the author, and its root in `ca.pem`."""
    box = boxes(tls=True)
    box.start()
    box.cli("trust", "add", author.root)
    (box.directory / "ca.pem").write_text(box.cli("certs", "ca").out)
    return box


def curl(box: Box, url: str, *more: str) -> subprocess.CompletedProcess[str]:
    """As a user would, with the box's CA alone; names of *.localhost are this machine."""
    to = f"{url.split('/')[2].partition(':')[0]}"
    return subprocess.run(
        ["curl", "-sS", "--cacert", str(box.directory / "ca.pem"), "--connect-to", f"{to}::127.0.0.1:", *more, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def s_client(box: Box, *more: str) -> str:
    """What openssl sees."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{box.secure}", "-CAfile", str(box.directory / "ca.pem"), *more],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_two_apps_each_with_its_certificate(secure: Box, hello: HelloBundles, mover: Path) -> None:
    done = secure.cli("deploy", hello())
    assert f"https://{HOST}:{secure.secure}/" in done.out
    secure.cli("deploy", mover)
    for host, text in ((HOST, "Hello from version"), ("mover.localhost", "Hello from version")):
        answer = curl(secure, f"https://{host}:{secure.secure}/")
        assert (answer.returncode, answer.stderr) == (0, "")
        assert text in answer.stdout
        seen = s_client(secure, "-servername", host, "-verify_hostname", host, "-alpn", "h2,http/1.1")
        assert re.search(rf"subject=CN = {re.escape(host)}\n", seen)
        assert "Verify return code: 0 (ok)" in seen
        assert "ALPN protocol: http/1.1" in seen
        assert "TLSv1.3" in seen
    assert "CN = 127.0.0.1" in s_client(secure, "-noservername")
    assert "Verify return code: 0 (ok)" in s_client(secure, "-tls1_2", "-servername", HOST)
    for old in ("-tls1_1", "-tls1"):
        seen = s_client(secure, old, "-cipher", "ALL:@SECLEVEL=0", "-servername", HOST)
        assert "no peer certificate available" in seen
    assert "no peer certificate available" in s_client(secure, "-tls1_2", "-cipher", "AES128-SHA")

    redirected = curl(
        secure, f"http://{HOST}:{secure.ingress}/a?b=c", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"
    )
    assert redirected.stdout == f"308 https://{HOST}:{secure.secure}/a?b=c"
    wrong = curl(secure, f"http://{HOST}:{secure.secure}/")
    assert "https://" in wrong.stdout

    told = secure.cli("certs", "--json").json
    assert {tuple(one["routes"]) for one in told["certificates"]} >= {
        (HOST,),
        ("mover.localhost", "mover.localhost/talk"),
    }
    before = {one["fingerprint"] for one in told["certificates"] if one["routes"]}
    wait_for("they are written", lambda: len(list((secure.data / "tls/issued").glob("*.pem"))) == 3)
    secure.stop()
    secure.start()
    after = {one["fingerprint"] for one in secure.cli("certs", "--json").json["certificates"] if one["routes"]}
    assert after == before, "the same certificates after a restart"


def test_many_bytes_and_a_websocket(secure: Box, mover: Path) -> None:
    secure.cli("deploy", mover)
    tls = ssl.create_default_context(cafile=secure.directory / "ca.pem")
    curl(secure, f"https://mover.localhost:{secure.secure}/")
    before = resident(secure.pid)
    highest = 0

    down = Named("mover.localhost", secure.secure, tls)
    down.request("GET", "/cgi-bin/bulk")
    response = down.getresponse()
    assert response.status == 200
    length = 0
    while piece := response.read(1 << 20):
        length += len(piece)
        highest = max(highest, resident(secure.pid))
    assert length == BULK

    def pieces() -> Iterator[bytes]:
        nonlocal highest
        for _ in range(BULK // 1_000_000):
            highest = max(highest, resident(secure.pid))
            yield bytes(1_000_000)

    down.request("POST", "/cgi-bin/bulk", pieces(), {"Content-Length": str(BULK)})
    answer = down.getresponse().read().decode()
    down.close()
    assert answer.split()[0] == hashlib.sha256(bytes(BULK)).hexdigest()
    assert highest - before < 16_000_000

    async def talk() -> object:
        async with aiohttp.ClientSession() as session:
            url = f"https://127.0.0.1:{secure.secure}/talk"
            headers = {"Host": "mover.localhost"}
            async with session.ws_connect(
                url, ssl=tls, server_hostname="mover.localhost", headers=headers
            ) as websocket:
                return await websocket.receive_str(timeout=10)

    tls.check_hostname = True
    assert asyncio.run(talk()) == "hello"


def test_files_change_under_load_and_no_request_fails(
    boxes: Callable[..., Box], author: Author, hello: HelloBundles, tmp_path: Path
) -> None:
    ca = OtherCa()
    root = tmp_path / "other.pem"
    root.write_bytes(ca.pem)
    path = ca.file(tmp_path / "hello.pem", HOST, now=time.time())
    box = boxes(tls=True, config=f'[[tls.certificate]]\ncert = "{path}"\n')
    box.start()
    box.cli("trust", "add", author.root)
    box.cli("deploy", hello())
    tls = ssl.create_default_context(cafile=root)
    seen = set()
    with Load(box, HOST, tls=tls) as load:
        for number in range(10):
            ca.file(path, HOST, now=time.time())
            box.cli("certs", "reload")
            if number == 5:
                path.write_text("nonsense")
                broken = box.cli("certs", "reload", check=False)
                assert broken.code == 1
                assert str(path) in broken.err
            seen |= {one["fingerprint"] for one in box.cli("certs", "--json").json["certificates"] if one["file"]}
    assert len(seen) == 10
    assert load.failures == []
    assert load.count > 50


def typed(box: Box, text: str, where: Path, **env: str) -> str:
    """What a reader of the handbook types; `ssh` comes to this machine."""
    ran = subprocess.run(
        ["bash", "-c", f'set -e\nssh() {{ shift; "$@"; }}\n{text}'],
        cwd=where,
        env=box.program.environment(PATH=f"{REPO}/.venv/bin:{os.environ['PATH']}", MINIPAAS_HOST=box.url, **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, f"{text}\n---\n{ran.stdout}{ran.stderr}\n{box.story()}"
    return ran.stdout


def test_what_the_handbook_says(boxes: Callable[..., Box], tmp_path: Path) -> None:
    box = boxes(tls=True)
    lan = free_port()
    usual = f'listen = ["127.0.0.1:{box.page}"'
    box.config.write_text(
        box.config.read_text().replace(f"{usual}]", f'{usual}, "0.0.0.0:{lan}"]\nnames = ["localhost"]')
    )
    box.start()
    said = typed(box, block("docs/operator-handbook.md", "tls"), tmp_path)
    assert f"127.0.0.1:{box.secure}" in said
    assert (tmp_path / "ca.pem").read_text().startswith("-----BEGIN CERTIFICATE")
    (tmp_path / "token").write_text(box.cli("token", "new", "laptop", "--role", "read").out)
    there = block("docs/operator-handbook.md", "lan").replace("edge1.plant.lan:7070", f"localhost:{lan}")
    assert "No apps yet" in typed(box, there, tmp_path)
