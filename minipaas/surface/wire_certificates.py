"""TLS on this box: its certificates and its own CA, as they cross the wire."""

from __future__ import annotations

from msgspec import Struct

from minipaas.model.certificate import Source


class CertificateView(Struct, frozen=True, kw_only=True):
    """One certificate that a listener of this box shows."""

    names: tuple[str, ...]
    """DNS names (`*.` stands for one label) and IP addresses."""
    subject: str
    issuer: str
    source: Source
    file: str
    """The operator's file; empty for the box's own CA."""
    not_before: float
    not_after: float
    days_left: int
    """By the time that this box trusts; below 0 when it has ended."""
    serial: str
    """Hex digits."""
    fingerprint: str
    """SHA-256 of the certificate, `sha256:<hex>`."""
    routes: tuple[str, ...]
    """Routes whose host is answered with it."""
    api: bool
    """Whether the API shows it beyond this machine."""
    trouble: str
    """What is wrong with it; empty: nothing."""


class AuthorityView(Struct, frozen=True, kw_only=True):
    """This box's own CA. Its root is at `path` of this box; compare the fingerprint before you trust it."""

    subject: str
    fingerprint: str
    """SHA-256 of the root, `sha256:<hex>`."""
    not_before: float
    not_after: float
    path: str


class Certificates(Struct, frozen=True, kw_only=True):
    """TLS on this box: where, and with which certificates."""

    enabled: bool
    """Whether apps answer with TLS."""
    https: tuple[str, ...]
    """Where: addresses with ports."""
    redirect: bool
    """Whether clients without TLS are sent there."""
    authority: AuthorityView | None
    """None while nothing needs one."""
    certificates: tuple[CertificateView, ...]
    trouble: tuple[str, ...]
    """What an operator should mend, in plain words."""
