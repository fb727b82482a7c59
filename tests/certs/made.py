"""Certificates of somebody else's CA, as an operator would bring them."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def at(year: int, month: int, day: int) -> float:
    """Unix seconds."""
    return datetime.datetime(year, month, day, tzinfo=datetime.UTC).timestamp()


def pem(one: x509.Certificate) -> bytes:
    return one.public_bytes(Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: bytes = b"") -> bytes:
    how = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


class OtherCa:
    """A root."""

    def __init__(self, name: str = "Other CA") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.root = self._sign(self.name, self.key.public_key(), at(2026, 1, 1), 3650, ca=True)
        self.pem = pem(self.root)

    def _sign(self, subject, public, now, days, *, names=(), ca=False) -> x509.Certificate:  # type: ignore[no-untyped-def]
        begin = datetime.datetime.fromtimestamp(now, datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            made = made.add_extension(x509.SubjectAlternativeName([_general(one) for one in names]), critical=False)
        return made.sign(self.key, hashes.SHA256())

    def issue(
        self,
        *names: str,
        now: float,
        days: int = 90,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        return self._sign(subject, key.public_key(), now, days, names=names), key

    def file(self, path: Path, *names: str, now: float, days: int = 90) -> Path:
        """Key, certificate and root in one file, put there as careful tools do."""
        certificate, key = self.issue(*names, now=now, days=days)
        beside = path.with_suffix(".new")
        beside.write_bytes(key_pem(key) + pem(certificate) + pem(self.root))
        beside.replace(path)
        return path


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
