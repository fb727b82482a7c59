"""Starting and stopping: whose socket it is, and where it listens."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import stat
from pathlib import Path

import aiohttp
import pytest

from minipaas.model.config import Config
from minipaas.model.errors import Conflict, MinipaasError, Refused
from minipaas.surface.server import Surface
from tests.surface.small import SmallBox, SmallControl, small_box


async def test_the_socket_is_for_its_owner_only_and_gone_at_the_end(tmp_path: Path) -> None:
    async with small_box(tmp_path) as box:
        mode = box.socket.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
    assert not box.socket.exists()
    assert sorted(path.name for path in box.socket.parent.glob("minipaas.sock*")) == []


@pytest.mark.parametrize("left", ["stale socket", "file"])
async def test_what_a_killed_box_left_is_replaced(tmp_path: Path, left: str) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "minipaas.sock"
    if left == "file":
        path.write_text("")
    else:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
    control = SmallControl(tmp_path / "data", Config())
    surface = Surface()
    try:
        await surface.start(control, path, [])
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession("http://box", connector=connector) as session,
            session.get("/healthz") as response,
        ):
            assert response.status == 200
    finally:
        await surface.close()
        await control.registry.close()


async def test_a_living_boxs_socket_is_not_taken(box: SmallBox) -> None:
    other = Surface()
    with pytest.raises(Conflict, match="another minipaas"):
        await other.start(box.control, box.socket, [])
    await other.close()
    async with box.local() as session, session.get("/healthz") as response:
        assert response.status == 200


async def test_a_path_longer_than_a_socket_name_works(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / ("path" * 20)
    deep.mkdir(parents=True)
    async with small_box(deep) as box:
        assert len(str(box.socket)) > 108
        assert box.socket.is_socket()


async def test_a_port_that_is_taken_is_told(box: SmallBox, tmp_path: Path) -> None:
    other = Surface()
    with pytest.raises(Conflict, match=r"cannot listen on 127\.0\.0\.1"):
        await other.start(box.control, tmp_path / "other.sock", [box.surface.addresses[0]])
    await other.close()


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::", "box.example"])
async def test_the_lan_needs_tls(box: SmallBox, tmp_path: Path, address: str) -> None:
    other = Surface()
    with pytest.raises(Refused) as refused:
        await other.start(box.control, tmp_path / "other.sock", [(address, 0)])
    assert refused.value.code == "api.lan"
    await other.close()


async def test_beyond_loopback_nothing_is_told_without_a_token(box: SmallBox, tmp_path: Path) -> None:
    """With TLS it may listen on every address; who comes in by another address than loopback needs a token."""
    outward = _own_address()
    if outward is None:
        pytest.skip("this host has no address but loopback")
    other = Surface()
    try:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _self_signed(tmp_path, server)
        await other.start(box.control, tmp_path / "other.sock", [("0.0.0.0", 0)], tls=server)
        port = other.addresses[0][1]
        secret = await box.registry.add_token("reader", "read", 1.0, actor="test", origin="test")
        async with aiohttp.ClientSession(f"https://{outward}:{port}") as session:
            async with session.get("/api/v1/apps", ssl=False) as stranger:
                assert stranger.status == 401
            headers = {"Authorization": f"Bearer {secret}"}
            async with session.get("/api/v1/apps", ssl=False, headers=headers) as known:
                assert known.status == 200
            async with session.get("/box", ssl=False, headers={"Accept": "text/html"}) as browser:
                assert browser.url.path_qs == "/sign-in?next=/box"
                text = await browser.text()
                assert 'name="token"' in text
                assert box.registry.box_id not in text, "a stranger learns nothing of the box"
                assert "data-news" not in text
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(f"https://{outward}:{port}", cookie_jar=jar) as session:
            async with session.get("/sign-in", ssl=False) as page:
                found = re.search(r'name="csrf" value="([^"]+)"', await page.text())
            assert found is not None
            form = {"token": secret, "csrf": found[1]}
            async with session.post("/sign-in", data=form, ssl=False, allow_redirects=False) as entered:
                cookie = entered.headers["Set-Cookie"]
            assert cookie.startswith("__Host-minipaas=")
            assert "Secure" in cookie
            assert "Path=/" in cookie
            assert "Domain" not in cookie
            async with session.get("/", ssl=False) as page:
                assert "token reader via page" in await page.text()
    finally:
        await other.close()


def _own_address() -> str | None:
    """An address of this host that is not loopback; asking for the way sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


def _self_signed(directory: Path, context: ssl.SSLContext) -> None:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = directory / "box.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context.load_cert_chain(file)


async def test_a_directory_that_is_not_there_is_told(box: SmallBox, tmp_path: Path) -> None:
    other = Surface()
    with pytest.raises(MinipaasError, match="cannot listen on"):
        await other.start(box.control, tmp_path / "none" / "x.sock", [])
    await other.close()


async def test_a_request_under_way_is_finished_before_the_end(box: SmallBox) -> None:
    box.control.go_on.clear()
    async with box.local() as session:
        asking = asyncio.ensure_future(session.post("/api/v1/apps/shop/rollback", json={}))
        await box.control.asked.wait()
        closing = asyncio.ensure_future(box.surface.close())
        box.control.go_on.set()
        response = await asking
        assert response.status == 404
        await closing
