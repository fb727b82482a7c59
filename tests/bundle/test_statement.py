from __future__ import annotations

import base64
import json

import pytest

from minipaas.bundle import dsse, statement
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.statement import Predicate, format_time, parse_time
from minipaas.model.errors import Invalid, Refused

BUNDLE, WEB = "sha256:" + 64 * "a", "sha256:" + 64 * "b"
PREDICATE = Predicate(
    app="shop", version="1", epoch=1, sequence=2, min_sequence=1, root_version=1, issued="2026-01-02T03:04:05Z"
)


def test_the_statement_is_an_in_toto_statement() -> None:
    payload = statement.build(BUNDLE, {"web": WEB}, PREDICATE)
    assert json.loads(payload) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "bundle", "digest": {"sha256": 64 * "a"}},
            {"name": "service/web", "digest": {"sha256": 64 * "b"}},
        ],
        "predicateType": "https://minipaas.dev/release/v1",
        "predicate": {
            "app": "shop",
            "version": "1",
            "epoch": 1,
            "sequence": 2,
            "minSequence": 1,
            "rootVersion": 1,
            "issued": "2026-01-02T03:04:05Z",
        },
    }
    parsed = statement.parse(payload, "it")
    assert parsed.services == {"web": WEB}
    assert parsed.predicate.issued_at == 1767323045
    assert parsed.predicate.expires_at is None


def test_the_order_of_services_does_not_change_the_payload() -> None:
    one = statement.build(BUNDLE, {"web": WEB, "db": BUNDLE}, PREDICATE)
    assert one == statement.build(BUNDLE, {"db": BUNDLE, "web": WEB}, PREDICATE)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"a":' * 50_000,
        statement.build(BUNDLE, {"web": WEB}, PREDICATE).replace(b"bundle", b"bundel"),
        statement.build(BUNDLE, {"web": WEB}, PREDICATE).replace(b"service/web", b"bundle"),
        statement.build(BUNDLE, {"web": WEB}, PREDICATE).replace(b"aaaa", b"AAAA"),
        statement.build(BUNDLE, {"web": WEB}, PREDICATE).replace(b"sha256", b"sha512"),
    ],
)
def test_payloads_that_are_none(payload: bytes) -> None:
    with pytest.raises(Refused) as caught:
        statement.parse(payload, "it")
    assert caught.value.code == "signature.statement"


WRONG_TIMES = (
    "",
    "2026-01-02",
    "2026-01-02T03:04:05",
    "2026-01-02T03:04:05+00:00",
    "2026-02-30T00:00:00Z",
    "²026-01-02T03:04:05Z",
)


def test_times() -> None:
    for seconds in (0, 1, 951_782_400, 1_767_323_045, 253_402_300_799):
        assert parse_time(format_time(seconds)) == seconds
    assert format_time(1.9) == "1970-01-01T00:00:01Z"
    for text in (
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05+00:00",
        "2026-02-30T00:00:00Z",
        "²026-01-02T03:04:05Z",
    ):
        with pytest.raises(ValueError, match=r".+"):
            parse_time(text)
    for wrong in (-1.0, 1e12, float("inf"), float("nan")):
        with pytest.raises(Invalid):
            format_time(wrong)


def test_the_pre_authentication_encoding_is_that_of_dsse() -> None:
    assert dsse.pae(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
    assert dsse.pae("hellö".encode()) == b"DSSEv1 28 application/vnd.in-toto+json 6 hell\xc3\xb6"


def test_a_signature_is_a_sigstore_bundle() -> None:
    key = SigningKey.generate()
    document = json.loads(dsse.sign(b"payload", key))
    assert document["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert document["verificationMaterial"] == {"publicKey": {"hint": key.key_id}}
    envelope = document["dsseEnvelope"]
    assert base64.b64decode(envelope["payload"]) == b"payload"
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    signed = dsse.parse(json.dumps(document).encode(), "it")
    assert (signed.payload, signed.hint) == (b"payload", key.key_id)
    assert key.public.verify(signed.signature, dsse.pae(b"payload"))
