"""Our bundles, opened by other people's tools. The commands are those of docs/bundle-format.md, word by word."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from minipaas.bundle import oci
from minipaas.bundle.read import inspect
from tests.bundle.builders import default_trust, make_bundle, make_image, make_trust, tar_layer
from tests.bundle.forge import Member, pack, unpack
from tests.npm import need, node_modules

pytestmark = pytest.mark.strangers

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "bundle-format.md"
COMMANDS = dict(re.findall(r"^```sh ([\w-]+)\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL))
TIMEOUT = 300


def run(where: Path, *names: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run commands of the documentation in one directory; the last one's result."""
    for name in names[:-1]:
        done = _shell(where, COMMANDS[name], env)
        assert done.returncode == 0, done.stdout + done.stderr
    return _shell(where, COMMANDS[names[-1]], env)


def _shell(where: Path, script: str, env: Mapping[str, str] | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=where,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory with shop.bundle and release.key.pub."""
    make_bundle(tmp_path, name="shop.bundle", services=("web", "db"))
    (tmp_path / "release.key.pub").write_bytes(default_trust()[0][0].public.pem())
    return tmp_path


def tamper(work: Path, bend: Callable[[list[Member]], list[Member]]) -> None:
    path = work / "shop.bundle"
    path.write_bytes(pack(bend(unpack(path.read_bytes()))))


def with_another_layer(members: list[Member]) -> list[Member]:
    """The topmost layer of the last image has other content under its old name."""
    name, data = members[-1]
    position = data.index(b"shop 1.0.0")
    return [*members[:-1], (name, data[:position] + b"SHOP" + data[position + 4 :])]


def with_another_payload(members: list[Member]) -> list[Member]:
    """The statement says another version than was signed."""

    def bend(data: bytes) -> bytes:
        if oci.SIGSTORE.encode() not in data or b"dsseEnvelope" not in data:
            return data
        signature = json.loads(data)
        # Base64 of `"sequence":1`, bent to another number, in place.
        payload = signature["dsseEnvelope"]["payload"]
        signature["dsseEnvelope"]["payload"] = payload[:40] + ("A" if payload[40] != "A" else "B") + payload[41:]
        return json.dumps(signature).encode()

    return [(name, bend(data)) for name, data in members]


def test_every_command_of_the_documentation_is_tested() -> None:
    tested = set(re.findall(r'"([a-z0-9-]+)"', Path(__file__).read_text()))
    assert COMMANDS and set(COMMANDS) <= tested


def test_skopeo_inspect(work: Path) -> None:
    need("skopeo")
    done = run(work, "skopeo-inspect")
    assert done.returncode == 0, done.stderr
    seen, ours = json.loads(done.stdout), inspect(work / "shop.bundle")
    assert seen["Digest"] == ours.images["web"].manifest
    assert (seen["Os"], seen["Architecture"]) == ("linux", "amd64")


def test_skopeo_copy(work: Path) -> None:
    need("skopeo")
    done = run(work, "skopeo-copy")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((work / "web" / "manifest.json").read_text())
    assert manifest["config"]["digest"] == inspect(work / "shop.bundle").images["web"].config


def test_skopeo_refuses_a_tampered_layer(work: Path) -> None:
    need("skopeo")
    tamper(work, with_another_layer)
    assert run(work, "skopeo-copy").returncode != 0


def test_sha256sum(work: Path) -> None:
    need("zstd", "tar", "sha256sum")
    assert run(work, "unpack", "sha256sum").returncode == 0


def test_sha256sum_finds_a_tampered_layer(work: Path) -> None:
    need("zstd", "tar", "sha256sum")
    tamper(work, with_another_layer)
    assert run(work, "unpack", "sha256sum").returncode != 0


def test_zstd_finds_nothing_wrong(work: Path) -> None:
    need("zstd")
    done = subprocess.run(["zstd", "-t", work / "shop.bundle"], capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr


def test_openssl(work: Path) -> None:
    need("zstd", "jq", "openssl")
    done = run(work, "unpack", "signature", "openssl")
    assert done.returncode == 0 and "Verified OK" in done.stdout, done.stderr
    assert run(work, "subjects").returncode == 0


def test_openssl_refuses_another_payload_and_another_key(work: Path) -> None:
    need("zstd", "jq", "openssl")
    strangers, _ = make_trust()
    assert run(work, "unpack", "signature", "openssl").returncode == 0
    (work / "release.key.pub").write_bytes(strangers[0].public.pem())
    assert run(work, "openssl").returncode != 0
    (work / "release.key.pub").write_bytes(default_trust()[0][0].public.pem())
    signature = work / "signature.json"
    signature.write_bytes(with_another_payload([("", signature.read_bytes())])[0][1])
    assert run(work, "openssl").returncode != 0


def test_a_stranger_sees_that_the_statement_is_about_another_bundle(work: Path) -> None:
    need("zstd", "jq", "openssl")
    make_bundle(work, name="other.bundle", version="9.9.9", services=("web", "db"))
    assert run(work, "unpack", "signature", "openssl").returncode == 0
    shutil.rmtree(work / "shop")
    (work / "other.bundle").replace(work / "shop.bundle")
    assert run(work, "unpack", "subjects").returncode != 0


@pytest.fixture
def sigstore(work: Path) -> Callable[[], subprocess.CompletedProcess[str]]:
    """Verifies work/signature.json with Sigstore's library."""
    shutil.copy(HERE / "sigstore-verify.cjs", work)
    modules = node_modules(HERE / "package.json")
    return lambda: run(work, "sigstore", env={"NODE_PATH": str(modules)})


def test_sigstore(work: Path, sigstore: Callable[[], subprocess.CompletedProcess[str]]) -> None:
    need("zstd", "jq")
    assert run(work, "unpack", "signature").returncode == 0
    done = sigstore()
    assert done.returncode == 0, done.stderr
    statement = json.loads(done.stdout)
    assert statement["predicateType"] == "https://minipaas.dev/release/v1"
    assert statement["predicate"]["app"] == "shop"


def test_sigstore_refuses(work: Path, sigstore: Callable[[], subprocess.CompletedProcess[str]]) -> None:
    need("zstd", "jq")
    assert run(work, "unpack", "signature").returncode == 0
    strangers, _ = make_trust()
    (work / "release.key.pub").write_bytes(strangers[0].public.pem())
    done = sigstore()
    assert done.returncode != 0 and "signature verification failed" in done.stderr
    (work / "release.key.pub").write_bytes(default_trust()[0][0].public.pem())
    signature = work / "signature.json"
    signature.write_bytes(with_another_payload([("", signature.read_bytes())])[0][1])
    done = sigstore()
    assert done.returncode != 0 and "signature verification failed" in done.stderr


@pytest.fixture
def podman(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a Podman with a store of its own."""
    need("podman")
    store = tmp_path / "podman"
    conf = tmp_path / "storage.conf"
    conf.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{store}/root"\nrunroot = "{store}/run"\n')
    return {"CONTAINERS_STORAGE_CONF": str(conf)}


@pytest.mark.e2e
def test_podman_pull(work: Path, podman: Mapping[str, str]) -> None:
    done = run(work, "podman-pull", env=podman)
    assert done.returncode == 0, done.stderr
    assert "sha256:" + done.stdout.split()[-1] == inspect(work / "shop.bundle").images["web"].config


@pytest.mark.e2e
def test_podman_pulls_a_large_image(tmp_path: Path, podman: Mapping[str, str]) -> None:
    image = make_image(tar_layer({"big": os.urandom(20 << 20)}), tar_layer({"zeros": bytes(20 << 20)}))
    path = make_bundle(tmp_path, name="shop.bundle", images={"web": image})
    done = run(tmp_path, "podman-pull", env=podman)
    assert done.returncode == 0, done.stderr
    assert "sha256:" + done.stdout.split()[-1] == inspect(path).images["web"].config


@pytest.mark.e2e
def test_podman_refuses_a_tampered_layer(work: Path, podman: Mapping[str, str]) -> None:
    make_bundle(work, name="shop.bundle", services=("web",))
    tamper(work, with_another_layer)
    assert run(work, "podman-pull", env=podman).returncode != 0
