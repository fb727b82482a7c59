"""Keys: ECDSA P-256 by default, Ed25519 accepted; nothing else.

A key's id is the one that TUF uses (securesystemslib: SHA-256 over the canonical JSON of its public part), so that the
trust root, a signature and a person all name a key alike. Private keys are PKCS #8 PEM in a file of mode 0600, public
keys SubjectPublicKeyInfo PEM beside it with the ending `.pub`: what openssl, cosign and KMS read and write.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from minipaas.model.errors import Invalid, MinipaasError, Missing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from minipaas.bundle.foreign import CryptoSigner, Key, SSlibKey

Kind = Literal["ecdsa", "ed25519"]
MAX_KEY_FILE = 64 * 1024
_SCHEMES = {("ecdsa", "ecdsa-sha2-nistp256"): "ecdsa", ("ed25519", "ed25519"): "ed25519"}


class PublicKey:
    """A key that can verify. Equal when the key material is, whatever id it goes by."""

    def __init__(self, key: Key) -> None:
        """Wrap a key of a TUF document. Raises Invalid when it is of another kind, or not a key at all."""
        from minipaas.bundle.foreign import SSlibKey

        scheme = _SCHEMES.get((key.keytype, key.scheme))
        if scheme is None or not isinstance(key, SSlibKey):
            raise Invalid(
                f"cannot use the key {key.keyid[:12]}: {key.keytype}/{key.scheme} is not supported",
                hint="use ECDSA P-256 or Ed25519, as `minipaas key new` does",
                code="key.kind",
            )
        self.kind: str = scheme
        self.key_id: str = key.keyid
        self.material = _material(key, scheme)
        """The SubjectPublicKeyInfo in DER: what makes two keys the same."""
        self.tuf = key

    @classmethod
    def parse(cls, pem: bytes, what: str = "the public key") -> PublicKey:
        """A PEM public key. Raises Invalid."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        from minipaas.bundle.foreign import SSlibKey

        try:
            return cls(SSlibKey.from_crypto(load_pem_public_key(pem)))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise Invalid(
                f"cannot read {what}: it is not a PEM public key of ECDSA P-256 or Ed25519",
                hint="give the .pub file that `minipaas key new` wrote",
                code="key.format",
            ) from None

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """A `.pub` file. Raises Missing, Invalid."""
        return cls.parse(_read(path), str(path))

    def pem(self) -> bytes:
        """SubjectPublicKeyInfo PEM."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

        return load_der_public_key(self.material).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether this key made the signature (ECDSA: DER, over SHA-256; Ed25519: 64 bytes) over these bytes."""
        from minipaas.bundle.foreign import Signature, UnverifiedSignatureError

        try:
            self.tuf.verify_signature(Signature(self.key_id, signature.hex()), data)
        except UnverifiedSignatureError:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.material == other.material

    def __hash__(self) -> int:
        return hash(self.material)

    def __repr__(self) -> str:
        return f"PublicKey({self.kind} {self.key_id[:12]})"


class SigningKey:
    """A key pair."""

    def __init__(self, private: EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
        from minipaas.bundle.foreign import SSlibKey

        self._private = private
        self.public = PublicKey(SSlibKey.from_crypto(private.public_key()))

    @classmethod
    def generate(cls, kind: Kind = "ecdsa") -> SigningKey:
        """A new key pair."""
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate() if kind == "ed25519" else generate_private_key(SECP256R1()))

    @classmethod
    def parse(cls, pem: bytes, what: str = "the key") -> SigningKey:
        """A PEM private key (PKCS #8 or SEC 1), not encrypted. Raises Invalid."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            private = load_pem_private_key(pem, password=None)
        except TypeError:
            raise Invalid(
                f"cannot read {what}: it is encrypted",
                hint="decrypt it with `openssl pkey -in KEY -out KEY.plain`, and keep that file safe",
                code="key.encrypted",
            ) from None
        except (ValueError, UnsupportedAlgorithm):
            private = None
        if isinstance(private, Ed25519PrivateKey):
            return cls(private)
        if isinstance(private, EllipticCurvePrivateKey) and isinstance(private.curve, SECP256R1):
            return cls(private)
        raise Invalid(
            f"cannot read {what}: it is not a PEM private key of ECDSA P-256 or Ed25519",
            hint="make one with `minipaas key new PATH`",
            code="key.format",
        )

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """A private key file. Raises Missing, Invalid."""
        return cls.parse(_read(path), str(path))

    @property
    def key_id(self) -> str:
        return self.public.key_id

    @property
    def kind(self) -> str:
        return self.public.kind

    def pem(self) -> bytes:
        """The private key, PKCS #8 PEM, not encrypted."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def save(self, path: Path) -> Path:
        """Write the private key to `path` (0600) and the public key to `path`.pub; returns the latter.

        Raises Invalid rather than replace a file: a lost key can't be had again.
        """
        public = path.with_name(path.name + ".pub")
        for file in (path, public):
            if file.exists():
                raise Invalid(f"cannot write {file}: it exists already", hint="choose another path", code="key.exists")
        for file, data, mode in ((path, self.pem(), 0o600), (public, self.public.pem(), 0o644)):
            try:
                with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                    out.write(data)
                    out.flush()
                    os.fsync(out.fileno())
            except OSError as error:
                raise MinipaasError(f"cannot write {file}: {error.strerror}", code="key.write") from None
        return public

    def sign(self, data: bytes) -> bytes:
        """A signature that `PublicKey.verify` takes. ECDSA nonces are those of RFC 6979: equal data, equal bytes."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256

        if isinstance(self._private, EllipticCurvePrivateKey):
            return self._private.sign(data, ECDSA(SHA256(), deterministic_signing=True))
        return self._private.sign(data)

    def tuf_signer(self) -> CryptoSigner:
        """For signing TUF documents."""
        from minipaas.bundle.foreign import CryptoSigner

        return CryptoSigner(self._private, self.public.tuf)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_FILE)
    except FileNotFoundError:
        raise Missing(f"cannot read {path}: there is no such file", code="key.missing") from None
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}", code="key.read") from None


def _material(key: SSlibKey, kind: str) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    text = key.keyval["public"]
    try:
        public = (
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
            if kind == "ed25519"
            else load_pem_public_key(text.encode())
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        public = None
    on_curve = isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1)
    if public is None or not (on_curve or isinstance(public, Ed25519PublicKey)):
        raise Invalid(f"cannot use the key {key.keyid[:12]}: it is not a {kind} public key", code="key.format")
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
