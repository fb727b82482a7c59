"""Exported images as blobs."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path

import pytest
import zstandard

from minipaas.author.archive import read_archive
from minipaas.author.limits import LIMITS
from minipaas.model.errors import EngineError
from tests.author import made

LAYERS = [made.layer({"bin/a": b"1" * 5000}), made.layer({"bin/b": b"2"})]
CONFIG = made.config(*LAYERS)

FORMS = {
    "oci, gzip": made.oci_archive(CONFIG, LAYERS),
    "oci, gzip in two members": made.oci_archive(
        CONFIG, LAYERS, lambda x: made.gzipped(x[:100]) + made.gzipped(x[100:])
    ),
    "oci, zstd": made.oci_archive(CONFIG, LAYERS, zstandard.compress),
    "oci, plain": made.oci_archive(CONFIG, LAYERS, lambda x: x),
    "docker": made.docker_archive(CONFIG, LAYERS),
}


@pytest.mark.parametrize("form", FORMS)
def test_layers_are_uncompressed_and_the_config_is_untouched(tmp_path: Path, form: str) -> None:
    taken: list[int] = []
    packed = made.archive(FORMS[form])
    image = read_archive(packed, tmp_path / "store", taken.append)
    assert image.config == CONFIG
    assert image.id == made.digest(CONFIG)
    assert image.platform == "linux/amd64"
    assert [layer.path.read_bytes() for layer in image.layers] == LAYERS
    assert [(layer.digest, layer.size) for layer in image.layers] == [(made.digest(x), len(x)) for x in LAYERS]
    assert sum(taken) == len(packed.getvalue())


def test_every_form_gives_the_same_manifest(tmp_path: Path) -> None:
    manifests = {read_archive(made.archive(form), tmp_path).manifest for form in FORMS.values()}
    assert len(manifests) == 1
    manifest = json.loads(manifests.pop())
    assert manifest["config"]["digest"] == made.digest(CONFIG)
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar"}


def test_images_that_share_a_layer_keep_it_once(tmp_path: Path) -> None:
    other = [LAYERS[0], made.layer({"bin/c": b"3"})]
    one = read_archive(made.archive(FORMS["docker"]), tmp_path)
    two = read_archive(made.archive(made.oci_archive(made.config(*other), other)), tmp_path)
    assert one.layers[0].path == two.layers[0].path


def broken() -> dict[str, bytes]:
    good = FORMS["oci, gzip"]
    layer = f"blobs/{made.digest(made.gzipped(LAYERS[0])).replace(':', '/')}"
    swapped = made.oci_archive(CONFIG, [LAYERS[1], LAYERS[0]])
    return {
        "no index": made.archive({k: v for k, v in good.items() if k != "index.json"}).getvalue(),
        "a missing layer": made.archive({k: v for k, v in good.items() if k != layer}).getvalue(),
        "another layer under its name": made.archive({**good, layer: made.gzipped(LAYERS[1])}).getvalue(),
        "a damaged gzip": made.archive({**good, layer: good[layer][:60] + b"xxxx" + good[layer][64:]}).getvalue(),
        "a damaged zstd": made.archive(
            made.oci_archive(CONFIG, LAYERS, lambda x: zstandard.compress(x)[:40])
        ).getvalue(),
        "half a gzip": made.archive({**good, layer: good[layer][:-20]}).getvalue(),
        "layers in another order": made.archive(swapped).getvalue(),
        "a config without layers": made.archive(made.oci_archive(b"{}", LAYERS)).getvalue(),
        "two images": made.archive({**good, "index.json": b'{"manifests": [{}, {}]}'}).getvalue(),
        "an index that is not JSON": made.archive({**good, "index.json": b"{"}).getvalue(),
        "a truncated tar": made.archive(good).getvalue()[:2000],
        "no tar": b"hello" * 500,
        "nothing": b"",
    }


@pytest.mark.parametrize("case", broken())
def test_what_contradicts_itself_is_refused(tmp_path: Path, case: str) -> None:
    with pytest.raises(EngineError, match="cannot read the exported image") as caught:
        read_archive(io.BytesIO(broken()[case]), tmp_path)
    assert caught.value.code == "author.archive"


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    many = {f"{number}": b"" for number in range(LIMITS.archive_members + 1)}
    with pytest.raises(EngineError, match="more than"):
        read_archive(made.archive(many), tmp_path)


def test_nothing_is_left_behind_when_the_source_fails(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1000:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(min(size or 0, 700) if size and size > 0 else 700)

    with pytest.raises(OSError, match="Input/output"):
        read_archive(Failing(made.archive(FORMS["docker"]).getvalue()), tmp_path)
    assert list(tmp_path.iterdir()) == []
