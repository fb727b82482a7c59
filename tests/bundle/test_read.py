from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.bundle.read import file_of, inspect, verify_file
from minipaas.model.errors import MinipaasError, Missing, Refused
from tests.bundle.builders import ISSUED, default_trust, make_bundle, make_trust
from tests.bundle.forge import Forge, pack


def test_inspect_says_what_is_in_it(tmp_path: Path) -> None:
    path = make_bundle(
        tmp_path,
        app="blog",
        version="3.0",
        sequence=12,
        min_sequence=10,
        services=("web", "db"),
        platform="linux/arm64",
        valid_until=ISSUED + 60,
    )
    seen = inspect(path)
    assert (seen.app, seen.version, seen.epoch, seen.sequence, seen.min_sequence) == ("blog", "3.0", 1, 12, 10)
    assert (seen.issued, seen.valid_until, seen.root_version) == (ISSUED, ISSUED + 60, 1)
    assert {name: image.platform for name, image in seen.images.items()} == {"web": "linux/arm64", "db": "linux/arm64"}
    assert seen.files["sbom.cdx.json"] == len(b'{"bomFormat":"CycloneDX"}')
    assert seen.keys == (default_trust()[0][0].key_id,)
    assert seen.size == path.stat().st_size
    assert seen.spec.services.keys() == {"web", "db"}
    assert seen.digest == verify_file(path, default_trust()[1], now=ISSUED).release.digest


def test_what_comes_with_a_bundle_can_be_taken_out(tmp_path: Path) -> None:
    path = make_bundle(tmp_path, sbom=b'{"a":1}')
    assert file_of(path, "sbom.cdx.json") == b'{"a":1}'
    assert file_of(path, "provenance.json") is None
    assert b'name = "shop"' in (file_of(path, "app.toml") or b"")


def test_inspect_needs_no_layers(tmp_path: Path) -> None:
    path = make_bundle(tmp_path)
    whole = inspect(path)
    path.write_bytes(path.read_bytes()[:-600])
    assert inspect(path).digest == whole.digest


def test_verify_checks_every_layer_against_a_root(tmp_path: Path) -> None:
    path = make_bundle(tmp_path, platform="linux/s390x")
    assert verify_file(path, default_trust()[1], now=ISSUED).release.app == "shop"
    _, stranger = make_trust()
    with pytest.raises(Refused) as caught:
        verify_file(path, stranger, now=ISSUED)
    assert caught.value.code == "root.fork"
    members = Forge().members()
    path.write_bytes(pack([*members[:-1], (members[-1][0], bytes(10240))]))
    with pytest.raises(Refused, match=r"cannot accept .*shop-1\.0\.0\.bundle: the layer \w+ is damaged"):
        verify_file(path, default_trust()[1], now=ISSUED)


def test_verify_believes_the_clock(tmp_path: Path) -> None:
    path = make_bundle(tmp_path, valid_until=ISSUED + 60)
    assert verify_file(path, default_trust()[1], now=ISSUED + 59)
    with pytest.raises(Refused) as caught:
        verify_file(path, default_trust()[1])
    assert caught.value.code == "release.expired"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for look in (inspect, lambda path: verify_file(path, default_trust()[1])):
        with pytest.raises(Missing, match="there is no such file"):
            look(tmp_path / "none.bundle")
        with pytest.raises(MinipaasError, match="cannot read"):
            look(tmp_path)
