from __future__ import annotations

import io
from pathlib import Path

import pytest

from minipaas.bundle import thin
from minipaas.bundle.receive import receive
from minipaas.model.errors import Missing, Refused
from tests.bundle.builders import make_box, make_bundle
from tests.bundle.forge import unpack
from tests.bundle.sinks import Store


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path, services=("web", "db"))


def test_nothing_left_out_is_the_same_file(bundle: Path) -> None:
    parcel = thin.thin(bundle, thin.digests(bundle))
    assert parcel.length == bundle.stat().st_size
    assert b"".join(parcel) == bundle.read_bytes()


def test_what_may_be_left_out_is_layers(bundle: Path) -> None:
    layers = thin.digests(bundle)
    assert len(layers) == len(set(layers)) == 3
    sizes = {"sha256:" + name[-64:]: len(data) for name, data in unpack(bundle.read_bytes())}
    assert {sizes[digest] for digest in layers} == {10240}


@pytest.mark.parametrize("kept", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_a_thin_bundle_completes_what_the_box_has(bundle: Path, kept: tuple[int, ...]) -> None:
    full = Store()
    verdict = receive(io.BytesIO(bundle.read_bytes()), full, make_box())
    layers = thin.digests(bundle)
    missing = {layers[number] for number in kept}
    parcel = thin.thin(bundle, missing)
    data = b"".join(parcel)
    assert len(data) == parcel.length <= bundle.stat().st_size
    box = Store(*(set(layers) - missing))
    assert receive(io.BytesIO(data), box, make_box()) == verdict
    assert box.frames == {digest: full.frames[digest] for digest in verdict.release.blobs if digest not in box.present}


def test_a_layer_that_is_neither_sent_nor_here(bundle: Path) -> None:
    layers = thin.digests(bundle)
    data = b"".join(thin.thin(bundle, {layers[0]}))
    store = Store(layers[1])
    with pytest.raises(Refused) as caught:
        receive(io.BytesIO(data), store, make_box())
    assert caught.value.code == "bundle.missing_blob"
    assert layers[2][7:19] in caught.value.message


def test_a_thin_bundle_of_a_thin_bundle(bundle: Path, tmp_path: Path) -> None:
    layers = thin.digests(bundle)
    slim = tmp_path / "slim.bundle"
    slim.write_bytes(b"".join(thin.thin(bundle, set(layers[:2]))))
    assert b"".join(thin.thin(slim, {layers[0]})) == b"".join(thin.thin(bundle, {layers[0]}))


def test_a_flipped_byte_of_a_thin_bundle(bundle: Path) -> None:
    data = b"".join(thin.thin(bundle, ()))
    layers = thin.digests(bundle)
    for place in range(0, len(data), 5):
        changed = bytearray(data)
        changed[place] ^= 4
        with pytest.raises(Refused):
            receive(io.BytesIO(bytes(changed)), Store(*layers), make_box())


def test_files_that_are_not_there_or_no_bundles(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        thin.digests(tmp_path / "none.bundle")
    for data in (b"", b"x", b"x" * 100):
        (tmp_path / "bad.bundle").write_bytes(data)
        with pytest.raises(Refused, match=r"cannot accept .*bad\.bundle"):
            thin.thin(tmp_path / "bad.bundle", ())


def test_a_file_whose_end_is_cut_off(bundle: Path) -> None:
    whole = bundle.read_bytes()
    for cut in (1, 9, 100, 500):
        bundle.write_bytes(whole[:-cut])
        with pytest.raises(Refused):
            thin.thin(bundle, ())
