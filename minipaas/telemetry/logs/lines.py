"""Podman's log file (`k8s-file`) as lines. Pure.

    2026-11-24T11:40:58.123456789+00:00 stdout F a whole line, or the end of one
    2026-11-24T11:40:58.123456789+00:00 stdout P the beginning of a line; the next one of this stream goes on

Source: Kubernetes' CRI log format, as conmon writes it: a time with nanoseconds, the stream, a tag, and bytes up to a
newline. What always holds: every byte of the text survives, a line that does not look like this is kept as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache

from minipaas.model.logs import Line, Source, Stream

SECOND = 1_000_000_000
_HEAD = re.compile(rb"^(?:\S+ (?:stdout|stderr|minipaas) [PF](?::\S*)? )?", re.MULTILINE)
_STREAMS = {stream.value.encode(): stream for stream in Stream}
_PARTIAL = re.compile(rb"^\S+ (?:stdout|stderr) P ", re.MULTILINE)
_SPACE = b" "
_WORDS = bytes(byte if chr(byte).isalnum() and byte < 128 else 0x20 for byte in range(256)).lower()
"""Maps all that is no ASCII letter or digit to a space, and capitals to small letters."""


def read(data: bytes, at: int, source: Source) -> Iterator[Line]:
    """The lines of whole lines of a file, in the order in which they begin; `at`: where the first does. Pieces of one
    line are put together; it stands where its first piece does, and has its time."""
    found = _read(data, at, source)
    return iter(sorted(found, key=lambda line: line.at)) if has_pieces(data) else found


def _read(data: bytes, at: int, source: Source) -> Iterator[Line]:
    """In the order in which they end."""
    open_lines: dict[Stream, tuple[int, int, list[bytes]]] = {}
    time = 0
    for raw in data.splitlines(keepends=True) if b"\r" not in data else _split(data):
        begins, at = at, at + len(raw)
        stamp, stream, tag, text = _parse(raw.removesuffix(b"\n"))
        time = stamp or time
        if stream in open_lines:
            first, when, pieces = open_lines[stream]
            pieces.append(text)
            if tag:
                del open_lines[stream]
                yield Line(when, first, stream, b"".join(pieces), source)
        elif tag:
            yield Line(time, begins, stream, text, source)
        else:
            open_lines[stream] = (begins, time, [text])
    for stream, (first, when, pieces) in open_lines.items():
        yield Line(when, first, stream, b"".join(pieces), source)


def _split(data: bytes) -> Iterator[bytes]:
    """At newlines alone."""
    begins = 0
    while (ends := data.find(b"\n", begins) + 1) > 0:
        yield data[begins:ends]
        begins = ends
    if begins < len(data):
        yield data[begins:]


def _parse(raw: bytes) -> tuple[int, Stream, bool, bytes]:
    """Time (0: none), stream, whether the line ends here, text."""
    parts = raw.split(_SPACE, 3)
    if len(parts) == 4 and parts[1] in _STREAMS and parts[2][:1] in (b"F", b"P"):
        stamp = time_of(parts[0])
        if stamp:
            return stamp, _STREAMS[parts[1]], parts[2][:1] == b"F", parts[3]
    return 0, Stream.STDOUT, True, raw


def time_of(stamp: bytes) -> int:
    """`2026-11-24T11:40:58.123456789+00:00` in nanoseconds since 1970; 0 for anything else."""
    try:
        return _second(stamp[:19], stamp[29:]) + int(stamp[20:29])
    except ValueError:
        return 0


@lru_cache(maxsize=64)
def _second(moment: bytes, zone: bytes) -> int:
    return int(datetime.fromisoformat(f"{moment.decode('ascii')}{zone.decode('ascii')}").timestamp()) * SECOND


def stamp_of(time: int) -> bytes:
    """The other way."""
    moment = datetime.fromtimestamp(time // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time % SECOND:09d}+00:00".encode()


def remark(time: int, text: str) -> bytes:
    """A line of minipaas's own, as the file would have it."""
    return b"%s %s F %s\n" % (stamp_of(time), Stream.MINIPAAS.value.encode(), text.encode())


def span(data: bytes, otherwise: int) -> tuple[int, int]:
    """The time of the first line and of the last, the earlier first. A clock that is set back between shows there."""
    first = time_of(data[:35])
    last = time_of(data[data.rfind(b"\n", 0, len(data) - 1) + 1 :][:35])
    first, last = first or last or otherwise, last or first or otherwise
    return min(first, last), max(first, last)


def has_pieces(data: bytes) -> bool:
    """Whether some line may lie there in pieces."""
    return b" P " in data and _PARTIAL.search(data) is not None


def cut(data: bytes) -> int:
    """How much of it are whole lines of which no piece is missing; 0: nothing."""
    end = data.rfind(b"\n") + 1
    if not has_pieces(data[:end]):
        return end
    whole = at = 0
    unfinished: set[bytes] = set()
    for raw in _split(data[:end]):
        at += len(raw)
        parts = raw.split(_SPACE, 3)
        if len(parts) == 4 and parts[2][:1] == b"P":
            unfinished.add(parts[1])
        elif len(parts) == 4:
            unfinished.discard(parts[1])
        if not unfinished:
            whole = at
    return whole


def words(data: bytes, source: Source) -> str:
    """Text for the index: what the lines say, as ASCII words in small letters."""
    text = b"\n".join(line.text for line in read(data, 0, source)) if has_pieces(data) else _HEAD.sub(b"", data)
    return text.translate(_WORDS).decode("ascii")
