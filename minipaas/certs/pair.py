"""A certificate with its chain and its private key: what a listener needs to speak for a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from minipaas.model.certificate import Certificate, Source, normal_name

if TYPE_CHECKING:
    from cryptography import x509


class Pair(Struct, frozen=True):
    """`chain` and `key` are PEM; the first certificate of the chain is the one that `facts` are about."""

    facts: Certificate
    chain: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Pair({', '.join(self.facts.names)})"  # never the key


def facts(certificate: x509.Certificate, source: Source, file: str = "") -> Certificate:
    """What is public of a certificate. Names are those of its subjectAltName alone (RFC 9525, section 6.1)."""
    from cryptography.hazmat.primitives.hashes import SHA256

    return Certificate(
        names=names_of(certificate),
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        source=source,
        file=file,
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        serial=f"{certificate.serial_number:x}",
        fingerprint=f"sha256:{certificate.fingerprint(SHA256()).hex()}",
    )


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and IP addresses that a certificate is for."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return tuple(dict.fromkeys(name for text in found if (name := normal_name(text)) is not None))
