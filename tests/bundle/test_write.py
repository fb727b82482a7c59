from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest

from minipaas.bundle.keys import SigningKey
from minipaas.bundle.receive import NullSink, receive
from minipaas.bundle.root import rotate_root
from minipaas.bundle.write import Contents, Image, Layer, write_bundle
from minipaas.model.errors import Invalid, MinipaasError
from tests.bundle.builders import (
    default_trust,
    make_app_toml,
    make_box,
    make_contents,
    make_image,
    make_trust,
    tar_layer,
)
from tests.bundle.forge import unpack

KEYS = default_trust()[0]


class Pipe(io.RawIOBase):
    """Something that can be written and nothing else."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(data)


class Sips(io.BytesIO):
    """A source that gives few bytes at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 5000))


def written(contents: Contents, keys: tuple[SigningKey, ...] = KEYS) -> bytes:
    out = Pipe()
    made = write_bundle(out, contents, keys)  # type: ignore[arg-type]
    data = b"".join(out.parts)
    assert made.size == len(data)
    return data


def test_a_written_bundle_is_accepted_and_is_what_was_asked_for() -> None:
    contents = make_contents(
        app="blog", version="2.1", sequence=9, min_sequence=4, valid_until=1_790_000_000, provenance=b"{}"
    )
    release = receive(io.BytesIO(written(contents)), NullSink(), make_box()).release
    assert (release.app, release.version, release.sequence, release.min_sequence) == ("blog", "2.1", 9, 4)
    assert (release.valid_until, release.root_version, release.epoch) == (1_790_000_000, 1, 1)


def test_equal_input_gives_equal_bytes() -> None:
    layer = random.Random(5).randbytes(9 << 20) + bytes(9 << 20)
    contents = make_contents(services=("web", "db"), images={n: make_image(layer) for n in ("web", "db")})
    first = written(contents)
    assert written(contents) == first
    sipping = make_image(layer)
    sipped = Layer(sipping.layers[0].digest, len(layer), lambda: Sips(layer))
    images = {name: Image(sipping.config, (sipped,)) for name in ("db", "web")}
    assert written(msgspec.structs.replace(contents, images=images)) == first


def test_the_order_of_services_does_not_matter() -> None:
    one = make_contents(services=("web", "db"))
    other = msgspec.structs.replace(one, images=dict(reversed(list(one.images.items()))))
    assert written(one) == written(other)


def test_the_digest_is_the_releases() -> None:
    out = io.BytesIO()
    made = write_bundle(out, make_contents(), KEYS)
    verdict = receive(io.BytesIO(out.getvalue()), NullSink(), make_box())
    assert verdict.release.digest == made.digest
    assert sum(verdict.descriptors.values()) == made.content


def test_shared_layers_are_in_the_file_once() -> None:
    data = written(make_contents(services=("web", "db", "worker")))
    names = [name for name, _ in unpack(data)]
    assert len(names) == len(set(names))
    assert sum(len(content) == 10240 for _, content in unpack(data)) == 4


def test_layers_from_files_and_progress(tmp_path: Path) -> None:
    layer = tar_layer({"data": random.Random(1).randbytes(3 << 20)})
    (tmp_path / "layer.tar").write_bytes(layer)
    image = make_image(layer)
    file = Layer(image.layers[0].digest, len(layer), tmp_path / "layer.tar")
    seen: list[tuple[int, int]] = []
    out = io.BytesIO()
    contents = make_contents(images={"web": Image(image.config, (file,))})
    write_bundle(out, contents, KEYS, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(layer), len(layer))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert out.getvalue() == written(make_contents(images={"web": image}))


def test_sources_are_closed() -> None:
    opened: list[io.BytesIO] = []
    layer = tar_layer({"x": b"y"})
    image = make_image(layer)

    def source() -> BinaryIO:
        opened.append(io.BytesIO(layer))
        return opened[-1]

    contents = make_contents(images={"web": Image(image.config, (Layer(image.layers[0].digest, len(layer), source),))})
    written(contents)
    assert [stream.closed for stream in opened] == [True]


@pytest.mark.parametrize("change", [b"longer", b"", None], ids=["longer", "shorter", "other content"])
def test_a_layer_that_is_not_what_was_said(change: bytes | None) -> None:
    layer = tar_layer({"x": b"y"})
    image = make_image(layer)
    bent = layer + change if change else layer[:-1] if change is not None else layer[:-1] + b"\1"
    wrong = Layer(image.layers[0].digest, len(layer), bent)
    with pytest.raises(Invalid) as caught:
        written(make_contents(images={"web": Image(image.config, (wrong,))}))
    assert caught.value.code == "author.layer"


def test_a_layer_beyond_four_gibibytes() -> None:
    digest = "sha256:" + hashlib.sha256(b"").hexdigest()
    config = b'{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["%s"]}}' % digest.encode()
    for size in (0, 1 << 32):
        with pytest.raises(MinipaasError, match="cannot "):
            written(make_contents(images={"web": Image(config, (Layer(digest, size, b""),))}))


STRANGER = SigningKey.generate()
REFUSED: list[tuple[str, dict[str, Any], tuple[SigningKey, ...], str]] = [
    ("no key", {}, (), "author.keys"),
    ("one key twice", {}, (KEYS[0], KEYS[0]), "author.keys"),
    ("a key that the root does not name", {}, (STRANGER,), "author.keys"),
    ("sequence 0", {"sequence": 0}, KEYS, "author.sequence"),
    ("minSequence above sequence", {"sequence": 3, "min_sequence": 4}, KEYS, "author.sequence"),
    ("a service without image", {"app_toml": make_app_toml(services=("web", "db"))}, KEYS, "author.image"),
    ("an image without service", {"services": ("web", "db"), "app_toml": make_app_toml()}, KEYS, "author.image"),
    ("an app.toml that does not parse", {"app_toml": "[app"}, KEYS, "input.toml"),
    ("no root", {"roots": [b"{}"]}, KEYS, "root.format"),
    ("a huge SBOM", {"sbom": bytes(5 << 20)}, KEYS, "author.metadata"),
    ("issued in another age", {"issued": -1}, KEYS, "input.time"),
    ("a config that is none", {"images": {"web": Image(b"[]", make_image(b"x").layers)}}, KEYS, "author.image"),
    ("layers of another image", {"images": {"web": Image(make_image(b"x").config, ())}}, KEYS, "author.image"),
]


@pytest.mark.parametrize(("contents", "keys", "code"), [x[1:] for x in REFUSED], ids=[x[0] for x in REFUSED])
def test_what_no_box_would_take_is_not_written(
    contents: dict[str, Any], keys: tuple[SigningKey, ...], code: str
) -> None:
    with pytest.raises(MinipaasError) as caught:
        written(make_contents(**contents), keys)
    assert caught.value.code == code


def test_a_rotated_root_needs_its_whole_chain() -> None:
    keys, first = make_trust()
    second = rotate_root(first, signers=keys, new_epoch=True)
    release = receive(
        io.BytesIO(written(make_contents(roots=[first, second]), keys)), NullSink(), make_box(first)
    ).release
    assert (release.root_version, release.epoch) == (2, 2)
    with pytest.raises(MinipaasError) as caught:
        written(make_contents(roots=[second]), keys)
    assert caught.value.code == "root.chain"
