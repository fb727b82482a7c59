"""Certificates: what is public of them, and host names as certificates match them (RFC 6125, RFC 9525)."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$)(\*\.)?{_LABEL}(\.{_LABEL})*")


class Source(StrEnum):
    """Where a certificate comes from."""

    INTERNAL = "internal"
    """This box's own CA."""
    FILE = "file"
    """The operator's PEM files."""
    ACME = "acme"
    """The ACME server that the operator chose."""


class Certificate(Struct, frozen=True, kw_only=True):
    """What anybody may know of a certificate. Times are Unix seconds."""

    names: tuple[str, ...]
    """DNS names (lower case, `*.` allowed) and IP addresses."""
    subject: str
    issuer: str
    source: Source
    file: str = ""
    """The operator's file; empty for one that the box made or fetched."""
    not_before: float
    not_after: float
    serial: str
    """Hex digits."""
    fingerprint: str
    """SHA-256 over the DER form, `sha256:<hex>`."""


def normal_name(text: str) -> str | None:
    """A host name (lower case, without a dot at its end) or an IP address in its usual form; None for anything else."""
    import ipaddress  # here, because every client command imports this module

    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        name = text.lower().rstrip(".")
        # What ends in a number is an address (WHATWG URL, 3.5), and this one is none.
        return name if _NAME.fullmatch(name) and not name.rpartition(".")[2].isdigit() else None


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    import ipaddress

    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def wildcard_of(name: str) -> str | None:
    """The wildcard that covers a DNS name: it stands for exactly one label (RFC 9525, section 6.3)."""
    _, dot, parent = name.partition(".")
    return f"*.{parent}" if dot and parent and not name.startswith("*.") and not is_address(name) else None
