"""trust: what an author types to make and rotate a root, and an operator to have it believed."""

from __future__ import annotations

import json
import stat

import pytest

from minipaas.bundle.keys import SigningKey
from minipaas.bundle.root import check_chain, check_first
from minipaas.surface import wire_trust


@pytest.fixture
def keys(tmp_path):
    """Paths of key pairs a, b, c."""
    for name in "abc":
        SigningKey.generate("ed25519").save(tmp_path / f"{name}.key")
    return tmp_path


def test_a_first_root_comes_with_a_root_key_to_keep_offline(keys, minipaas):
    root = keys / "root.json"
    args = ["--key", str(keys / "a.key.pub"), "--key", str(keys / "b.key.pub"), "--threshold", "2"]
    done = minipaas("trust", "new", *args, "-o", str(root))
    assert (done.code, done.err) == (0, "")
    assert "keep it offline" in done.out
    assert stat.S_IMODE((keys / "root.key").stat().st_mode) == 0o600
    made = check_first(root.read_bytes())
    assert (made.version, made.epoch, made.threshold, len(made.keys)) == (1, 1, 2, 2)
    assert made.root_keys == (SigningKey.load(keys / "root.key").key_id,)
    shown = json.loads(minipaas("trust", "show", str(root), "--json").out)
    assert (shown["version"], shown["threshold"]) == (1, 2)
    assert next(iter(made.keys)) in minipaas("trust", "show", str(root)).out


def test_no_file_is_ever_replaced(keys, minipaas):
    args = ["trust", "new", "--key", str(keys / "a.key.pub"), "-o", str(keys / "root.json")]
    assert minipaas(*args).code == 0
    before = {path: path.read_bytes() for path in keys.iterdir()}
    assert minipaas(*args).code == 2
    (keys / "root.json").unlink()
    assert minipaas(*args).code == 2, "the root key of the lost root is still there"
    del before[keys / "root.json"]
    assert {path: path.read_bytes() for path in keys.iterdir()} == before


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ([], 2, "minipaas key new"),
        (["--key", "a.key"], 2, ".pub"),
        (["--key", "a.key.pub", "--threshold", "2"], 2, "threshold 2 of 1"),
        (["--key", "a.key.pub", "--key", "a.key.pub"], 2, "given twice"),
        (["--key", "none.pub"], 2, "none.pub"),
    ],
)
def test_a_root_that_cannot_be(keys, minipaas, monkeypatch, args, code, says):
    monkeypatch.chdir(keys)
    done = minipaas("trust", "new", *args, "-o", "root.json")
    assert done.code == code
    assert says in done.err
    assert not (keys / "root.json").exists()


def test_rotate_takes_over_what_is_not_said(keys, minipaas, monkeypatch):
    monkeypatch.chdir(keys)
    assert minipaas("trust", "new", "--key", "a.key.pub", "-o", "root.json").code == 0
    done = minipaas("trust", "rotate", "root.json", "--root-key", "root.key", "--key", "b.key.pub", "-o", "root2.json")
    assert (done.code, done.err) == (0, "")
    first, second = (keys / "root.json").read_bytes(), (keys / "root2.json").read_bytes()
    after = check_chain(first, [second])
    assert (after.version, after.epoch) == (2, 1)
    assert list(after.keys) == [SigningKey.load(keys / "b.key").key_id]
    args = ["--root-key", "root.key", "--new-root-key", "c.key", "--new-epoch"]
    assert minipaas("trust", "rotate", "root2.json", *args, "-o", "root3.json").code == 0
    last = check_chain(first, [second, (keys / "root3.json").read_bytes()])
    assert (last.version, last.epoch) == (3, 2)
    assert last.root_keys == (SigningKey.load(keys / "c.key").key_id,)
    assert list(last.keys) == list(after.keys)


def test_a_root_that_two_must_sign(keys, minipaas, monkeypatch):
    monkeypatch.chdir(keys)
    both = ["--root-key", "a.key", "--root-key", "b.key", "--root-threshold", "2"]
    assert minipaas("trust", "new", "--key", "c.key.pub", *both, "-o", "root.json").code == 0
    done = minipaas("trust", "rotate", "root.json", "--root-key", "a.key", "-o", "root2.json")
    assert done.code == 0
    assert "minipaas trust sign root2.json" in done.out
    assert minipaas("trust", "show", "root2.json").code == 3
    assert minipaas("trust", "sign", "root2.json", "--root-key", "b.key").code == 0
    assert minipaas("trust", "show", "root2.json").code == 0
    assert check_chain((keys / "root.json").read_bytes(), [(keys / "root2.json").read_bytes()]).version == 2


def test_what_is_not_a_root(keys, minipaas):
    done = minipaas("trust", "show", str(keys / "a.key.pub"))
    assert done.code == 3
    assert done.err.startswith("cannot ")


def root_view(**given):
    plain = {
        "version": 1,
        "epoch": 1,
        "expires": "2036-01-01T00:00:00Z",
        "expires_at": 2082758400.0,
        "expired": False,
        "keys": ("k" * 64,),
    }
    return wire_trust.RootView(**plain | {"threshold": 1, "root_keys": ("r" * 64,), "root_threshold": 1} | given)


def test_add_sends_the_file_as_it_is(box, keys, minipaas):
    box.answers["POST /api/v1/trust"] = (201, wire_trust.TrustView(roots=(root_view(), root_view(version=2))))
    done = minipaas("trust", "add", str(keys / "a.key.pub"))
    assert done.code == 0
    assert "believes root version 2: 1 of 1 release keys" in done.out
    assert box.seen[0].body == (keys / "a.key.pub").read_bytes()


def test_list(box, minipaas):
    roots = (root_view(), root_view(version=2, expired=True))
    box.answers["GET /api/v1/trust"] = [(200, wire_trust.TrustView(roots=roots)), (200, wire_trust.TrustView(roots=()))]
    lines = minipaas("trust", "list").out.splitlines()
    assert lines[2].split() == ["2", "1", "2036-01-01", "1", "of", "1", "k" * 12]
    assert "minipaas trust rotate" in lines[3]
    assert "minipaas trust add" in minipaas("trust", "list").out
