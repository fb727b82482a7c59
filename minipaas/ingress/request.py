"""A request's head: judged strictly, then written anew for the instance (RFC 9112, RFC 9110 section 7.6).

What always holds of a `Request`: its length is certain; it names one host; the bytes in `forward` are a complete
HTTP/1.1 head without hop-by-hop fields, in origin form, and every Forwarded and X-Forwarded-* in it is ours (`origin`).
Anything that two parsers could read in two ways is refused, never repaired.

Two judges: llhttp (httptools) and the patterns here; both have to agree. Clients repeat their fields from request to
request, so the fields of the last request on a connection are remembered, and judged once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from minipaas.ingress import pages, second, trailers
from minipaas.ingress.limits import Limits
from minipaas.ingress.origin import BELIEVABLE, NOBODY, Origin, Via
from minipaas.ingress.pages import Fault
from minipaas.model.cookies import SECURE_SESSION_COOKIE, SESSION_COOKIE

if TYPE_CHECKING:
    from minipaas.ingress.table import RouteTable, Target

CHUNKED = -1
"""As a length: the body says itself where it ends."""

_LINE = re.compile(rb"((?!PRI )[A-Z][A-Z-]{0,31}) ([!-\"$-~]+) HTTP/1\.([01])\r\n")
_OTHER_VERSION = re.compile(rb"[A-Z][A-Z-]* [!-~]+ HTTP/(?!1\.[01]\r)\d(\.\d)?\r\n")
_BLOCK = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t \x21-\x7e\x80-\xff]*\r\n)*\r\n")
_BARE = re.compile(rb"(?<!\r)\n|\r[^\n]|\x00")
_START = re.compile(rb"[A-Z][A-Z-]{0,31}(?: |$)")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]*)([/?].*)?")
_OUR_COOKIE = re.compile(
    rb"[\t ;]*(?:%b)=" % b"|".join(re.escape(one.encode()) for one in (SESSION_COOKIE, SECURE_SESSION_COOKIE))
)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z/-]+")
_DROPPED = frozenset(
    b"keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer http2-settings forwarded x-real-ip "
    b"connection".split()
)
_DROPPED_STARTS = (b"x-forwarded-", b"x-minipaas")
_UNIQUE = frozenset((b"content-length", b"transfer-encoding", b"host", b"expect", b"upgrade"))
"""At most one of each; read here and written anew, so that no name in Connection can drop them."""
_USUAL_OPTIONS = frozenset((b"", b"close", b"keep-alive", b"upgrade"))
_NO_HOST = next(_HOST.finditer(b"localhost"))
"""For HTTP/1.0, which need not name one."""
_REPEATABLE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"))
"""Idempotent methods (RFC 9110, section 9.2.2)."""


class Fields:
    """The fields of a head, judged. `lines` is what goes on to the instance, Host and ours excepted; `via` is who sent
    them."""

    __slots__ = (
        "block",
        "close",
        "expects",
        "host",
        "length",
        "lines",
        "named",
        "tail",
        "takes_trailers",
        "trailer",
        "upgrade",
        "via",
    )

    def __init__(self, block: bytes, via: Via) -> None:
        self.block = block
        self.via = via
        self.tail = b""
        """What ends the head of a request to the host that the fields name."""
        self.host: re.Match[bytes] | None = None
        """(without its port)"""
        self.length: int | None = None
        self.close = False
        self.expects = False
        self.upgrade = b""
        self.lines = b""
        self.named: set[bytes] = set()
        """By Connection, in lower case."""
        self.trailer = b""
        """The line that announces what comes behind a chunked body."""
        self.takes_trailers = False
        """The client reads what comes behind an answer's body."""


