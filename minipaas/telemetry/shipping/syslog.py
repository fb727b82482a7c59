"""Lines as syslog messages. Pure.

Source: RFC 5424 (the message) and RFC 6587, 3.4.1 (octet counting, so that a message may hold anything). A line that is
longer than receivers take becomes several messages, each of which says which part it is. While nothing keeps the clock
of this box right, each message says that too (RFC 5424, 7.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from minipaas.model.logs import Level, Line, Stream
from minipaas.telemetry import limits
from minipaas.telemetry.logs.lines import SECOND
from minipaas.telemetry.shipping.origin import Origin, level_told, short

LOCAL0 = 16
_SEVERITY = {Level.TRACE: 7, Level.DEBUG: 7, Level.INFO: 6, Level.WARN: 4, Level.ERROR: 3, Level.FATAL: 2}
_BY_STREAM = {Stream.STDOUT: 6, Stream.STDERR: 3, Stream.MINIPAAS: 4}
_ID = "minipaas@32473"
"""32473 is nobody's enterprise number (RFC 5612)."""


class Syslog:
    """`synced`: whether something keeps the clock right."""

    def __init__(self, origin: Origin, synced: Callable[[], bool]) -> None:
        self._origin = origin
        self._host = _word(origin.host, 255)
        self._synced = synced

    def encode(self, lines: Iterable[Line]) -> bytes:
        """Frames, one behind the other."""
        quality = "" if self._synced() else '[timeQuality tzKnown="1" isSynced="0"]'
        return b"".join(frame for line in lines for frame in self._frames(line, quality))

    def _frames(self, line: Line, quality: str) -> Iterator[bytes]:
        source, level = line.source, level_told(line)
        severity = _SEVERITY[level] if level is not None else _BY_STREAM[line.stream]
        seconds, rest = divmod(line.time, SECOND)
        stamp = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
        head = (
            f"<{LOCAL0 * 8 + severity}>1 {stamp} {self._host} {_word(source.app, 48)} {_word(source.instance, 128)} "
            f"{_word(line.stream.value, 32)} {quality}"
        )
        fields = (
            f'[{_ID} app="{_value(source.app)}" service="{_value(source.service)}" '
            f'instance="{_value(source.instance)}" release="{_value(short(source.release))}" '
            f'id="{_value(self._origin.id_of(line))}"'
        )
        parts = list(_parts(line.text.removesuffix(b"\r")))
        for number, part in enumerate(parts, 1):
            which = f' part="{number}/{len(parts)}"' if len(parts) > 1 else ""
            message = f"{head}{fields}{which}] ".encode() + part
            yield b"%d %s" % (len(message), message)


def _parts(text: bytes) -> Iterator[bytes]:
    """Pieces of at most `limits.SHIP_MESSAGE` bytes, cut between characters; at least one."""
    begins, most = 0, limits.SHIP_MESSAGE
    while len(text) - begins > most:
        ends = begins + most
        while ends > begins + most - 4 and text[ends] & 0xC0 == 0x80:
            ends -= 1
        yield text[begins:ends]
        begins = ends
    yield text[begins:]


def _word(text: str, most: int) -> str:
    """PRINTUSASCII, or `-` for nothing."""
    return "".join(one for one in text if "!" <= one <= "~")[:most] or "-"


def _value(text: str) -> str:
    """PARAM-VALUE."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
