"""A whole box with TLS, on the fake Podman: apps over https, the API on the LAN, with the real command line."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from minipaas.app import box as a_box
from minipaas.ingress.listen import bind
from minipaas.model.certificate import Source
from minipaas.model.config import AcmeConfig, CertificateFiles, TlsConfig
from minipaas.takeover.listeners import Held, Listeners
from tests.boxes import PATIENCE, RunningBox, config, fake, running_box, toml
from tests.certs.acmeserver import AcmeServer
from tests.certs.made import OtherCa
from tests.fakepodman.server import FakePodman

__all__ = ["fake"]


@asynccontextmanager
async def secure_box(fake: FakePodman, tmp_path: Path, tls: TlsConfig | None = None) -> AsyncIterator[RunningBox]:
    plain = config(fake)
    ingress = msgspec.structs.replace(plain.ingress, https=("127.0.0.1:0",))
    async with running_box(fake, tmp_path, msgspec.structs.replace(plain, ingress=ingress, tls=tls)) as box:
        await box.trust()
        yield box


async def get(box: RunningBox, ca: Path, host: str = "shop.local", path: str = "/") -> tuple[int, dict[str, str]]:
    """Over https, by the name that is asked for."""
    context = ssl.create_default_context(cafile=ca)
    async with aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{box.control.ingress.secure[0][1]}{path}"
        async with session.get(url, headers={"Host": host}, ssl=context, server_hostname=host) as answer:
            await answer.read()
            return answer.status, dict(answer.headers)


def root(box: RunningBox, tmp_path: Path) -> Path:
    keeper = box.control.certificates
    assert keeper is not None
    path = tmp_path / "ca.pem"
    path.write_bytes(keeper.authority.pem)
    return path


async def test_an_app_over_https(fake: FakePodman, tmp_path: Path) -> None:
    async with secure_box(fake, tmp_path, TlsConfig(plain=("sensors.local",))) as box:
        change = await box.deploy(toml(routes='"shop.local", "*.shop.local/x", "sensors.local"'))
        assert change.state == "done", change.reason
        ca = root(box, tmp_path)
        assert (await get(box, ca))[0] == 200
        assert (await get(box, ca, "a.shop.local", "/x"))[0] == 200
        assert (await get(box, ca, "nobody.local"))[0] == 404
        status, _ = await box.get("sensors.local")
        assert status == 200
        async with aiohttp.ClientSession() as session:
            port = box.control.ingress.addresses[0][1]
            url = f"http://127.0.0.1:{port}/a?b"
            async with session.get(url, headers={"Host": "shop.local"}, allow_redirects=False) as answer:
                secure = box.control.ingress.secure[0][1]
                assert (answer.status, answer.headers["Location"]) == (308, f"https://shop.local:{secure}/a?b")


async def test_the_operators_files_serve_and_are_watched(fake: FakePodman, tmp_path: Path) -> None:
    ca = OtherCa()
    other = tmp_path / "other.pem"
    other.write_bytes(ca.pem)
    path = ca.file(tmp_path / "shop.pem", "shop.local", now=time.time())
    async with secure_box(fake, tmp_path, TlsConfig(certificate=(CertificateFiles(cert=str(path)),))) as box:
        await box.deploy(toml())
        assert (await get(box, other))[0] == 200
        keeper = box.control.certificates
        assert keeper is not None
        before = keeper.pair("shop.local").facts
        ca.file(path, "shop.local", now=time.time())
        await box.control.reload_certificates(actor="test", origin="test")
        assert keeper.pair("shop.local").facts != before
        assert (await get(box, other))[0] == 200
        path.write_text("nonsense")
        await box.control.reload_certificates(actor="test", origin="test")
        assert keeper.pair("shop.local").facts.source is Source.FILE
        assert (await get(box, other))[0] == 200
        rows = await box.control.registry.audit_log(2)
        assert [(row.action, row.subject) for row in rows] == [("reload", "certificates")] * 2
        assert rows[1].result == "ok"
        assert str(path) in rows[0].result


async def test_a_box_fetches_the_certificate_of_a_route(fake: FakePodman, tmp_path: Path) -> None:
    async with AcmeServer(tmp_path, 0, time.time() - 3600) as server:
        acme = AcmeConfig(agree=True, directory=server.directory, ca=str(server.root))
        async with secure_box(fake, tmp_path, TlsConfig(acme=acme)) as box:
            server.proof_port = box.control.ingress.addresses[0][1]
            await box.deploy(toml(routes='"shop.example.com", "shop.local"'))
            await box.control.reload_certificates(actor="test", origin="test")
            keeper = box.control.certificates
            assert keeper is not None
            await box.until(lambda: any(one.source is Source.ACME for one in keeper.certificates()))
            public = tmp_path / "public.pem"
            public.write_bytes(server.ca.pem)
            assert (await get(box, public, "shop.example.com"))[0] == 200
            assert (await get(box, root(box, tmp_path), "shop.local"))[0] == 200
            assert keeper.troubles() == ()


async def test_files_that_are_bad_at_the_start_do_not_keep_the_box_from_it(fake: FakePodman, tmp_path: Path) -> None:
    tls = TlsConfig(certificate=(CertificateFiles(cert=str(tmp_path / "nowhere.pem")),))
    async with secure_box(fake, tmp_path, tls) as box:
        await box.deploy(toml())
        assert (await get(box, root(box, tmp_path)))[0] == 200
        keeper = box.control.certificates
        assert keeper is not None
        assert len(keeper.troubles()) == 1


async def test_a_disk_that_takes_nothing_does_not_keep_the_box_from_it(fake: FakePodman, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/tls").write_text("in the way")
    async with secure_box(fake, tmp_path) as box:
        await box.deploy(toml())
        ca = root(box, tmp_path)
        assert (await get(box, ca))[0] == 200
        keeper = box.control.certificates
        assert keeper is not None
        (trouble,) = keeper.troubles()
        assert trouble.startswith(f"cannot keep the CA in {tmp_path}/data/tls/authority.pem: ")
        (tmp_path / "data/tls").unlink()
        await keeper.look()
        assert keeper.troubles() == ()
        assert keeper.authority.pem in (tmp_path / "data/tls/authority.pem").read_bytes()
        assert (await get(box, ca))[0] == 200


async def test_on_the_socket_that_the_service_manager_gave(fake: FakePodman, tmp_path: Path) -> None:
    (sock,) = bind([("127.0.0.1", 0)], 5)
    where = sock.getsockname()
    (tmp_path / "data").mkdir()
    settings = msgspec.structs.replace(config(fake), tls=TlsConfig())
    async with a_box(settings, tmp_path / "data", Listeners([Held("https", "", sock)])) as (control, _):
        assert control.ingress.secure == (where,)
        assert control.certificates is not None
        ca = tmp_path / "ca.pem"
        ca.write_bytes(control.certificates.authority.pem)
        context = ssl.create_default_context(cafile=ca)
        url = f"https://127.0.0.1:{where[1]}/"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as answer:
            assert (answer.status, answer.headers["X-Minipaas"]) == (404, "route.unknown")


# -- the API on the LAN, as processes


@asynccontextmanager
async def served(
    fake: FakePodman, tmp_path: Path, more: str = ""
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A box in a process of its own, its API on every address; and its port."""
    text = f'[api]\nlisten = ["0.0.0.0:0"]\n{more}[ingress]\nhttp = ["127.0.0.1:0"]\n[limits]\nreserve = "1KiB"\n'
    file = tmp_path / "config.toml"
    file.write_text(f'{text}[podman]\nsocket = "unix://{fake.socket}"\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "minipaas", "serve", "--config", str(file), "--data", str(tmp_path / "data")),
        stderr=asyncio.subprocess.PIPE,
    )
    port = 0
    try:
        async with asyncio.timeout(PATIENCE):
            assert process.stderr is not None
            async for line in process.stderr:
                if b"page   https://" in line:
                    port = int(line.strip().rpartition(b":")[2])
                if b"socket" in line:
                    break
        assert port
        yield process, port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def cli(*words: str, **env: str) -> tuple[int, str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MINIPAAS_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "minipaas", *words),
        env={**clean, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_api_beyond_this_machine(fake: FakePodman, tmp_path: Path) -> None:
    async with served(fake, tmp_path, 'names = ["box.lan", "localhost"]\n') as (_, port):
        local, there = f"unix://{tmp_path}/data/minipaas.sock", f"https://127.0.0.1:{port}"
        code, out, err = await cli("status", "--to", there)
        assert (code, out) == (5, "")
        assert "cannot trust" in err
        assert "ssh 127.0.0.1 minipaas certs ca > ca.pem" in err

        code, pem, fingerprint = await cli("certs", "ca", "--to", local)
        assert code == 0
        ca = tmp_path / "ca.pem"
        ca.write_text(pem)
        code, out, _ = await cli("certs", "--to", local)
        assert fingerprint.strip() in out
        assert "box.lan, localhost, " in out
        assert "API" in out

        _, secret, _ = await cli("token", "new", "ops", "--role", "admin", "--to", local)
        for host in ("127.0.0.1", "localhost"):
            code, out, err = await cli(
                "status", "--to", f"https://{host}:{port}", "--ca", str(ca), MINIPAAS_TOKEN=secret.strip()
            )
            assert (code, err) == (0, "")
        code, out, err = await cli("certs", "reload", "--to", there, MINIPAAS_CA=str(ca), MINIPAAS_TOKEN=secret.strip())
        assert (code, out) == (0, "0 own certificates\n"), err
        code, out, err = await cli("certs", "reload", "--to", there, MINIPAAS_CA=str(ca))
        assert code == 3, err
        code, out, err = await cli("status", "--to", f"http://127.0.0.1:{port}")
        assert code == 5, "no http where there is TLS"


async def test_the_apis_own_certificate_and_sighup(fake: FakePodman, tmp_path: Path) -> None:
    ca = OtherCa()
    path = ca.file(tmp_path / "api.pem", "localhost", now=time.time())
    other = tmp_path / "other.pem"
    other.write_bytes(ca.pem)
    async with served(fake, tmp_path, f'cert = "{path}"\n') as (process, port):
        there = f"https://localhost:{port}"
        assert (await cli("status", "--to", there, "--ca", str(other)))[0] == 0
        newer = OtherCa("Newer CA")
        newer.file(path, "localhost", now=time.time())
        other.write_bytes(newer.pem)
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while (await cli("status", "--to", there, "--ca", str(other)))[0] != 0:
                pass
        assert process.returncode is None
