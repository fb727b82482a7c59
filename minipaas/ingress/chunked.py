"""The chunked coding (RFC 9112, section 7.1): finds where a body ends while its bytes pass through.

What always holds: no byte is handed on before the line it belongs to has been found well-formed; trailers go on, or
are left out (`trailers`), when all of them have come; after `broken` nothing comes out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Set

from minipaas.ingress import pages, trailers
from minipaas.ingress.limits import CHUNK_LINE, TRAILER_FIELDS, TRAILERS
from minipaas.ingress.pages import Fault

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t \x21-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t \x21-\x7e\x80-\xff]*")
_NONE: Set[bytes] = frozenset()

_SIZE_LINE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkedBody:
    """Feed it what arrives. `done`: the end was seen, and `rest` is what came after it. `broken`: not chunked coding.

    With `decode` it hands out the content alone (for HTTP/1.0 clients), else the chunks as they came. More content than
    `most` bytes makes it `broken` and `large`, before a byte of the chunk that is too much has gone on. Trailers in
    `named` stay here: Connection has named them.
    """

    __slots__ = (
        "_decode",
        "_held",
        "_kept",
        "_left",
        "_most",
        "_named",
        "_stage",
        "_trailers",
        "broken",
        "done",
        "large",
        "rest",
    )

    def __init__(self, decode: bool = False, most: int = 0, named: Set[bytes] = _NONE) -> None:
        self._decode = decode
        self._most = most or sys.maxsize
        self._held = b""
        self._left = 0
        self._named = named
        self._stage = _SIZE_LINE
        self._trailers = 0
        """Bytes of them so far..."""
        self._kept: tuple[bytes, ...] = ()
        """...and their lines; empty where one is left out."""
        self.done = False
        self.broken = False
        self.large = False
        self.rest = b""

    @property
    def fault(self) -> Fault:
        """What is to be said of a request that is broken."""
        if self.large:
            return pages.LARGE_BODY
        long = self._trailers + len(self._held) > TRAILERS or len(self._kept) > TRAILER_FIELDS
        return pages.LONG_TRAILERS if long and self._stage == _TRAILERS else pages.BAD_BODY

    def feed(self, data: bytes) -> bytes:
        """The part of the body that may be handed on now, possibly nothing."""
        if self.done or self.broken:
            return b""
        if self._held:
            data = self._held + data
            self._held = b""
        size, at, ready = len(data), 0, 0
        content: list[bytes] = []
        late_end = self._stage == _TRAILERS
        while not self.done:
            if self._stage == _DATA:
                take = min(self._left, size - at)
                if self._decode and take:
                    content.append(data[at : at + take])
                at = ready = at + take
                self._left -= take
                if self._left:
                    break
                self._stage = _DATA_END
            end = at if self._stage == _DATA_END else data.find(b"\r\n", at, at + CHUNK_LINE)
            if end < 0 or size - end < 2:
                most = CHUNK_LINE
                if self._stage == _TRAILERS:
                    # A signature may well be longer than what is said of a chunk.
                    most = TRAILERS + 2 - self._trailers
                    end = data.find(b"\r\n", at, at + most)
                if end < 0 or size - end < 2:
                    # A line that is not complete yet: kept back, so that only whole and valid lines go on.
                    self.broken = size - at >= most
                    self._held = data[at:]
                    break
            if not self._line(data, at, end):
                self.broken = True
                break
            at = end + 2
            if self._stage != _TRAILERS or self._trailers == 0:
                ready = at
        if self.broken:
            return b""
        if self.done:
            self.rest = data[at:]
            if not late_end and self._trailers <= 2:
                ready = at
        if self._decode:
            return content[0] if len(content) == 1 else b"".join(content)
        out = data if ready == size else data[:ready]
        return b"".join((out, *self._kept, b"\r\n")) if self.done and ready != at else out

    def _line(self, data: bytes, at: int, end: int) -> bool:
        """Take one line, without its CRLF; whether it is what had to come."""
        if self._stage == _DATA_END:
            self._stage = _SIZE_LINE
            return data[end : end + 2] == b"\r\n"
        if self._stage == _SIZE_LINE:
            match = _SIZE.fullmatch(data, at, end)
            if match is None:
                return False
            self._left = int(match[1], 16)
            self._most -= self._left
            if self._most < 0:
                self.large = True
                return False
            self._stage = _DATA if self._left else _TRAILERS
            return True
        self._trailers += end - at + 2
        if end == at:
            self.done = True
            return True
        if _TRAILER.fullmatch(data, at, end) is None:
            return False
        passes = trailers.may_pass(data[at : data.index(b":", at)], self._named)
        self._kept += (data[at : end + 2] if passes else b"",)
        return self._trailers <= TRAILERS and len(self._kept) <= TRAILER_FIELDS
