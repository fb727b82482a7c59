from __future__ import annotations

import io
from pathlib import Path

import pytest

from minipaas.bundle.keys import SigningKey
from minipaas.bundle.receive import NullSink, receive
from minipaas.bundle.sign import sign_bundle
from minipaas.model.errors import Invalid, Refused
from tests.bundle.builders import make_box, make_bundle, make_trust
from tests.bundle.forge import Forge, pack, unpack

KEYS, ROOT = make_trust(keys=3, threshold=2)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path, keys=KEYS[:1], root=ROOT, services=("web", "db"))


def signed(path: Path, *keys: SigningKey) -> bytes:
    out = io.BytesIO()
    size = sign_bundle(path, out, keys)
    assert size == len(out.getvalue())
    return out.getvalue()


def signers(data: bytes) -> tuple[str, ...]:
    return receive(io.BytesIO(data), NullSink(), make_box(ROOT)).release.signers


def test_a_second_signature_meets_the_threshold(bundle: Path) -> None:
    with pytest.raises(Refused) as caught:
        signers(bundle.read_bytes())
    assert caught.value.code == "signature.threshold"
    assert signers(signed(bundle, KEYS[1])) == (KEYS[0].key_id, KEYS[1].key_id)


def test_signing_later_or_at_once_gives_the_same_file(bundle: Path, tmp_path: Path) -> None:
    at_once = make_bundle(tmp_path, keys=KEYS, root=ROOT, services=("web", "db"), name="all.bundle").read_bytes()
    assert signed(bundle, KEYS[1], KEYS[2]) == at_once
    bundle.write_bytes(signed(bundle, KEYS[1]))
    assert signed(bundle, KEYS[2]) == at_once


def test_the_other_blobs_are_untouched(bundle: Path) -> None:
    before, after = dict(unpack(bundle.read_bytes())), dict(unpack(signed(bundle, KEYS[1])))
    new = set(after) - set(before)
    assert len(new) == 2
    assert {name for name in before if before[name] != after.get(name)} == {"index.json"}


def test_keys_that_may_not_sign(bundle: Path) -> None:
    for keys in ((), (KEYS[0],), (KEYS[1], KEYS[1]), (SigningKey.generate(),)):
        with pytest.raises(Invalid) as caught:
            signed(bundle, *keys)
        assert caught.value.code == "author.keys"


def test_nobody_signs_what_the_statement_does_not_say(bundle: Path) -> None:
    forge = Forge(KEYS[:1], root=ROOT)
    forge.predicate["version"] = "6.6.6"
    bundle.write_bytes(forge.build())
    with pytest.raises(Refused) as caught:
        signed(bundle, KEYS[1])
    assert caught.value.code == "bundle.app"


def test_a_damaged_file_is_not_signed(bundle: Path) -> None:
    whole = bundle.read_bytes()
    for place in range(0, len(whole), 37):
        changed = bytearray(whole)
        changed[place] ^= 1
        bundle.write_bytes(bytes(changed))
        with pytest.raises(Refused):
            signed(bundle, KEYS[1])


def test_an_unsigned_bundle_has_nothing_to_sign(bundle: Path) -> None:
    bundle.write_bytes(Forge([], root=ROOT).build())
    with pytest.raises(Refused) as caught:
        signed(bundle, KEYS[1])
    assert caught.value.code == "signature.none"


def test_what_was_packed_by_others_can_be_signed_too(bundle: Path) -> None:
    bundle.write_bytes(pack(unpack(bundle.read_bytes())))
    assert len(signers(signed(bundle, KEYS[1]))) == 2
