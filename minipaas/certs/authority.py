"""This box's own CA: a key and a root certificate made at first need, and certificates signed with it.

What always holds: the root does not depend on the clock that made it (it is good from 2000 to 2070), so a box that
woke up in 2018 or in 2040 makes one that is good everywhere. What it signs is for named hosts and addresses, as a TLS
server, and cannot sign in turn (RFC 5280). The key lies in one file with the root, of mode 0600, and leaves it never.

The root has no name constraints: routes may name any host, and a root cannot be changed without trusting a new one. So
who trusts it trusts this box for every name, which the operator's handbook says.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minipaas.certs import files
from minipaas.certs.limits import LIMITS, Limits
from minipaas.certs.pair import Pair, facts
from minipaas.model.certificate import Source, is_address

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

log = logging.getLogger("minipaas.certs")

FILE = "authority.pem"
_BEGIN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(2070, 1, 1, tzinfo=datetime.UTC)
_COMMON_NAME = 64
"""Longest common name (RFC 5280, appendix A: ub-common-name)."""


class Authority:
    """A root certificate and its key."""

    def __init__(self, root: x509.Certificate, key: EllipticCurvePrivateKey, limits: Limits, keep: Path | None) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding

        self._root = root
        self._key = key
        self._limits = limits
        self._unkept = keep
        """Where it has to be written yet."""
        self.facts = facts(root, Source.INTERNAL)
        self.pem = root.public_bytes(Encoding.PEM)
        """What clients have to trust."""
        self.trouble = ""
        """What is wrong with how it is kept, as a sentence without a stop; empty: nothing."""

    @classmethod
    def open(cls, directory: Path, box: str, limits: Limits = LIMITS) -> Authority:
        """The CA in `directory`; made when there is none. `box` is this box's id, for its name. A file that is no CA is
        set aside, one that cannot be read stays as it is, and a disk that does not take a new one is tried again by
        `keep`; all are told as trouble."""
        path = directory / FILE
        trouble = ""
        keep: Path | None = path
        try:
            return cls(*_load(files.read(path, limits.file)), limits, None)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            keep = None  # it may be good, and can be read again when that is mended
            trouble = f"cannot read the CA in {path}: {error.strerror}; until a start that can, there is another"
        except ValueError as error:
            trouble = f"cannot use the CA in {path}: {error}; clients have to trust the new one"
            with contextlib.suppress(OSError):
                path.replace(path.with_suffix(".damaged"))
        made = cls(*_make(box), limits, keep)
        made.keep()
        if trouble:
            made.trouble = trouble
            log.error("%s", trouble)
        return made

    def keep(self) -> None:
        """Write it, unless it is written. Blocks."""
        if self._unkept is None:
            return
        try:
            files.write(self._unkept, _dump(self._root, self._key))
        except OSError as error:
            self.trouble = (
                f"cannot keep the CA in {self._unkept}: {error.strerror}; after a start there will be another"
            )
            log.warning("%s", self.trouble)
        else:
            self._unkept = None
            if self.trouble.startswith("cannot keep"):
                self.trouble = ""

    def issue(self, names: Sequence[str], now: float) -> Pair:
        """A key and a certificate for these names (DNS names, `*.` allowed, and IP addresses), good around `now`."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        limits = self._limits
        begin = max(_BEGIN, min(_time(now - limits.backdated), _END - datetime.timedelta(days=1)))
        end = min(begin + datetime.timedelta(seconds=limits.backdated + limits.valid), _END)
        key = ec.generate_private_key(ec.SECP256R1())
        common = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= _COMMON_NAME else []
        general: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name) for name in names
        ]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(common))
            .issuer_name(self._root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName(general), critical=not common)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        return Pair(facts(certificate, Source.INTERNAL), certificate.public_bytes(Encoding.PEM), _pem(key))

    def adopt(self, pair: Pair) -> Pair | None:
        """A pair that was read from a file, as one of this CA's; None when this CA did not make it."""
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        certificate = x509.load_pem_x509_certificate(pair.chain)
        try:
            certificate.verify_directly_issued_by(self._root)
        except (InvalidSignature, ValueError, TypeError):
            return None
        return Pair(facts(certificate, Source.INTERNAL), pair.chain, pair.key)


def _make(box: str) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    # Two roots of one name with different keys confuse clients: a part of the key's id is in the name.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "minipaas"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"minipaas CA of box {box[:8]} ({identifier.digest.hex()[:8]})"),
        ]
    )
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return root, key


def _usage(signs: bool) -> x509.KeyUsage:
    """Of a server's key, which signs handshakes; or of the CA's, which signs certificates."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not signs,
        crl_sign=not signs,
        encipher_only=False,
        decipher_only=False,
    )


def _time(at: float) -> datetime.datetime:
    """Unix seconds, kept within what certificates can say."""
    return datetime.datetime.fromtimestamp(max(_BEGIN.timestamp(), min(at, _END.timestamp())), datetime.UTC)


def _load(data: bytes) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    """Raises ValueError."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(data, None)
        root = x509.load_pem_x509_certificate(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("not a key and a certificate") from None
    if not isinstance(key, EllipticCurvePrivateKey) or key.public_key() != root.public_key():
        raise ValueError("the key is not that of the certificate")
    return root, key


def _dump(root: x509.Certificate, key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return root.public_bytes(Encoding.PEM) + _pem(key)


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
