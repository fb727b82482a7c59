from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from minipaas.bundle.keys import SigningKey
from minipaas.bundle.root import check_chain, check_first, follow_chain, new_root, rotate_root, sign_root
from minipaas.model.errors import Invalid, Refused


def key() -> SigningKey:
    return SigningKey.generate("ed25519")


OWNER, SECOND, THIRD, STRANGER = key(), key(), key(), key()
RELEASE, NEXT = SigningKey.generate(), SigningKey.generate()
FIRST = new_root(release_keys=[RELEASE.public], root_signers=[OWNER])
TWO_OF_TWO: dict[str, Any] = {"root_keys": [OWNER.public, SECOND.public], "root_threshold": 2}


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.message.startswith("cannot accept ")
    return caught.value.code


def test_a_new_root_says_who_may_release() -> None:
    root = check_first(new_root(release_keys=[RELEASE.public, NEXT.public], threshold=2, root_signers=[OWNER]))
    assert (root.version, root.epoch, root.threshold, root.root_threshold) == (1, 1, 2, 1)
    assert set(root.keys.values()) == {RELEASE.public, NEXT.public}
    assert root.root_keys == (OWNER.key_id,)
    assert root.expires > datetime.now(UTC).timestamp() + 5 * 365 * 86400


def test_roots_with_a_threshold_are_signed_one_by_one() -> None:
    keys = [OWNER.public, SECOND.public, THIRD.public]
    root = new_root(release_keys=[RELEASE.public], root_signers=[OWNER], root_keys=keys, root_threshold=2)
    assert code_of(lambda: check_first(root)) == "root.signature"
    assert code_of(lambda: check_first(sign_root(root, OWNER))) == "root.signature"
    assert code_of(lambda: check_first(sign_root(root, STRANGER))) == "root.signature"
    assert check_first(sign_root(root, SECOND)).root_threshold == 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"release_keys": []},
        {"release_keys": [RELEASE.public], "threshold": 0},
        {"release_keys": [RELEASE.public], "threshold": 2},
        {"release_keys": [RELEASE.public, RELEASE.public], "threshold": 2},
        {"release_keys": [RELEASE.public], "root_threshold": 2},
        {"release_keys": [RELEASE.public], "root_signers": []},
    ],
)
def test_roots_that_could_never_work(arguments: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        new_root(**({"root_signers": [OWNER]} | arguments))


# what changes, who signs the next root, and whether a box that has version 1 follows
ROTATIONS: list[tuple[str, dict[str, Any], list[SigningKey], str]] = [
    ("release keys", {"release_keys": [NEXT.public]}, [OWNER], ""),
    ("release keys, by a stranger", {"release_keys": [NEXT.public]}, [STRANGER], "root.signature"),
    ("release keys, by the release key", {"release_keys": [NEXT.public]}, [RELEASE], "root.signature"),
    ("root key, by both", {"root_keys": [SECOND.public]}, [OWNER, SECOND], ""),
    ("root key, by the old one only", {"root_keys": [SECOND.public]}, [OWNER], "root.signature"),
    ("root key, by the new one only", {"root_keys": [SECOND.public]}, [SECOND], "root.signature"),
    ("more root keys", TWO_OF_TWO, [OWNER, SECOND], ""),
    (
        "more root keys, by one",
        {"root_keys": [OWNER.public, SECOND.public], "root_threshold": 2},
        [OWNER],
        "root.signature",
    ),
    ("nothing", {}, [OWNER], ""),
    ("epoch", {"new_epoch": True}, [OWNER], ""),
]


@pytest.mark.parametrize(("change", "signers", "code"), [x[1:] for x in ROTATIONS], ids=[x[0] for x in ROTATIONS])
def test_rotation(change: dict[str, Any], signers: list[SigningKey], code: str) -> None:
    second = rotate_root(FIRST, signers=signers, **change)
    if code:
        assert code_of(lambda: check_chain(FIRST, [second])) == code
        return
    root = check_chain(FIRST, [second])
    assert root.version == 2 and root.raw == second
    assert root.epoch == (2 if change.get("new_epoch") else 1)
    assert set(root.keys.values()) == {*change.get("release_keys", [RELEASE.public])}


def test_what_a_rotation_does_not_name_stays() -> None:
    keys = [RELEASE.public, NEXT.public]
    first = new_root(release_keys=keys, threshold=2, root_signers=[OWNER, SECOND], root_threshold=2)
    root = check_chain(first, [rotate_root(first, signers=[OWNER, SECOND], new_epoch=True)])
    assert (root.threshold, root.root_threshold, root.epoch) == (2, 2, 2)
    assert set(root.keys.values()) == set(keys)
    assert root.root_keys == (OWNER.key_id, SECOND.key_id)


def test_a_rotation_can_be_signed_later() -> None:
    second = rotate_root(FIRST, signers=[OWNER], root_keys=[SECOND.public])
    assert check_chain(FIRST, [sign_root(second, SECOND)]).version == 2


def test_chains() -> None:
    second = rotate_root(FIRST, signers=[OWNER], release_keys=[NEXT.public])
    third = rotate_root(second, signers=[OWNER, SECOND], root_keys=[SECOND.public])
    fourth = rotate_root(third, signers=[SECOND], new_epoch=True)
    whole = [FIRST, second, third, fourth]
    newest, added = follow_chain(FIRST, whole)
    assert (newest.version, added) == (4, (second, third, fourth))
    assert follow_chain(third, whole)[1] == (fourth,)
    assert follow_chain(fourth, whole)[1] == ()
    assert follow_chain(fourth, [FIRST, second])[0].version == 4
    assert check_chain(second, [third, fourth]).epoch == 2
    assert code_of(lambda: check_chain(FIRST, [third])) == "root.chain"
    assert code_of(lambda: check_chain(FIRST, [second, fourth])) == "root.chain"
    assert code_of(lambda: check_chain(FIRST, [second, second])) == "root.chain"
    assert code_of(lambda: check_chain(FIRST, [third, second])) == "root.chain"
    assert code_of(lambda: check_chain(second, [rotate_root(second, signers=[OWNER]), fourth])) == "root.signature"


def test_an_older_root_is_not_a_step_forward() -> None:
    second = rotate_root(FIRST, signers=[OWNER])
    assert code_of(lambda: check_chain(second, [FIRST])) == "root.old"
    assert check_chain(second, [second]).version == 2


def test_two_roots_of_one_version() -> None:
    other = new_root(release_keys=[NEXT.public], root_signers=[OWNER])
    assert code_of(lambda: check_chain(FIRST, [other])) == "root.fork"
    again = sign_root(FIRST, STRANGER)
    assert check_chain(FIRST, [again]).version == 1


def bent(root: bytes, change: Callable[[dict[str, Any]], None], *signers: SigningKey) -> bytes:
    """A root with its signed part bent, then signed again."""
    document = json.loads(root)
    change(document["signed"])
    document["signatures"] = []
    data = json.dumps(document).encode()
    for signer in signers:
        data = sign_root(data, signer)
    return data


def test_the_epoch_never_goes_down() -> None:
    second = rotate_root(FIRST, signers=[OWNER], new_epoch=True)
    third = bent(second, lambda signed: signed.update({"version": 3, "x-minipaas-epoch": 1}), OWNER)
    assert code_of(lambda: check_chain(FIRST, [second, third])) == "root.epoch"


def test_a_key_under_two_ids_does_not_count_twice() -> None:
    def double(role: str) -> Callable[[dict[str, Any]], None]:
        def change(signed: dict[str, Any]) -> None:
            known = signed["roles"][role]["keyids"][0]
            signed["keys"]["another"] = signed["keys"][known]
            signed["roles"][role]["keyids"].append("another")
            signed["roles"][role]["threshold"] = 2

        return change

    assert code_of(lambda: check_first(bent(FIRST, double("targets"), OWNER))) == "root.keys"
    assert code_of(lambda: check_first(bent(FIRST, double("root"), OWNER))) == "root.keys"


def _without_key(signed: dict[str, Any]) -> None:
    signed["keys"].pop(RELEASE.key_id)


def _rsa(signed: dict[str, Any]) -> None:
    signed["keys"][RELEASE.key_id].update(keytype="rsa", scheme="rsassa-pss-sha256")


def _no_pem(signed: dict[str, Any]) -> None:
    signed["keys"][RELEASE.key_id]["keyval"]["public"] = "nothing"


def _high(signed: dict[str, Any]) -> None:
    signed["roles"]["targets"]["threshold"] = 2


BENT: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("a key is missing", _without_key, "root.keys"),
    ("a key of another kind", _rsa, "root.keys"),
    ("a key that is none", _no_pem, "root.keys"),
    ("threshold above the keys", _high, "root.keys"),
    ("no epoch", lambda signed: signed.pop("x-minipaas-epoch"), "root.format"),
    ("epoch 0", lambda signed: signed.update({"x-minipaas-epoch": 0}), "root.format"),
    ("epoch as text", lambda signed: signed.update({"x-minipaas-epoch": "1"}), "root.format"),
    ("epoch true", lambda signed: signed.update({"x-minipaas-epoch": True}), "root.format"),
]


