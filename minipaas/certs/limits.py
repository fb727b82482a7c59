"""Every size, count and length of time of this room, in one place. Sizes in bytes, times in seconds."""

from __future__ import annotations

from msgspec import Struct

DAY = 86400.0


class Limits(Struct, frozen=True, kw_only=True):
    """What files may hold, how long certificates are good, how many there are."""

    file: int = 256 * 1024
    """Longest PEM file."""
    chain: int = 10
    """Certificates in one PEM file."""
    issued: int = 256
    """Certificates of the box's own CA held at once; beyond it the one used longest ago goes."""
    strangers: int = 64
    """Names that no route has, for which certificates are made at once..."""
    stranger_every: float = 10.0
    """...and then one more after each pause."""

    backdated: float = 60 * DAY
    """A certificate is good from so long before it is made: clients' clocks are wrong too."""
    valid: float = 760 * DAY
    """And so long after it. Together below 825 days: Apple's systems refuse more, also from a CA that they trust."""
    renew: float = 400 * DAY
    """With less than this left it is made anew: long before anybody sees an old one."""
    warn: float = 21 * DAY
    """An operator's certificate with less than this left is spoken of."""

    look: float = 30.0
    """Files, time and names are looked at this often."""
    soon: float = 0.5
    """New certificates are written so long after the first of them was made."""
    tickets: float = 12 * 3600.0
    """So long keys for session tickets are used."""
    damp: float = 2.0
    """A file that changed less than this ago may still be being written."""


LIMITS = Limits()
