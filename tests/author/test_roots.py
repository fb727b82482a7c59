"""The chain of trust roots that a bundle carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.author.roots import check_signers, load_roots
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.root import new_root, rotate_root
from minipaas.model.errors import Invalid, Missing, Refused

ROOT_KEY, RELEASE_KEY, OTHER_KEY = SigningKey.generate(), SigningKey.generate(), SigningKey.generate("ed25519")
FIRST = new_root(release_keys=[RELEASE_KEY.public], root_signers=[ROOT_KEY])
SECOND = rotate_root(FIRST, signers=[ROOT_KEY], release_keys=[OTHER_KEY.public])
THIRD = rotate_root(SECOND, signers=[ROOT_KEY], new_epoch=True)


def write(directory: Path, **files: bytes) -> dict[str, Path]:
    paths = {name: directory / f"{name}.json" for name in files}
    for name, path in paths.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(files[name])
    return paths


def test_the_first_root_is_a_chain_by_itself(tmp_path: Path) -> None:
    chain = load_roots([write(tmp_path, root=FIRST)["root"]])
    assert (chain.roots, chain.newest.version) == ((FIRST,), 1)


def test_older_versions_beside_the_newest_are_found_under_any_name(tmp_path: Path) -> None:
    other = new_root(release_keys=[OTHER_KEY.public], root_signers=[OTHER_KEY])
    paths = write(tmp_path, a_stranger=other, old=FIRST, root=THIRD, zwei=SECOND, package=b"{}", broken=b"{")
    chain = load_roots([paths["root"]])
    assert chain.roots == (FIRST, SECOND, THIRD)
    assert chain.newest.epoch == 2


def test_all_versions_may_be_given_from_anywhere_in_any_order(tmp_path: Path) -> None:
    one, two = write(tmp_path / "1", root=FIRST)["root"], write(tmp_path / "2", root=SECOND)["root"]
    assert load_roots([two, one]).roots == (FIRST, SECOND)


def test_a_missing_version_is_named(tmp_path: Path) -> None:
    paths = write(tmp_path, root=THIRD, two=SECOND)
    with pytest.raises(Invalid, match="version 1 is neither given nor beside it"):
        load_roots([paths["root"]])


def test_what_is_no_root(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no such file"):
        load_roots([tmp_path / "root.json"])
    with pytest.raises(Refused):
        load_roots([write(tmp_path, root=b"{}")["root"]])


def test_a_key_that_no_box_would_count_is_refused(tmp_path: Path) -> None:
    newest = load_roots([write(tmp_path, root=FIRST)["root"]]).newest
    check_signers(newest, [RELEASE_KEY], "build")
    with pytest.raises(Refused, match="not a release key") as caught:
        check_signers(newest, [RELEASE_KEY, OTHER_KEY], "build")
    assert RELEASE_KEY.key_id[:12] in caught.value.hint
