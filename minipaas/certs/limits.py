"""Every size, count and length of time of this room, in one place. Sizes in bytes, times in seconds."""

from __future__ import annotations

from msgspec import Struct

DAY = 86400.0
NONCES = 3
"""So often a request that an ACME server has refused for its nonce is signed anew; each time twice."""


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


class AcmeLimits(Struct, frozen=True, kw_only=True):
    """What is asked of an ACME server, how often, and for how long an answer is awaited."""

    files: Limits = LIMITS
    """For what it signs."""
    hosts: int = 100
    """Host names that get a certificate."""
    request: int = 10
    """Longest request: its beginning, and then its answer."""
    answer: int = 1024 * 1024
    """Longest answer."""
    order: float = 180.0
    """Longest order, from its first request to the certificate."""
    looks: int = 3
    """So often a server that has failed to see the proof, and would, is asked to look again."""
    poll: float = 2.0
    """Pause between two questions whether the server is done."""
    look: float = 30.0
    """What is missing or due is looked for this often."""
    retry: float = 60.0
    """After a first failure it is tried again so late; after each further one twice as late..."""
    longest: float = DAY
    """...and never later than this."""
    limited: float = 3600.0
    """But not earlier than this when the server says that it was asked too often."""
    spread: float = 0.05
    """Renewals are spread over this share of a certificate's life."""


ACME_LIMITS = AcmeLimits()
