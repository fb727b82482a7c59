"""Where the lines of apps are sent: what the operator may say of a destination, and how far each has come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from minipaas.model.logs import Level
from minipaas.model.units import Duration, Size

LEAST_BATCH = 128 * 1024
MOST_BATCH = 8 * 1024**2
MOST_DESTINATIONS = 8
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_INDEX = re.compile(r"[a-z0-9{][a-z0-9._{}-]{0,127}")
_PORTS = {"tcp": 514, "tls": 6514}


class Kind(StrEnum):
    """What a destination speaks."""

    ELASTICSEARCH = "elasticsearch"
    """Elasticsearch's and OpenSearch's `_bulk`."""
    LOKI = "loki"
    SYSLOG = "syslog"
    """RFC 5424 over TCP (RFC 6587, octet counting) or TLS (RFC 5425)."""
    OTLP = "otlp"
    """OpenTelemetry's logs over HTTP, as JSON."""


class ShipConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[logs.ship]]`: one destination of log lines."""

    name: str
    kind: Kind
    url: str
    """`https://HOST:PORT`, for syslog `tcp://HOST:PORT` or `tls://HOST:PORT`."""
    credentials: str = ""
    """File with the value of the Authorization header (`Bearer …`, `ApiKey …`), or `USER:PASSWORD`."""
    ca: str = ""
    """PEM file of the CA that the destination's certificate is judged by; empty: the public ones of this host."""
    cert: str = ""
    """PEM file of a certificate to show there; empty: none."""
    key: str = ""
    """Empty: in the same file."""
    index: str = "minipaas"
    """Elasticsearch: index or data stream. `{app}` and `{day}` (2026.11.24, UTC) in it are filled in."""
    tenant: str = ""
    """Loki's X-Scope-OrgID."""
    apps: tuple[str, ...] = ()
    """Only of these; empty: of all."""
    level: Level | None = None
    """Only lines that say that they are at least so bad."""
    history: bool = False
    """Also what was kept before this destination was named for the first time."""
    batch: Size = Size(1024**2)
    """Text that is sent at once, at most."""
    delay: Duration = Duration(2)
    """A line waits so long for others to be sent with it."""
    rate: Size = Size(0)
    """Bytes a second that are sent there, on average; 0: as many as it takes."""
    compress: bool = True

    @property
    def where(self) -> SplitResult:
        """The URL in its parts."""
        return urlsplit(self.url)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of a syslog server."""
        return self.where.hostname or "", self.where.port or _PORTS[self.where.scheme]

    def faults(self) -> Iterator[str]:
        """What is wrong, the first first."""
        if not _NAME.fullmatch(self.name):
            yield f"logs.ship.name: {self.name!r} is not a name; use small letters, digits and -"
        said = f"logs.ship {self.name}"
        schemes = ("tcp", "tls") if self.kind is Kind.SYSLOG else ("http", "https")
        try:
            where, port = self.where, self.where.port
        except ValueError:
            yield f"{said}: {self.url!r} is not an address"
            return
        if where.scheme not in schemes or not where.hostname or port == 0 or not self.url.isprintable():
            yield f"{said}: url must be {schemes[0]}://HOST:PORT or {schemes[1]}://HOST:PORT, and is {self.url!r}"
        if where.username is not None or where.password is not None:
            yield f"{said}: no user and password in url; write them into a file, and name it: credentials"
        if where.query or where.fragment or (self.kind is Kind.SYSLOG and where.path not in ("", "/")):
            yield f"{said}: url has more than an address: {self.url!r}"
        if (self.ca or self.cert) and where.scheme not in ("https", "tls"):
            yield f"{said}: ca and cert are for https and tls"
        if self.key and not self.cert:
            yield f"{said}: key without cert: name the certificate's file too"
        if self.credentials and self.kind is Kind.SYSLOG:
            yield f"{said}: syslog knows no credentials; show a certificate: cert"
        if self.index != "minipaas" and self.kind is not Kind.ELASTICSEARCH:
            yield f"{said}: index is for elasticsearch"
        left = self.index.replace("{app}", "a").replace("{day}", "0")
        if not _INDEX.fullmatch(left) or "{" in left or "}" in left:
            yield f"{said}: index {self.index!r} is not the name of an index"
        if self.tenant and (
            self.kind is not Kind.LOKI or not re.fullmatch(r"[A-Za-z0-9!._*'()|-]{1,150}", self.tenant)
        ):
            yield f"{said}: tenant is for loki: letters, digits and !.-_*'()"
        if not LEAST_BATCH <= self.batch <= MOST_BATCH:
            yield f"{said}: batch must be from {Size(LEAST_BATCH)} to {Size(MOST_BATCH)}"
        if not 0 < self.delay <= 3600 or self.rate < 0:
            yield f"{said}: delay must be above 0 and at most 1h, rate not below 0"


def faults(destinations: tuple[ShipConfig, ...]) -> Iterator[str]:
    """What is wrong with all of them, the first first."""
    if len(destinations) > MOST_DESTINATIONS:
        yield f"logs.ship: at most {MOST_DESTINATIONS} destinations"
    for one in destinations:
        yield from one.faults()
    names = [one.name for one in destinations]
    for name in names:
        if names.count(name) > 1:
            yield f"logs.ship.name: {name!r} is there twice"


class ShipState(Struct, frozen=True, kw_only=True):
    """How far a destination has come. Times in Unix seconds; counts since it was named for the first time."""

    name: str
    kind: Kind
    url: str
    failing: bool
    """What was sent last did not arrive; it is tried again."""
    error: str
    """What went wrong last, and has not been made good since; empty: nothing."""
    error_at: float | None
    retry_at: float | None
    confirmed_at: float | None
    """When the destination last said that it has lines."""
    newest: float | None
    """When the newest of these was written."""
    lines: int
    """Confirmed."""
    sent_bytes: int
    """Over the wire."""
    behind_bytes: int
    """Of the log, not confirmed yet."""
    behind_since: float | None
    """When the oldest of that was written."""
    refused: int
    """Lines that the destination did not want."""
    refused_why: str
    lost: int
    """Lines that the quota took, or age, before they were sent."""
    lost_bytes: int
    """The same, with what could not be counted in lines."""
    lost_at: float | None
