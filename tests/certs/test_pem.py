"""The operator's PEM files: each way in which they can be wrong, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from minipaas.certs.contexts import server_context
from minipaas.certs.pem import load
from minipaas.model.errors import Invalid
from tests.certs.made import OtherCa, at, key_pem, pem

NOW = at(2026, 11, 24)
CA = OtherCa()
CERT, KEY = CA.issue("shop.example.com", "*.shop.example.com", "192.168.1.10", "fd00::0:1", now=NOW)
ROOT = pem(CA.root)


def written(tmp_path: Path, cert: bytes, key: bytes | None = None) -> tuple[Path, Path]:
    one, other = tmp_path / "shop.pem", tmp_path / "shop.key"
    one.write_bytes(cert)
    if key is not None:
        other.write_bytes(key)
    return one, other if key is not None else one


@pytest.mark.parametrize("order", ["two files", "key first", "key last", "alone"])
def test_good_ones(tmp_path: Path, order: str) -> None:
    pair = load(
        *{
            "two files": lambda: written(tmp_path, pem(CERT) + ROOT, key_pem(KEY)),
            "key first": lambda: written(tmp_path, key_pem(KEY) + pem(CERT) + ROOT),
            "key last": lambda: written(tmp_path, pem(CERT) + ROOT + key_pem(KEY)),
            "alone": lambda: written(tmp_path, pem(CERT), key_pem(KEY)),
        }[order]()
    )
    assert pair.facts.names == ("shop.example.com", "*.shop.example.com", "192.168.1.10", "fd00::1")
    assert (pair.facts.not_before, pair.facts.issuer) == (NOW, "CN=Other CA")
    server_context(pair)
    assert "PRIVATE" not in repr(pair)


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
def test_keys_of_other_kinds(tmp_path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    cert, _ = CA.issue("a.b", now=NOW, key=key)
    server_context(load(*written(tmp_path, pem(cert), key_pem(key))))


SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is too short is the point
ANOTHER = ec.generate_private_key(ec.SECP256R1())
DSA = dsa.generate_private_key(2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
NAMELESS, NAMELESS_KEY = CA.issue(now=NOW)


@pytest.mark.parametrize(
    ("cert", "key", "code", "why"),
    [
        (b"", key_pem(KEY), "format", "no PEM certificate in it"),
        (b"nonsense", key_pem(KEY), "format", "no PEM certificate in it"),
        (pem(CERT)[:-60], key_pem(KEY), "format", "no PEM certificate in it"),
        (ROOT * 11, key_pem(CA.key), "format", "more than 10"),
        (pem(CERT) + b"#" * 300_000, key_pem(KEY), "format", "longer than 256 KiB"),
        (pem(CERT), b"", "key", "no PEM private key in it"),
        (pem(CERT), None, "key", "no PEM private key in it"),
        (pem(CERT), key_pem(KEY, b"secret"), "key", "has a passphrase"),
        (pem(CERT), key_pem(ANOTHER), "key", "is the key of another certificate"),
        (pem(CERT), DSA, "key", "of this kind"),
        (pem(CA.issue("a.b", now=NOW, key=SHORT)[0]), key_pem(SHORT), "key", "1024 bits is too short"),
        (ROOT + pem(CERT), key_pem(KEY), "chain", "did not sign"),
        (pem(CERT) + pem(OtherCa().root), key_pem(KEY), "chain", "CN=Other CA did not sign CN=server"),
        (pem(CERT) + ROOT, key_pem(CA.key), "chain", "has to come first"),
        (pem(NAMELESS), key_pem(NAMELESS_KEY), "names", "no subjectAltName"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",  # keys are new each time; names of tests are not
)
def test_bad_ones(tmp_path: Path, cert: bytes, key: bytes | None, code: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        load(*written(tmp_path, cert, key))
    assert refused.value.code == f"certificate.{code}"
    assert refused.value.message.startswith(f"cannot use {tmp_path}/shop.")
    assert why in refused.value.message
    assert "PRIVATE" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize("missing", ["shop.pem", "shop.key"])
def test_files_that_are_not_there(tmp_path: Path, missing: str) -> None:
    files = written(tmp_path, pem(CERT), key_pem(KEY))
    (tmp_path / missing).unlink()
    with pytest.raises(Invalid, match=f"cannot read {tmp_path}/{missing}: No such file") as refused:
        load(*files)
    assert refused.value.code == "certificate.file"
    with pytest.raises(Invalid, match="Is a directory"):
        load(tmp_path, tmp_path)
