"""`build_bundle` with images that a (fake) Podman already has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from minipaas.author.build import Built, Request, build_bundle
from minipaas.author.progress import Silent
from minipaas.author.starter import app_name
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.read import inspect, verify_file
from minipaas.bundle.root import new_root, rotate_root
from minipaas.bundle.sign import sign_bundle
from minipaas.model.errors import EngineError, Invalid, MinipaasError, Missing, Refused
from tests.author import made
from tests.author.fakepodman import FakePodman, fake_podman

ROOT_KEY, KEY, OTHER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate("ed25519")
BASE, WEB, DB = made.layer({"base": b"0" * 3000}), made.layer({"web": b"1"}), made.layer({"db": b"2"})
APP = b"""
[app]
name = "shop"
version = "1.0+1"
[services.web]
image = "localhost/web:1"
[services.worker]
image = "localhost/web:1"
[services.db]
image = "localhost/db:1"
"""


class Bench:
    """A directory with an app, keys and roots, and a Podman with its images."""

    def __init__(self, directory: Path, podman: FakePodman) -> None:
        self.directory, self.podman = directory, podman
        self.web = podman.add("localhost/web:1", made.config(BASE, WEB), [BASE, WEB])
        self.db = podman.add("localhost/db:1", made.config(BASE, DB), [BASE, DB])
        (directory / "app").mkdir()
        (directory / "app" / "app.toml").write_bytes(APP)
        self.key, self.other, self.root = directory / "release.key", directory / "other.key", directory / "root.json"
        KEY.save(self.key)
        OTHER.save(self.other)
        self.first = new_root(release_keys=[KEY.public, OTHER.public], root_signers=[ROOT_KEY])
        self.root.write_bytes(self.first)

    def build(self, name: str = "a.bundle", **changed: Any) -> Built:
        request = Request(
            directory=self.directory / "app",
            output=self.directory / name,
            keys=(self.key,),
            roots=(self.root,),
            issued=1_700_000_000,
            socket=self.podman.url,
        )
        return build_bundle(msgspec.structs.replace(request, **changed), Silent())

    def left_over(self) -> list[str]:
        known = {"app", "root.json", "release.key", "release.key.pub", "other.key", "other.key.pub", "podman.sock"}
        return sorted(path.name for path in self.directory.iterdir() if path.name not in known)


@pytest.fixture
def bench() -> Iterator[Bench]:
    # Not tmp_path: a Unix socket's path has little room.
    with tempfile.TemporaryDirectory(prefix="mp-") as name, fake_podman(Path(name)) as podman:
        yield Bench(Path(name), podman)


def test_what_is_built_is_what_a_box_accepts(bench: Bench) -> None:
    built = bench.build()
    assert built.images == {"web": bench.web, "worker": bench.web, "db": bench.db}
    assert built.notes == ()
    verdict = verify_file(bench.directory / "a.bundle", bench.first)
    release = verdict.release
    assert (release.app, release.version, release.epoch, release.sequence) == ("shop", "1.0+1", 1, 1_700_000_000)
    assert release.digest == built.digest
    assert {name: image.config for name, image in release.images.items()} == built.images
    assert set(inspect(bench.directory / "a.bundle").files) == {"app.toml", "sbom.cdx.json", "provenance.json"}
    assert bench.left_over() == ["a.bundle"]


def test_equal_requests_give_equal_files(bench: Bench) -> None:
    bench.build("a.bundle")
    bench.build("b.bundle")
    assert (bench.directory / "a.bundle").read_bytes() == (bench.directory / "b.bundle").read_bytes()


def test_sequence_floor_and_validity_are_signed(bench: Bench) -> None:
    bench.build(sequence=9, min_sequence=4, valid_for=60.0)
    seen = inspect(bench.directory / "a.bundle")
    assert (seen.sequence, seen.min_sequence, seen.valid_until) == (9, 4, 1_700_000_060)


def test_a_rotated_root_travels_whole(bench: Bench) -> None:
    second = rotate_root(bench.first, signers=[ROOT_KEY], release_keys=[OTHER.public], new_epoch=True)
    newest = bench.directory / "root-2.json"
    newest.write_bytes(second)
    assert bench.build(roots=(newest,), keys=(bench.other,)).epoch == 2
    verdict = verify_file(bench.directory / "a.bundle", bench.first)
    assert [version for version, _ in verdict.new_roots] == [2]


def test_a_threshold_is_met_by_signing_later(bench: Bench) -> None:
    strict = new_root(release_keys=[KEY.public, OTHER.public], threshold=2, root_signers=[ROOT_KEY])
    bench.root.write_bytes(strict)
    assert "1 more signature needed" in bench.build().notes[0]
    bundle, signed = bench.directory / "a.bundle", bench.directory / "signed.bundle"
    with pytest.raises(Refused) as caught:
        verify_file(bundle, strict)
    assert caught.value.code == "signature.threshold"
    with signed.open("wb") as out:
        sign_bundle(bundle, out, [OTHER])
    assert set(verify_file(signed, strict).release.signers) == {KEY.key_id, OTHER.key_id}


REFUSED: list[tuple[str, dict[str, Any], type[MinipaasError], str]] = [
    ("a strange key", {"keys": "strange"}, Refused, "not a release key"),
    ("no root", {"roots": "missing"}, Missing, "no such file"),
    ("no output directory", {"output": Path("/nowhere/a.bundle")}, Missing, "there is no directory"),
    ("a floor above the sequence", {"sequence": 1, "min_sequence": 2}, Invalid, "minSequence"),
    ("the same key twice", {"keys": "twice"}, Invalid, "only once"),
    ("no app.toml", {"directory": Path("/nowhere")}, Missing, "there is no app.toml"),
]


@pytest.mark.parametrize(("changed", "kind", "why"), [x[1:] for x in REFUSED], ids=[x[0] for x in REFUSED])
def test_what_can_not_be_built(bench: Bench, changed: dict[str, Any], kind: type[MinipaasError], why: str) -> None:
    strange = bench.directory / "app" / "strange.key"
    SigningKey.generate().save(strange)
    named = {"strange": (strange,), "missing": (bench.directory / "nothing.json",), "twice": (bench.key, bench.key)}
    with pytest.raises(kind, match=why):
        bench.build(**{key: named[value] if isinstance(value, str) else value for key, value in changed.items()})
    assert bench.left_over() == []


def test_no_app_has_the_name_of_the_box_itself(bench: Bench) -> None:
    path = bench.directory / "app" / "app.toml"
    path.write_bytes(path.read_bytes().replace(b'"shop"', b'"minipaas"'))
    with pytest.raises(Invalid, match="no app may be called minipaas") as caught:
        bench.build()
    assert caught.value.code == "author.reserved"
    assert app_name("Minipaas") == "app-minipaas", "nor does a file that is made here propose it"


def test_images_for_two_platforms_are_no_app(bench: Bench) -> None:
    config = made.config(BASE, DB).replace(b"amd64", b"arm64")
    bench.podman.add("localhost/db:1", config, [BASE, DB])
    with pytest.raises(Invalid, match="web linux/amd64, worker linux/amd64, db linux/arm64"):
        bench.build()


def test_an_image_that_is_not_there_says_how_to_get_it(bench: Bench) -> None:
    del bench.podman.names["localhost/db:1"]
    with pytest.raises(Missing, match="cannot build service db") as caught:
        bench.build()
    assert "podman pull localhost/db:1" in caught.value.hint


def test_an_export_that_breaks_off_leaves_the_old_file_alone(bench: Bench) -> None:
    bundle = bench.directory / "a.bundle"
    bundle.write_bytes(b"old")
    bench.podman.cut = 2000
    with pytest.raises(EngineError):
        bench.build()
    assert bundle.read_bytes() == b"old"
    assert bench.left_over() == ["a.bundle"]


def test_no_podman_says_how_to_start_it(bench: Bench) -> None:
    with pytest.raises(EngineError, match="cannot reach Podman") as caught:
        bench.build(socket="unix:///nowhere/podman.sock")
    assert "podman.socket" in caught.value.hint
    assert "--podman" in caught.value.hint
