"""Log answers of Podman: frames of eight bytes of header and a payload, as lines.

Source: Podman API, `containers/{name}/logs` and attach: byte 0 is the stream (1 stdout, 2 stderr), bytes 4..7 the
length, big-endian. A frame is usually a line; a line that the container did not end comes without a newline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

HEADER = 8


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(stream, payload) of each whole frame; a cut-off one at the end is given as far as it goes."""
    at = 0
    while at + HEADER <= len(data):
        size = int.from_bytes(data[at + 4 : at + HEADER], "big")
        yield data[at], data[at + HEADER : at + HEADER + size]
        at += HEADER + size


def text_lines(data: bytes) -> list[str]:
    """Framed output as lines in the order of arrival; a stream's unfinished line waits for its end, not for the
    other stream."""
    lines: list[str] = []
    open_line: dict[int, bytes] = {}
    for stream, payload in frames(data):
        *whole, rest = (open_line.pop(stream, b"") + payload).split(b"\n")
        lines += [_text(line) for line in whole]
        if rest:
            open_line[stream] = rest
    return lines + [_text(line) for line in open_line.values()]


def tail(lines: Sequence[str], count: int, size: int) -> str:
    """The last `count` lines in at most `size` bytes of UTF-8, cut at the front."""
    text = "\n".join(lines[-count:]).strip()
    data = text.encode()
    return text if len(data) <= size else "…" + data[len(data) - size + 3 :].decode(errors="ignore")


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode(errors="replace")