class Request:
    """One request; does not change, so that an identical one on the same connection may use it again.

    `table` and `target` remember the answer of the last look into the route table.
    """

    __slots__ = (
        "fields",
        "forward",
        "head_only",
        "host",
        "keep",
        "length",
        "method",
        "old",
        "path",
        "repeatable",
        "secure",
        "table",
        "target",
        "upgrade",
    )

    def __init__(self, method: bytes, host: bytes, path: bytes, fields: Fields, old: bool) -> None:
        self.method = method
        self.host = host
        self.path = path
        self.fields = fields
        self.old = old
        """HTTP/1.0: gets no chunks, no 1xx, and one answer a connection."""
        self.keep = not fields.close and not old
        self.head_only = method == b"HEAD"
        self.length = fields.length or 0
        self.repeatable = self.length == 0 and method in _REPEATABLE
        self.upgrade = b"" if old or self.length else fields.upgrade
        self.secure = fields.via.scheme == b"https"
        """The client came with TLS, to the box or to a proxy that the box believes."""
        self.forward = b""
        self.table: RouteTable | None = None
        self.target: Target | None = None


NOTHING = Request(b"", b"", b"", Fields(b"", NOBODY.origin("", False).via), True)
"""No request."""


def incomplete(buffer: bytes, limits: Limits) -> Fault | None:
    """What can be said against a head whose end has not come yet."""
    if _BARE.search(buffer) or not _START.match(buffer):
        return pages.BAD_HEAD
    if len(buffer) > limits.request_line and buffer.find(b"\r\n", 0, limits.request_line) < 0:
        return pages.LONG_TARGET
    return pages.LARGE_HEAD if len(buffer) > limits.head else None


def parse(head: bytes, last: Request, origin: Origin, limits: Limits) -> Request | Fault:
    """A head up to and with its empty line. `last` is the request before it on this connection, or NOTHING; `origin`
    is where the connection comes from."""
    end = head.find(b"\r\n") + 2
    line, block = head[:end], head[end:]
    if end > limits.request_line:
        return pages.LONG_TARGET
    match = _LINE.fullmatch(line)
    if match is None:
        return pages.NO_VERSION if _OTHER_VERSION.fullmatch(line) else pages.BAD_HEAD
    method, target, minor = match.groups()
    if method == b"CONNECT":
        return pages.NO_TUNNEL
    if last.fields.block == block:
        fields = last.fields
    else:
        judged = _fields(line, block, origin, limits)
        if isinstance(judged, Fault):
            return judged
        fields = judged
    return _request(method, target, minor == b"0", fields)


def _request(method: bytes, target: bytes, old: bool, fields: Fields) -> Request | Fault:
    named = fields.host
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is not None:
            # RFC 9112, section 3.2.2: the target's authority counts, the Host field does not.
            named, target = _HOST.fullmatch(absolute[1]), absolute[2] or b"/"
            if named is None:
                return pages.BAD_HOST
            if target.startswith(b"?"):
                target = b"/" + target
        elif target != b"*" or method != b"OPTIONS":
            return pages.BAD_HEAD
    if named is None:
        if not old:
            return pages.BAD_HOST
        named = _NO_HOST
    if old and fields.length == CHUNKED:
        return pages.BAD_LENGTH
    path = b"/" if target == b"*" else target.partition(b"?")[0]
    request = Request(method, named[1].lower().rstrip(b"."), path, fields, old)
    parts = [method, b" ", target, b" HTTP/1.1\r\nHost: ", named[0], b"\r\n", fields.lines]
    if fields.expects and not old and request.length:
        parts.append(b"Expect: 100-continue\r\n")
    if request.length == CHUNKED:
        parts += (b"Transfer-Encoding: chunked\r\n", fields.trailer)
    if request.upgrade:
        parts += (b"Connection: Upgrade\r\nUpgrade: ", request.upgrade, b"\r\n")
    elif fields.takes_trailers and not old and not request.head_only:
        parts.append(b"TE: trailers\r\nConnection: TE\r\n")
    parts += (fields.tail if named is fields.host else fields.via.fields(named[0]), b"\r\n")
    request.forward = b"".join(parts)
    return request


