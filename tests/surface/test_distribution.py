"""The endpoint Podman pulls from: only its holder reads, by digest, whole or not at all."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from minipaas.registry.blobs import BlobStore
from minipaas.surface.distribution import Distribution
from tests.registry.made import digest, put_blob

OCI = "application/vnd.oci.image"


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "data", ballast=0)


@pytest.fixture
async def served(store: BlobStore) -> AsyncIterator[Distribution]:
    distribution = Distribution(store)
    await distribution.start()
    yield distribution
    await distribution.close()


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def session(served: Distribution, authorization: str | None = None) -> aiohttp.ClientSession:
    base = f"http://{served.reference('shop', digest('x')).partition('/')[0]}"
    own = basic(served.username, served.password)
    return aiohttp.ClientSession(base, headers={"Authorization": own if authorization is None else authorization})


def put_image(store: BlobStore, layers: int = 2) -> tuple[str, str]:
    """Store a small image; returns the digests of its manifest and its config."""
    described = []
    diffs = []
    for number in range(layers):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            content = random.Random(number).randbytes(300_000)
            entry = tarfile.TarInfo(f"file-{number}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        described.append(
            {"mediaType": f"{OCI}.layer.v1.tar", "digest": put_blob(store, file.getvalue()), "size": file.tell()}
        )
        diffs.append(described[-1]["digest"])
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}}
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {
                "mediaType": f"{OCI}.config.v1+json",
                "digest": put_blob(store, config),
                "size": len(config),
            },
            "layers": described,
        }
    ).encode()
    return put_blob(store, manifest), "sha256:" + hashlib.sha256(config).hexdigest()


async def test_a_blob_comes_whole_with_its_length(store: BlobStore, served: Distribution) -> None:
    content = os.urandom(5_000_000)
    name = put_blob(store, content)
    async with session(served) as client:
        async with client.get(f"/v2/minipaas/shop/blobs/{name}") as response:
            assert response.status == 200
            assert response.content_length == len(content)
            assert response.headers["Docker-Content-Digest"] == name
            assert response.headers["Docker-Distribution-API-Version"] == "registry/2.0"
            assert await response.read() == content
        async with client.head(f"/v2/minipaas/shop/blobs/{name}") as head:
            assert (head.status, head.content_length) == (200, len(content))


async def test_an_empty_blob_is_a_blob(store: BlobStore, served: Distribution) -> None:
    name = put_blob(store, b"")
    async with session(served) as client, client.get(f"/v2/minipaas/shop/blobs/{name}") as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_a_manifest_says_what_it_is(store: BlobStore, served: Distribution) -> None:
    manifest, _ = put_image(store)
    async with session(served) as client:
        for method in ("GET", "HEAD"):
            async with client.request(method, f"/v2/minipaas/shop/manifests/{manifest}") as response:
                assert response.status == 200
                assert response.content_type == f"{OCI}.manifest.v1+json"
                assert response.headers["Docker-Content-Digest"] == manifest
                assert response.content_length
        async with client.get("/v2/") as base:
            assert base.status == 200


@pytest.mark.parametrize("given", ["", "Basic", basic("minipaas", "guess"), basic("", ""), "Bearer x"])
async def test_only_the_holder_of_the_credential_reads(store: BlobStore, served: Distribution, given: str) -> None:
    name = put_blob(store, b"content")
    async with session(served, given) as client:
        for path in ("/v2/", f"/v2/minipaas/shop/blobs/{name}", f"/v2/minipaas/shop/manifests/{name}", "/"):
            async with client.get(path) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Basic ")
                assert b"content" not in await response.read()


async def test_the_credential_is_new_at_each_start(store: BlobStore) -> None:
    assert Distribution(store).password != Distribution(store).password


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/v2/minipaas/shop/blobs/{digest('nobody')}", 404),
        ("GET", f"/v2/minipaas/shop/manifests/{digest('nobody')}", 404),
        ("GET", "/v2/minipaas/shop/manifests/latest", 404),
        ("GET", "/v2/minipaas/shop/blobs/sha256:..%2f..%2fx", 404),
        ("GET", "/v2/_catalog", 404),
        ("DELETE", f"/v2/minipaas/shop/blobs/{digest('x')}", 405),
        ("PUT", f"/v2/minipaas/shop/manifests/{digest('x')}", 405),
        ("POST", "/v2/minipaas/shop/blobs/uploads/", 404),
    ],
)
async def test_what_is_not_served(served: Distribution, method: str, path: str, status: int) -> None:
    async with session(served) as client, client.request(method, path) as response:
        assert response.status == status
        assert (await response.json())["errors"]


async def test_a_damaged_blob_does_not_end_politely(store: BlobStore, served: Distribution) -> None:
    name = put_blob(store, os.urandom(4_000_000))
    path = store.compressed(name)
    with path.open("r+b") as file:
        file.truncate(2_000_000)
    async with session(served) as client, client.get(f"/v2/minipaas/shop/blobs/{name}") as response:
        with pytest.raises(aiohttp.ClientError):
            await response.read()


async def test_many_readers_at_once_get_the_same(store: BlobStore, served: Distribution) -> None:
    contents = [random.Random(number).randbytes(3_000_000) for number in range(6)]
    names = [put_blob(store, content) for content in contents]
    async with session(served) as client:

        async def one(name: str) -> bytes:
            async with client.get(f"/v2/minipaas/shop/blobs/{name}") as response:
                return await response.read()

        async with asyncio.timeout(60):
            assert await asyncio.gather(*map(one, names)) == contents


async def test_a_reader_that_goes_away_leaves_no_file_open(store: BlobStore, served: Distribution) -> None:
    name = put_blob(store, os.urandom(30_000_000))
    async with session(served) as client, client.get(f"/v2/minipaas/shop/blobs/{name}") as response:
        await response.content.readexactly(100_000)
    async with asyncio.timeout(60):
        while store.compressed(name) in _open_files():  # noqa: ASYNC110  nobody tells us
            await asyncio.sleep(0.02)


def _open_files() -> set[Path]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(link.readlink())
    return found


async def run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.mark.strangers
async def test_skopeo_reads_it(store: BlobStore, served: Distribution) -> None:
    if shutil.which("skopeo") is None:
        pytest.fail("this test needs skopeo: apt-get install skopeo, or leave it out: -m 'not strangers'")
    manifest, _ = put_image(store)
    reference = f"docker://{served.reference('shop', manifest)}"
    creds = f"{served.username}:{served.password}"
    code, out = await run("skopeo", "inspect", "--tls-verify=false", "--creds", creds, reference)
    assert code == 0, out
    assert json.loads(out)["Digest"] == manifest
    code, out = await run("skopeo", "inspect", "--tls-verify=false", "--creds", "minipaas:guess", reference)
    assert code != 0


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Podman takes no long paths for what runs."""
    with tempfile.TemporaryDirectory(prefix="mp-") as directory:
        yield Path(directory)


@pytest.mark.e2e
async def test_podman_pulls_it_by_digest(store: BlobStore, served: Distribution, short_path: Path) -> None:
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.fail("this test pulls with a private Podman: run it as root, or leave it out: -m 'not e2e'")
    manifest, config = put_image(store, layers=5)
    private = (
        "podman",
        "--root",
        str(short_path / "root"),
        "--runroot",
        str(short_path / "run"),
        "--storage-driver=vfs",
    )
    creds = f"{served.username}:{served.password}"
    code, out = await run(
        *private, "pull", "-q", "--tls-verify=false", "--creds", creds, served.reference("shop", manifest)
    )
    assert code == 0, out
    assert out.strip().rpartition("\n")[2] == config.removeprefix("sha256:")
    code, out = await run(*private, "rmi", "--all")
    assert code == 0, out
