"""What a stream of bytes means, read whole and as plainly as can be: the yardstick for what reads it in pieces.

It takes more for a request than the ingress does; but where it takes one, there is no doubt where that one ends.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(rb"([A-Z-]+) (\S+) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) .*")


class Message(NamedTuple):
    """`start`: the method, or the status. `whole`: its end is there. `trailers`: whole lines."""

    start: bytes
    target: bytes
    fields: dict[bytes, list[bytes]]
    body: bytes
    whole: bool
    trailers: tuple[bytes, ...] = ()


class Doubt(Exception):
    """From here on nothing is certain."""


def requests(wire: bytes) -> list[Message]:
    """Those of a connection up to the first doubt."""
    found: list[Message] = []
    at = 0
    try:
        while at < len(wire):
            if wire.startswith(b"\r\n", at):
                at += 2
                if at == len(wire):
                    break
            message, at = request(wire, at)
            found.append(message)
            if not message.whole:
                break
    except Doubt:
        pass
    return found


def request(wire: bytes, at: int) -> tuple[Message, int]:
    """The one that begins at `at`, and where the next would begin. Raises Doubt."""
    lines, at = _head(wire, at)
    match = _LINE.fullmatch(lines[0])
    if match is None:
        raise Doubt
    fields = _fields(lines[1:])
    lengths, codings = fields.get(b"content-length", []), fields.get(b"transfer-encoding", [])
    if len(lengths) + len(codings) > 1:
        raise Doubt
    body, at, whole, trailers = _body(wire, at, lengths, codings, b"")
    return Message(match[1], match[2], fields, body, whole, trailers), at


def answers(wire: bytes, methods: list[bytes], ended: bool) -> list[Message]:
    """Those that a client has got, interim ones included; `methods` are those of its requests. `ended`: the connection
    has. Raises Doubt when a client could not be certain."""
    found: list[Message] = []
    final = at = 0
    while at < len(wire):
        if b"\r\n\r\n" not in wire[at:]:
            if not ended:
                raise Doubt(f"half a head: {wire[at : at + 200]!r}")
            break
        lines, at = _head(wire, at)
        match = _STATUS.fullmatch(lines[0])
        if match is None:
            raise Doubt(f"no status line: {lines[0]!r}")
        fields = _fields(lines[1:])
        status = match[1]
        if status == b"101":
            return [*found, Message(status, b"", fields, wire[at:], True)]
        if status.startswith(b"1"):
            found.append(Message(status, b"", fields, b"", True))
            continue
        method = methods[final] if final < len(methods) else b"GET"
        final += 1
        if method == b"HEAD" or status in (b"204", b"304"):
            found.append(Message(status, b"", fields, b"", True))
            continue
        lengths, codings = fields.get(b"content-length", []), fields.get(b"transfer-encoding", [])
        if len(lengths) + len(codings) > 1:
            raise Doubt("two lengths")
        rest = wire[at:] if ended and b"close" in b",".join(fields.get(b"connection", [])) else None
        if not lengths and not codings and rest is None:
            raise Doubt("no length")
        body, at, whole, trailers = _body(wire, at, lengths, codings, rest)
        found.append(Message(status, b"", fields, body, whole, trailers))
        if not whole:
            break
    return found


def _head(wire: bytes, at: int) -> tuple[list[bytes], int]:
    end = wire.find(b"\r\n\r\n", at)
    if end < 0:
        raise Doubt("no end of a head")
    head = wire[at:end]
    if re.search(rb"\r(?!\n)|(?<!\r)\n|\x00", head):
        raise Doubt("a bare CR, LF or NUL")
    return head.split(b"\r\n"), end + 4


def _fields(lines: list[bytes]) -> dict[bytes, list[bytes]]:
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or re.search(rb"[\s\x00]", name):
            raise Doubt(f"no field: {line!r}")
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return fields


def _body(
    wire: bytes, at: int, lengths: list[bytes], codings: list[bytes], rest: bytes | None
) -> tuple[bytes, int, bool, tuple[bytes, ...]]:
    if codings:
        if codings[0].lower() != b"chunked":
            raise Doubt("another coding")
        return chunked(wire, at)
    if lengths:
        if not re.fullmatch(rb"[0-9]+", lengths[0]):
            raise Doubt("an odd length")
        size = int(lengths[0])
        return wire[at : at + size], at + size, at + size <= len(wire), ()
    if rest:
        return rest, len(wire), True, ()
    return b"", at, True, ()


def chunked(wire: bytes, at: int) -> tuple[bytes, int, bool, tuple[bytes, ...]]:
    """The content of a body, where it ends, whether it does, and the lines behind it. Raises Doubt."""
    body = b""
    trailers: list[bytes] = []
    while True:
        end = wire.find(b"\r\n", at)
        if end < 0:
            return body, len(wire), False, ()
        match = re.fullmatch(rb"([0-9A-Fa-f]+)(;[^\r\n\x00]*)?", wire[at:end])
        if match is None:
            raise Doubt(f"no size of a chunk: {wire[at:end]!r}")
        size, at = int(match[1], 16), end + 2
        if not size:
            break
        body += wire[at : at + size]
        at += size
        if not b"\r\n".startswith(wire[at : at + 2]):
            raise Doubt("no end of a chunk")
        if at + 2 > len(wire):
            return body, len(wire), False, ()
        at += 2
    while True:
        end = wire.find(b"\r\n", at)
        if end < 0:
            return body, len(wire), False, ()
        line, at = wire[at:end], end + 2
        if not line:
            return body, at, True, tuple(trailers)
        trailers.append(line)


def unfit(trailers: tuple[bytes, ...]) -> list[bytes]:
    """Those lines that must not pass a proxy: no fields, or such as belong into a head."""
    return [
        line
        for line in trailers
        if not re.fullmatch(rb"[^\s:\x00]+:[^\r\n\x00]*", line)
        or re.match(
            rb"(?i)(content[-_]length|transfer[-_]encoding|connection|host|set[-_]cookie|te|x[-_]forwarded[-_]for):",
            line,
        )
    ]
