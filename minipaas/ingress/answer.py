"""The head of an instance's answer: checked, and written anew for the client.

What always holds of an `Answer`: how its body ends is certain, no hop-by-hop field is left in what the client gets.
Instances repeat their heads too; the last one of a connection is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Set

from minipaas.ingress import trailers

CHUNKED = -1
UNTIL_CLOSE = -2

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t \x21-\x7e\x80-\xff]*))?\r\n")
_BLOCK = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t \x21-\x7e\x80-\xff]*\r\n)*\r\n")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_DROPPED = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate te trailer transfer-encoding upgrade x-minipaas".split()
)
_PROTECTED = frozenset((b"content-length", b"content-type", b"set-cookie"))
_CODED = b"Transfer-Encoding: chunked\r\n"


class Answer:
    """One head. `length`: bytes, CHUNKED or UNTIL_CLOSE; what it says for a GET, whatever the method was."""

    __slots__ = ("_coded", "_lines", "bodyless", "kept", "length", "named", "raw", "reusable", "status", "upgrade")

    def __init__(
        self,
        raw: bytes,
        status: int,
        lines: bytes,
        length: int,
        reusable: bool,
        upgrade: bytes,
        trailer: bytes,
        named: Set[bytes],
    ) -> None:
        self.raw = raw
        self.status = status
        self.bodyless = status < 200 or status in (204, 304)
        """Has no body whatever its fields say (RFC 9112, section 6.3)."""
        self.length = length
        self.reusable = reusable
        """The instance keeps the connection open after it."""
        self.upgrade = upgrade
        self.named = named
        """By Connection: such fields are for the ingress alone, also behind the body."""
        self._lines = lines
        self._coded = _CODED + trailer if length == CHUNKED else _CODED
        self.kept = lines + (self._coded if length < 0 and not self.bodyless else b"") + b"\r\n"
        """The head for a client whose connection stays; a body without an end gets one by chunks."""
        if self.kept == raw:
            self.kept = raw

    def closing(self, old: bool) -> bytes:
        """The head for a client whose connection ends with this answer; `old` is HTTP/1.0, which knows no chunks."""
        if old:
            return self._lines + b"Connection: close\r\n\r\n"
        return self.kept[:-2] + b"Connection: close\r\n\r\n"

    def with_line(self, head: bytes, line: bytes) -> bytes:
        """One of the heads above with one more line, unless the instance has said something of that name itself."""
        name = b"\r\n" + line.partition(b":")[0].lower() + b":"
        return head if name in self._lines.lower() else head[:-2] + line + b"\r\n"

    def switching(self) -> bytes:
        """The head of a 101."""
        return self._lines + b"Connection: Upgrade\r\nUpgrade: " + self.upgrade + b"\r\n\r\n"

    def to_head_request(self, keep: bool) -> bytes:
        """The head when there is no body because the method was HEAD."""
        coded = self._coded if self.length == CHUNKED and not self.bodyless and keep else b""
        return self._lines + coded + (b"\r\n" if keep else b"Connection: close\r\n\r\n")


def parse(head: bytes, most_fields: int) -> Answer | None:
    """A head up to and with its empty line; None when it is not to be trusted."""
    end = head.find(b"\r\n") + 2
    match = _STATUS.fullmatch(head, 0, end)
    if match is None or _BLOCK.fullmatch(head, end) is None or head.count(b"\r\n") > most_fields:
        return None
    minor, status, reason = match.groups()
    bodyless = status in (b"204", b"304") or status.startswith(b"1")
    options: set[bytes] = set()
    lengths: list[bytes] = []
    codings: list[bytes] = []
    upgrade = b""
    announced: list[bytes] = []
    fields: list[tuple[bytes, bytes]] = []
    for text in head[end:].split(b"\r\n")[:-2]:
        name, _, value = text.partition(b":")
        key, value = name.lower(), value.strip(b"\t ")
        if key == b"connection":
            options.update(option.strip(b"\t ").lower() for option in value.split(b","))
        elif key == b"content-length":
            lengths.append(value)
            if status == b"204" or status.startswith(b"1"):
                continue
        elif key == b"transfer-encoding":
            codings.append(value.lower())
        elif key == b"upgrade":
            upgrade = value
        elif key == b"trailer":
            announced.append(value)
        if key not in _DROPPED:
            fields.append((key, text + b"\r\n"))
    length = _length(lengths, codings, minor == b"0")
    if length is None:
        return None
    dropped = options - _PROTECTED
    lines = b"HTTP/1.1 %b %b\r\n" % (status, reason or b"") + b"".join(t for key, t in fields if key not in dropped)
    reusable = b"close" not in options and (minor == b"1" or b"keep-alive" in options)
    reusable = reusable and (length != UNTIL_CLOSE or bodyless)
    trailer = trailers.announced(announced, options) if announced else b""
    return Answer(head, int(status), lines, length, reusable, upgrade, trailer, options)


def _length(lengths: list[bytes], codings: list[bytes], old: bool) -> int | None:
    """How the body ends; None when two readers could disagree."""
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        return None
    if codings:
        return CHUNKED if codings[0] == b"chunked" and not old else None
    if lengths:
        return int(lengths[0]) if _LENGTH.fullmatch(lengths[0]) else None
    return UNTIL_CLOSE
