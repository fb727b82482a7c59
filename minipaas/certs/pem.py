"""The operator's PEM files, checked before they serve: a chain in order, the key of its first certificate, names."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from minipaas.certs import files
from minipaas.certs.limits import LIMITS, Limits
from minipaas.certs.pair import Pair, facts
from minipaas.model.certificate import Source
from minipaas.model.errors import Invalid

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_MIN_RSA = 2048


def load(cert: Path, key: Path, limits: Limits = LIMITS) -> Pair:
    """A chain and its key; both may be in one file. Raises Invalid that names the file and what is wrong."""
    data = _read(cert, limits)
    return judge(cert, key, data, data if key == cert else _read(key, limits), limits)


def judge(cert: Path, key: Path, data: bytes, key_data: bytes, limits: Limits = LIMITS) -> Pair:
    """The same of what is, or is to be, in these files."""
    chain = _chain(cert, data, limits)
    private = _key(key, key_data)
    _match(cert, key, chain, private)
    known = facts(chain[0], Source.FILE, str(cert))
    if not known.names:
        raise Invalid(
            f"cannot use {cert}: it is for no name: it has no subjectAltName",
            hint="ask for a certificate with DNS names or IP addresses in it; browsers no longer read the common name",
            code="certificate.names",
        )
    return Pair(known, b"".join(map(_pem, chain)), _key_pem(private))


def _read(path: Path, limits: Limits) -> bytes:
    try:
        return files.read(path, limits.file)
    except OSError as error:
        raise Invalid(
            f"cannot read {path}: {error.strerror}",
            hint="mend the path in config.toml, or the rights of the file: minipaas must be able to read it",
            code="certificate.file",
        ) from None
    except ValueError as error:
        raise Invalid(f"cannot use {path}: {error}", code="certificate.format") from None


def _chain(path: Path, data: bytes, limits: Limits) -> list[x509.Certificate]:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        chain = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise Invalid(
            f"cannot use {path}: there is no PEM certificate in it",
            hint=f"look at it: openssl x509 -in {path} -noout -text",
            code="certificate.format",
        ) from None
    if len(chain) > limits.chain:
        raise Invalid(f"cannot use {path}: more than {limits.chain} certificates are in it", code="certificate.format")
    for one, issuer in itertools.pairwise(chain):
        try:
            one.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            raise Invalid(
                f"cannot use {path}: {_short(issuer)} did not sign {_short(one)} before it",
                hint="order it: the server's own certificate, then the one that signed it, and so on",
                code="certificate.chain",
            ) from None
    return chain


def _key(path: Path, data: bytes) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, None)
    except TypeError:
        raise Invalid(
            f"cannot use {path}: the key has a passphrase, and nobody is there to type it",
            hint=f"take it off: openssl pkey -in {path} -out {path}.plain, and chmod 600 {path}.plain",
            code="certificate.key",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Invalid(f"cannot use {path}: there is no PEM private key in it", code="certificate.key") from None


def _match(cert: Path, key: Path, chain: list[x509.Certificate], private: PrivateKeyTypes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise Invalid(f"cannot use {key}: a key of this kind cannot serve TLS", code="certificate.key")
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < _MIN_RSA:
        raise Invalid(
            f"cannot use {key}: an RSA key of {private.key_size} bits is too short",
            hint="make one of 2048 bits or more, or an ECDSA one",
            code="certificate.key",
        )
    public = private.public_key()
    if public == chain[0].public_key():
        return
    if any(public == other.public_key() for other in chain[1:]):
        raise Invalid(
            f"cannot use {cert}: the certificate of the key has to come first in it",
            hint="order it: the server's own certificate, then the one that signed it, and so on",
            code="certificate.chain",
        )
    raise Invalid(
        f"cannot use {cert}: {key} is the key of another certificate",
        hint="compare: openssl x509 -pubkey -noout -in CERT, and openssl pkey -pubout -in KEY",
        code="certificate.key",
    )


def _short(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()[:100] or f"serial {certificate.serial_number:x}"


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _key_pem(private: PrivateKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