@pytest.mark.parametrize(("change", "code"), [x[1:] for x in BENT], ids=[x[0] for x in BENT])
def test_roots_that_are_signed_and_still_wrong(change: Callable[[dict[str, Any]], None], code: str) -> None:
    document = json.loads(FIRST)
    change(document["signed"])
    try:
        data = bent(FIRST, change, OWNER)
    except Refused as error:
        assert error.code == code
        data = json.dumps(document).encode()
    assert code_of(lambda: check_first(data)) == code


def test_a_changed_root_loses_its_signatures() -> None:
    document = json.loads(FIRST)
    document["signed"]["consistent_snapshot"] = True
    changed = json.dumps(document).encode()
    assert code_of(lambda: check_first(changed)) == "root.signature"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"signed":{"_type":"root"},"signatures":[]}',
        b'{"signed":{"_type":"targets","version":1,"spec_version":"1.0.31","expires":"2030-01-01T00:00:00Z","targets":{}},"signatures":[]}',
        FIRST.replace(b'"signed":{', b'"signed":{"x":1.5,'),
        b" " * (2 << 20),
        b"\xff\xfe",
    ],
    ids=lambda data: str(len(data)),
)
def test_what_is_no_root(data: bytes) -> None:
    assert code_of(lambda: check_first(data)) == "root.format"


def test_signatures_that_are_no_hexadecimal() -> None:
    document = json.loads(FIRST)
    document["signatures"][0]["sig"] = "zz"
    assert code_of(lambda: check_first(json.dumps(document).encode())) == "root.signature"