def _fields(line: bytes, block: bytes, origin: Origin, limits: Limits) -> Fields | Fault:
    """Judge a block of fields that was not seen on this connection just before."""
    if _BLOCK.fullmatch(block) is None:
        return pages.BAD_HEAD
    if len(line) + len(block) > limits.head or block.count(b"\r\n") > limits.fields:
        return pages.LARGE_HEAD
    lines: list[bytes] = []
    special: dict[bytes, bytes] = {}
    options: set[bytes] = set()
    said: list[tuple[bytes, bytes]] = []
    announced: list[bytes] = []
    welcome = False
    for text in block.split(b"\r\n")[:-2]:
        name, _, value = text.partition(b":")
        key = name.lower()
        if key in _UNIQUE:
            if key in special:
                return pages.BAD_HOST if key == b"host" else pages.BAD_LENGTH
            special[key] = value.strip(b"\t ")
        elif key == b"connection":
            options.update(option.strip(b"\t ").lower() for option in value.split(b","))
        elif key == b"cookie" and _OUR_COOKIE.search(value):
            lines += _without_ours(name, value)
        elif key in BELIEVABLE:
            said.append((key, value))
        elif key == b"te":
            welcome = welcome or trailers.accepts(value)
        elif key == b"trailer":
            announced.append(value)
        elif key not in _DROPPED and not key.startswith(_DROPPED_STARTS) and (b"_" not in key or not _is_twin(key)):
            lines.append(text)
    fields = Fields(block, origin.told(said))
    fault = _framing(fields, special, options) or second.opinion(line, block)
    if fault is not None:
        return fault
    fields.named, fields.takes_trailers = options, welcome
    if announced:
        fields.trailer = trailers.announced(announced, options)
    dropped = options - _USUAL_OPTIONS
    if dropped:
        lines = [text for text in lines if text.partition(b":")[0].lower() not in dropped]
    if b"content-length" in special:
        lines.append(b"Content-Length: " + special[b"content-length"])
    lines.append(b"")
    fields.lines = b"\r\n".join(lines)
    if fields.host is not None:
        fields.tail = fields.via.fields(fields.host[0])
    return fields


def _without_ours(name: bytes, value: bytes) -> list[bytes]:
    """A field `Cookie` without the session of the status page, which is not for apps; none when nothing is left."""
    kept = [pair for pair in value.split(b";") if not _OUR_COOKIE.match(pair)]
    return [name + b": " + b";".join(kept).strip(b"\t ")] if kept else []


def _framing(fields: Fields, special: dict[bytes, bytes], options: set[bytes]) -> Fault | None:
    """What decides about the connection and the body."""
    length, coding = special.get(b"content-length"), special.get(b"transfer-encoding")
    if length is not None and (coding is not None or _LENGTH.fullmatch(length) is None):
        return pages.BAD_LENGTH
    if coding is not None and coding.lower() != b"chunked":
        return pages.BAD_LENGTH
    fields.length = CHUNKED if coding is not None else None if length is None else int(length)
    host = special.get(b"host")
    if host is not None:
        fields.host = _HOST.fullmatch(host)
        if fields.host is None:
            # Also where the target names another host, which then counts: RFC 9112, section 3.2.
            return pages.BAD_HOST
    fields.close = b"close" in options
    expect = special.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        return pages.NO_EXPECTATION
    fields.expects = expect is not None
    upgrade = special.get(b"upgrade", b"")
    # Another version of HTTP inside the tunnel would be requests that nobody routes or cleans.
    if (
        b"upgrade" in options
        and _TOKEN.fullmatch(upgrade)
        and not upgrade.lower().startswith((b"h2c", b"http", b"tls"))
    ):
        fields.upgrade = upgrade
    return None


def _is_twin(key: bytes) -> bool:
    """Whether this name is that of a field we drop, set or frame with, to those who take `_` for `-`: CGI and WSGI."""
    twin = key.replace(b"_", b"-")
    return twin in _DROPPED or twin in _UNIQUE or twin.startswith(_DROPPED_STARTS)
