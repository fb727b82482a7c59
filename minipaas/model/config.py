"""`config.toml`: what the operator may set. Every key is optional; unknown keys are refused."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from minipaas.model.certificate import is_address, normal_name
from minipaas.model.errors import Invalid
from minipaas.model.route import Route
from minipaas.model.shipping import ShipConfig, faults
from minipaas.model.typed import convert
from minipaas.model.units import Duration, Size


class ApiConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[api]`: the status page and the API on TCP. The Unix socket is always there."""

    listen: tuple[str, ...] = ("127.0.0.1:7070",)
    accept_signed_uploads: bool = False
    """Let a bundle's signature alone be the authority for uploading it."""
    names: tuple[str, ...] = ()
    """Host names under which this box may be asked, beside the addresses in `listen`."""
    cert: str = ""
    """PEM files for the listeners beyond loopback; empty: a certificate of this box's own CA."""
    key: str = ""
    local: Literal["read", "deploy", "admin"] = "read"
    """What anyone on this machine may do over loopback without a token; read: look, and see no logs."""


class IngressConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[ingress]`."""

    http: tuple[str, ...] = ()
    """`ADDRESS:PORT`; empty: port 80 where that is allowed and free, else 8080, on every address."""
    https: tuple[str, ...] = ()
    """`ADDRESS:PORT`; turns TLS on. Empty, and `[tls]` is there: port 443 where that is allowed and free, else 8443."""
    streams: tuple[str, ...] = ()
    """IP addresses on which the `tcp` and `udp` ports of apps are opened; empty: the addresses of `http`."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies in front of this box, which are believed when they say for whom they ask."""
    access_log: str = ""
    """Where each request is written: a file (relative: in the data directory), or `stdout`; empty: nowhere."""
    access_log_sample: float = 1.0
    """The share that is written of the requests without a fault; faults are all written."""
    access_log_size: Size = Size(16 * 1024**2)
    """Of a file; then the next one is begun..."""
    access_log_keep: int = 3
    """...and so many older ones stay."""
    access_log_query: bool = False
    """Write queries too, in which there may be secrets."""

    @property
    def stream_addresses(self) -> tuple[str, ...]:
        """Where they are opened, each once."""
        found = self.streams or tuple(parse_listen(one)[0] for one in self.http) or ("0.0.0.0",)  # noqa: S104
        return tuple(dict.fromkeys(found))


class CertificateFiles(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[tls.certificate]]`: PEM files of the operator's."""

    cert: str
    """The server's certificate first, then the one that signed it, and so on."""
    key: str = ""
    """Empty: in the same file."""


class AcmeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tls.acme]`: that it is there lets the box fetch certificates (RFC 8555)."""

    agree: bool = False
    """The operator agrees to the terms of the certificate authority; without it there is no start."""
    directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    """Where the server says what it offers."""
    contact: str = ""
    """An e-mail address for the authority; empty: none."""
    ca: str = ""
    """PEM file of the root that a private server's own certificate is judged by; empty: the public ones."""
    hosts: tuple[str, ...] = ()
    """Which host names get a certificate; empty: those of routes that look public."""

    def faults(self) -> Iterator[str]:
        """What is wrong, the first first."""
        if not self.agree:
            yield "tls.acme.agree must be true: read the terms of the certificate authority, and say that you agree"
        where = urlsplit(self.directory)
        if where.scheme != "https" or not where.hostname:
            yield f"tls.acme.directory: {self.directory!r} is not an https:// address"
        if self.contact and not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", self.contact):
            yield f"tls.acme.contact: {self.contact!r} is not an e-mail address"
        for host in self.hosts:
            name = normal_name(host)
            if name is None or is_address(name):
                yield f"tls.acme.hosts: {host!r} is not a host name"
            elif name.startswith("*."):
                yield f"tls.acme.hosts: {host!r}: wildcards cannot be proven over HTTP; name each host"


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tls]`: that it is there turns TLS on."""

    redirect: bool = True
    """Send clients that come without TLS to the same address with TLS."""
    plain: tuple[str, ...] = ()
    """Hosts, as routes write them, that answer without TLS too."""
    hsts: Duration = Duration(0)
    """How long browsers are told to come with TLS only (RFC 6797); 0: they are told nothing."""
    names: tuple[str, ...] = ()
    """Host names that get a certificate of this box's own CA though no route names them."""
    certificate: tuple[CertificateFiles, ...] = ()
    acme: AcmeConfig | None = None


class PodmanConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[podman]`."""

    socket: str = ""
    """`unix:///path`; empty: CONTAINER_HOST, the system's socket, the user's, or a service of our own."""


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[limits]`."""

    bundle: Size = Size(8 * 1024**3)
    """Largest upload, compressed."""
    upload: Duration = Duration(3600)
    """Longest upload."""
    silence: Duration = Duration(60)
    """Longest pause of an upload, from one byte to the next."""
    reserve: Size = Size(256 * 1024**2)
    """Disk that must stay free after a bundle is accepted."""
    keep_releases: int = 3
    """Releases of an app whose images stay on this box; at least the current one and the way back."""


class LogsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[logs]`: what is kept of what apps write."""

    quota: Size = Size(256 * 1024**2)
    """Disk for the lines of one app; the oldest make way."""
    keep: Duration = Duration(30 * 86400)
    """Older lines are deleted."""
    rate: Size = Size(1024**2)
    """What an instance may write a second, on average over half a minute; what is beyond is dropped and counted. 0: as
    much as it likes."""
    ship: tuple[ShipConfig, ...] = ()
    """Where lines are sent too."""


class UpgradeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[upgrade]`: how one process of minipaas hands the box over to the next."""

    ready: Duration = Duration(60)
    """A new process has so long to serve, once it may open the registry."""
    trial: Duration = Duration(60)
    """A new version has to serve for so long; when it crashes twice in this time, the one before comes back."""
    drain: Duration = Duration(300)
    """The process before lets what its connections carry go on for at most so long."""


class AccessConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[access]`: who may go into instances, and for how long."""

    role: Literal["deploy", "admin"] = "admin"
    """The least that a token must be for."""
    reason: bool = False
    """Nobody comes in without saying why."""
    time: Duration = Duration(1800)
    """How long an access is open when nobody says for how long."""
    longest: Duration = Duration(8 * 3600)
    idle: Duration = Duration(900)
    """An access through which nothing goes for so long is ended."""
    sessions: int = 16
    """Most that are open at once."""
    record: bool = True
    """Keep what sessions show, so that it can be played again."""
    recordings: Size = Size(256 * 1024**2)
    """Disk that recordings may take, in all."""
    keep: Duration = Duration(90 * 86400)
    """So long recordings are kept, and what is told of accesses that are over."""
    copy: Size = Size(4 * 1024**3)
    """Most that one `cp` brings in or out."""


class CrashesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[crashes]`: how much room the scenes of failed instances may take."""

    per_app: Size = Size(512 * 1024**2)
    total: Size = Size(2 * 1024**3)


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole `config.toml`."""

    api: ApiConfig = ApiConfig()
    ingress: IngressConfig = IngressConfig()
    tls: TlsConfig | None = None
    podman: PodmanConfig = PodmanConfig()
    limits: LimitsConfig = LimitsConfig()
    logs: LogsConfig = LogsConfig()
    upgrade: UpgradeConfig = UpgradeConfig()
    access: AccessConfig = AccessConfig()
    crashes: CrashesConfig = CrashesConfig()

    def __post_init__(self) -> None:
        for listen in (*self.api.listen, *self.ingress.http, *self.ingress.https):
            parse_listen(listen)
        for proxy in self.ingress.trusted_proxies:
            parse_network(proxy)
        for address in self.ingress.streams:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise ValueError(f"ingress.streams: {address!r} is not an IP address") from None
        if not 0 <= self.ingress.access_log_sample <= 1:
            raise ValueError("ingress.access_log_sample must be from 0 to 1: the share of requests that is written")
        if self.ingress.access_log_size < 65536 or not 1 <= self.ingress.access_log_keep <= 1000:
            raise ValueError("ingress.access_log_size must be 64KiB or more, ingress.access_log_keep from 1 to 1000")
        for name in (*self.api.names, *(self.tls.names if self.tls else ())):
            if normal_name(name) is None:
                raise ValueError(f"{name!r} is not a host name")
        for host in self.tls.plain if self.tls else ():
            if Route.parse(host).prefix != "/":
                raise ValueError(f"tls.plain: {host!r} is not a host; write it as routes do, without a path")
        if self.tls is not None and self.tls.acme is not None:
            for fault in self.tls.acme.faults():
                raise ValueError(fault)
        if bool(self.api.cert) < bool(self.api.key):
            raise ValueError("api.key without api.cert: name the certificate's file too")
        if self.podman.socket and not self.podman.socket.startswith("unix://"):
            raise ValueError("podman.socket must be unix:///path")
        if self.limits.keep_releases < 2:
            raise ValueError("limits.keep_releases must be at least 2: the current release and the way back")
        if min(self.upgrade.ready, self.upgrade.trial) <= 0 or self.upgrade.drain < 0:
            raise ValueError("upgrade.ready and upgrade.trial must be above 0, upgrade.drain not below")
        if min(self.crashes.per_app, self.crashes.total) < 0:
            raise ValueError("crashes.per_app and crashes.total must not be below 0")
        if self.logs.quota < 4 * 1024**2 or self.logs.keep < 60 or self.logs.rate < 0:
            raise ValueError("logs.quota must be at least 4MiB, logs.keep at least 1m")
        for fault in faults(self.logs.ship):
            raise ValueError(fault)
        if min(self.limits.upload, self.limits.silence) <= 0 or self.limits.bundle <= 0:
            raise ValueError("limits.bundle, limits.upload and limits.silence must be above 0")
        access = self.access
        if min(access.idle, access.time, access.sessions, access.copy) <= 0 or access.longest < access.time:
            raise ValueError(
                "access.time, idle, sessions and copy must be above 0, and access.longest not below access.time"
            )

    @property
    def tls_on(self) -> bool:
        """Whether apps answer with TLS."""
        return self.tls is not None or bool(self.ingress.https)


def parse_listen(text: str) -> tuple[str, int]:
    """`127.0.0.1:7070` or `[::1]:7070` as (address, port); raise ValueError."""
    address, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not int(port) < 65536:
        raise ValueError(f"{text!r} is not ADDRESS:PORT")
    return address.strip("[]"), int(port)


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """`10.0.0.0/8`, `2001:db8::/32` or one address as a network; raise ValueError."""
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(
            f"ingress.trusted_proxies: {text!r} is not an address or a network; write 192.168.1.10 or 10.0.0.0/8"
        ) from None
    network = interface.network
    if interface.ip != network.network_address:
        raise ValueError(f"ingress.trusted_proxies: {text!r} has bits behind its prefix; write {str(network)!r}")
    if not network.prefixlen:
        raise ValueError(
            f"ingress.trusted_proxies: {text!r} would believe everybody; name the networks that the proxies are in"
        )
    return network


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def parse_config(path: Path, data: bytes) -> Config:
    """The content of a `config.toml`. Raises Invalid naming the key."""
    try:
        raw = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {error}", code="input.toml") from None
    return convert(raw, Config, str(path))
