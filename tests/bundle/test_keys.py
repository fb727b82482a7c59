from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from minipaas.bundle.keys import Kind, PublicKey, SigningKey
from minipaas.model.errors import Invalid, MinipaasError, Missing

KINDS: list[Kind] = ["ecdsa", "ed25519"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_key_comes_back(kind: Kind, tmp_path: Path) -> None:
    key = SigningKey.generate(kind)
    public = key.save(tmp_path / "release.key")
    assert public == tmp_path / "release.key.pub"
    again = SigningKey.load(tmp_path / "release.key")
    assert again.kind == key.kind == kind
    assert again.key_id == PublicKey.load(public).key_id
    assert PublicKey.load(public) == key.public
    assert PublicKey.load(public).verify(again.sign(b"hello"), b"hello")


def test_the_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    public = SigningKey.generate().save(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert b"PRIVATE" not in public.read_bytes()


def test_no_key_is_overwritten(tmp_path: Path) -> None:
    for present in ("key", "key.pub"):
        (tmp_path / present).write_text("precious")
        with pytest.raises(Invalid) as caught:
            SigningKey.generate().save(tmp_path / "key")
        assert caught.value.code == "key.exists"
        assert (tmp_path / present).read_text() == "precious"
        (tmp_path / present).unlink()
        assert not list(tmp_path.iterdir())


def test_a_key_for_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MinipaasError, match="cannot write"):
        SigningKey.generate().save(tmp_path / "no" / "key")


@pytest.mark.parametrize("kind", KINDS)
def test_signatures(kind: Kind) -> None:
    key, other = SigningKey.generate(kind), SigningKey.generate(kind)
    signature = key.sign(b"data")
    assert key.public.verify(signature, b"data")
    assert not key.public.verify(signature, b"other data")
    assert not other.public.verify(signature, b"data")
    for wrong in (b"", b"\0", signature[:-1], signature + b"\0", bytes(64), b"\xff" * 72):
        assert not key.public.verify(wrong, b"data")


@pytest.mark.parametrize("kind", KINDS)
def test_equal_data_gives_equal_signatures(kind: Kind) -> None:
    key = SigningKey.generate(kind)
    assert key.sign(b"data") == key.sign(b"data")


def test_openssl_reads_and_writes_our_keys(tmp_path: Path) -> None:
    SigningKey.generate().save(tmp_path / "ours")
    shown = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "ours", "-pubout"], capture_output=True, check=True, timeout=60
    )
    assert shown.stdout == (tmp_path / "ours.pub").read_bytes()
    command = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", tmp_path / "theirs"]
    subprocess.run(command, check=True, timeout=60)
    key = SigningKey.load(tmp_path / "theirs")
    assert key.public.verify(key.sign(b"x"), b"x")


def _pem(private: object, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def _public(private: object) -> bytes:
    return private.public_key().public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


OTHER_KINDS = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "ed448": ed448.Ed448PrivateKey.generate(),
}


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_keys_of_other_kinds(name: str) -> None:
    for read in (
        lambda: PublicKey.parse(_public(OTHER_KINDS[name])),
        lambda: SigningKey.parse(_pem(OTHER_KINDS[name])),
    ):
        with pytest.raises(Invalid) as caught:
            read()
        assert caught.value.code in ("key.format", "key.kind")


def test_an_encrypted_key_is_named_as_such() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Invalid) as caught:
        SigningKey.parse(_pem(private, b"secret"), "release.key")
    assert caught.value.message == "cannot read release.key: it is encrypted"


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\xff"]
)
def test_files_that_hold_no_key(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    for load in (PublicKey.load, SigningKey.load):
        with pytest.raises(Invalid, match=r"cannot read .*file"):
            load(tmp_path / "file")
        with pytest.raises(Missing):
            load(tmp_path / "none")


def test_the_wrong_half_of_a_pair(tmp_path: Path) -> None:
    SigningKey.generate().save(tmp_path / "key")
    with pytest.raises(Invalid):
        PublicKey.load(tmp_path / "key")
    with pytest.raises(Invalid):
        SigningKey.load(tmp_path / "key.pub")
