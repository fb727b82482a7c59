"""How things look on a terminal and in a pipe: tables, colours, times, JSON.

What always holds: colour only on a terminal and never with NO_COLOR; text from elsewhere (logs, reasons) cannot move
the cursor or change the terminal; a pipe gets the same columns without trimming.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import IO, TypeAlias

import click
import msgspec

from minipaas.model.typed import to_json

Cell: TypeAlias = "str | tuple[str, str]"
"""Text, or (text, colour)."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_GOOD = frozenset({"running", "healthy", "done", "serving", "ok", "up"})
_BAD = frozenset({"failed", "unhealthy", "exited", "down", "refused", "rolled_back", "crashing"})


def on_terminal(stream: IO[str] | None = None) -> bool:
    """Whether a person is looking."""
    try:
        return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:
        return False


def colourful(stream: IO[str] | None = None) -> bool:
    """A terminal, and NO_COLOR (https://no-color.org) is not set."""
    return on_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, stream: IO[str] | None = None) -> str:
    """The text in a colour, where there are colours."""
    return click.style(text, fg=colour) if colour and colourful(stream) else text


def clean(text: str, stream: IO[str] | None = None) -> str:
    """Text from elsewhere; on a terminal without control sequences, line breaks and tabs excepted."""
    if not on_terminal(stream):
        return text
    return _CONTROLS.sub("�", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def state_colour(word: str) -> str:
    """Green for well, red for bad, yellow for on the way."""
    return "green" if word in _GOOD else "red" if word in _BAD else "yellow"


def state_cell(word: str) -> tuple[str, str]:
    """A state as a coloured cell."""
    return (word.replace("_", " "), state_colour(word))


def print_json(value: object) -> None:
    """An API answer (bytes, as the box said it) or a struct, indented."""
    raw = value if isinstance(value, bytes) else to_json(value)
    print(msgspec.json.format(raw, indent=2).decode())


def print_json_line(value: object) -> None:
    """One object in one line."""
    print(to_json(value).decode(), flush=True)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Aligned columns; on a terminal the last column is cut at the right edge."""
    rows = list(rows)
    plain = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headers), *plain]) for i in range(len(headers))]
    room = shutil.get_terminal_size().columns if on_terminal() else 0
    print(paint(_line(list(headers), widths, room), "bright_black"))
    for row, texts in zip(rows, plain, strict=True):
        line = _line(texts, widths, room)
        if colourful():
            line = _coloured(row, texts, widths, line)
        print(line)


def _text(cell: Cell) -> str:
    text = cell if isinstance(cell, str) else cell[0]
    return clean(text).replace("\n", " ").replace("\t", " ") or "-"


def _line(texts: Sequence[str], widths: Sequence[int], room: int) -> str:
    line = "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()
    return line[: room - 1] + "…" if room and len(line) > room else line


def _coloured(row: Sequence[Cell], texts: Sequence[str], widths: Sequence[int], line: str) -> str:
    """The line again, its coloured cells painted (as far as the line was not cut)."""
    at, out = 0, ""
    for cell, text, width in zip(row, texts, widths, strict=True):
        part = line[at : at + width + 2]
        shown = part[: len(text)]
        out += (paint(shown, cell[1]) if isinstance(cell, tuple) else shown) + part[len(text) :]
        at += width + 2
    return out


def ago(when: float | None, now: float | None = None) -> str:
    """`3 min ago` by the local clock; a date when it is more than a month; `-` for never."""
    if when is None:
        return "-"
    seconds = (time.time() if now is None else now) - when
    words = span(abs(seconds))
    if abs(seconds) < 5:
        return "just now"
    if abs(seconds) > 30 * 86400:
        return time.strftime("%Y-%m-%d", time.localtime(when))
    return f"{words} ago" if seconds > 0 else f"in {words}"


def span(seconds: float) -> str:
    """A length of time in one unit: `0.4 s`, `45 s`, `3 min`, `2 h`, `5 days`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, word in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'s' if word == 'day' and count > 1 else ''}"
    return f"{seconds:.0f} s"


def stamp(when: float) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
