"""Where requests come from: the connection itself, and what proxies in front of the box say about it (RFC 7239).

What always holds: nothing that a client says about itself is believed, and nothing of it goes on. Only a connection
from an address in `trusted_proxies` may speak for others, and only as far as each of those it names is such a proxy
too: in `client, proxy, proxy` the client is the first from the right that is none. What stands left of it is gone, so
the leftmost address that an app sees is one that somebody trusted has vouched for.

Nothing here is computed twice for one connection; a request with the same fields as the one before costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from msgspec import Struct

HOPS = 32
"""So many proxies in a row are looked at; what stands left of them is not believed."""
_KNOWN = 4096
"""So many addresses are remembered with what is said of them."""

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_PORT = re.compile(rb"[1-9][0-9]{0,4}")
_NODE = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")
_PAIR = re.compile(r'[ \t]*([A-Za-z]+)=([!#$%&\'*+.^_`|~0-9A-Za-z:\[\]-]+|"(?:[^"\\]|\\.)*")[ \t]*(;|,|$)')
"""One `name=value` of a Forwarded field. More is taken unquoted than the RFC allows: many leave the quotes out."""
_SCHEMES = {b"http": b"http", b"https": b"https", b"ws": b"http", b"wss": b"https"}
BELIEVABLE = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
)
"""The fields by which a proxy says for whom it speaks, in lower case."""


class Via(Struct, frozen=True):
    """What an instance is told. `lines` and `forwarded` are ready to be written; the latter lacks its last host."""

    client: str
    """The client's IP address."""
    scheme: bytes
    """What the client spoke: `http` or `https`."""
    lines: bytes
    forwarded: bytes
    host: bytes | None = None
    """The host that the client asked for, when a proxy has said so."""
    port: bytes | None = None

    def fields(self, host: bytes) -> bytes:
        """The fields to end a head with. `host` is the request's, with its port if it has one."""
        asked = self.host or host
        port = self.port
        if port is None:
            match = _HOST.fullmatch(asked)
            port = (match[1] if match is not None else None) or (b"443" if self.scheme == b"https" else b"80")
        return b"%bX-Forwarded-Host: %b\r\nX-Forwarded-Port: %b\r\n%b%b\r\n" % (
            self.lines,
            asked,
            port,
            self.forwarded,
            _quoted(host),
        )


class Origin(Struct, frozen=True):
    """One address that connects, by TLS or not. `via` is what holds for requests that say nothing, or may not."""

    trusted: bool
    via: Via
    proxies: Proxies

    def told(self, said: Iterable[tuple[bytes, bytes]]) -> Via:
        """What holds for a request with these BELIEVABLE fields: (name in lower case, value), in order."""
        if not self.trusted:
            return self.via
        fields: dict[bytes, list[bytes]] = {}
        for name, value in said:
            fields.setdefault(name, []).append(value)
        if not fields:
            return self.via
        return self.proxies.judge(self.via, fields)


class Proxies:
    """Whom to believe. Remembers addresses, because clients come back."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._networks = tuple(networks)
        self._known: dict[tuple[str, bool], Origin] = {}

    def origin(self, address: str, secure: bool) -> Origin:
        """Of a connection from this IP address; its zone, as in `fe80::1%eth0`, means something on this box alone."""
        address = address.partition("%")[0]
        key = (address, secure)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            scheme = b"https" if secure else b"http"
            trusted = bool(self._networks) and self.trusts(address)
            known = self._known[key] = Origin(trusted, _via((address,), scheme, scheme), self)
        return known

    def trusts(self, address: str) -> bool:
        """Whether what comes from there may speak for others."""
        try:
            parsed: IPv4Address | IPv6Address = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)

    def judge(self, direct: Via, fields: dict[bytes, list[bytes]]) -> Via:
        """What a trusted proxy, connected as `direct`, tells by these fields."""
        listed = [part.strip() for value in fields.get(b"x-forwarded-for", ()) for part in _text(value).split(",")]
        # `None` stands for an element that tells no address.
        addresses = [_address(one) for one in listed]
        elements = _elements(fields.get(b"forwarded", ()))
        named = [_address(element.get("for", "")) for element in elements]
        scheme, host, port = (_last(fields, name) for name in (b"-proto", b"-host", b"-port"))
        if addresses and named and addresses[-1] != named[-1]:
            # One of the two is not the proxy's own, but the client's, passed on: nobody here can tell which.
            return direct
        if not addresses:
            chain = self._believed(named)
            if chain:
                first = elements[len(elements) - len(chain)]
                scheme, host = (scheme or first.get("proto", "").encode()), (host or first.get("host", "").encode())
        else:
            chain = self._believed(addresses)
        told = _SCHEMES.get(scheme.lower(), direct.scheme)
        match = _HOST.fullmatch(host)
        good = _PORT.fullmatch(port) is not None and int(port) < 65536
        return _via((*chain, direct.client), told, direct.scheme, host if match else None, port if good else None)

    def _believed(self, addresses: Sequence[str | None]) -> tuple[str, ...]:
        """The end of a list of addresses that begins with the client."""
        start = len(addresses)
        while start and len(addresses) - start < HOPS:
            address = addresses[start - 1]
            if address is None:
                break
            start -= 1
            if not self.trusts(address):
                break
        return tuple(address for address in addresses[start:] if address is not None)


NOBODY = Proxies()
"""No proxy is believed."""


def _via(chain: Sequence[str], scheme: bytes, here: bytes, host: bytes | None = None, port: bytes | None = None) -> Via:
    """`chain`: the client, then proxies, at the end the one that connects here. `here`: what that one speaks."""
    nodes = [f'"[{one}]"' if ":" in one else one for one in chain]
    if len(chain) == 1:
        # Whoever connects here has told of itself at most: the scheme, the host, the port.
        forwarded = b"Forwarded: for=%b;proto=%b;host=" % (nodes[0].encode(), scheme)
    else:
        first = b"for=%b;proto=%b" % (nodes[0].encode(), scheme)
        if host is not None:
            first += b";host=" + _quoted(host)
        rest = "".join(f", for={node}" for node in nodes[1:]).encode()
        forwarded = b"Forwarded: %b%b;proto=%b;host=" % (first, rest, here)
    lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (", ".join(chain).encode(), scheme)
    return Via(chain[0], scheme, lines, forwarded, host, port)


def _quoted(host: bytes) -> bytes:
    """A host as a value in Forwarded: a colon or a bracket needs quotes (RFC 7239, section 4)."""
    return b'"%b"' % host if b":" in host else host


def _address(text: str) -> str | None:
    """The IP address in an element of either field, without its port; None for `unknown`, names and nonsense."""
    match = _NODE.fullmatch(text)
    if match is not None:
        text = match[1] or match[2] or ""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            return None
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
    return str(parsed)


def _last(fields: dict[bytes, list[bytes]], name: bytes) -> bytes:
    """The last element of an X-Forwarded-* field: of several, what the proxy itself has said."""
    values = fields.get(b"x-forwarded" + name)
    return values[-1].rpartition(b",")[2].strip(b"\t ") if values else b""


def _elements(values: Iterable[bytes]) -> list[dict[str, str]]:
    """Forwarded fields as their elements (RFC 7239, section 4); nothing when any of it cannot be read."""
    text = ",".join(_text(value).strip(" \t") for value in values)
    found: list[dict[str, str]] = [{}]
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None or match[1].lower() in found[-1]:
            return []
        value = match[2]
        found[-1][match[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        at = match.end()
        if match[3] == ",":
            found.append({})
    return found if found[-1] else []


def _text(value: bytes) -> str:
    return value.decode("latin-1")
