"""Durations and sizes as people write them: `2s`, `1m30s`, `256MiB`. Seconds and bytes inside."""

from __future__ import annotations

import re
from typing import Any

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1000,
    "m": 1000**2,
    "mb": 1000**2,
    "g": 1000**3,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


class Duration(float):
    """A length of time in seconds, written `500ms`, `2s`, `1m30s`, `24h`."""

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Take `1m30s`; raise ValueError with the accepted forms."""
        if not _DURATION.fullmatch(text):
            raise ValueError(f"{text!r} is not a duration; write it like 500ms, 2s, 1m30s or 24h")
        return cls(sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text)))

    def __str__(self) -> str:
        if self < 1:
            return f"{self * 1000:g}ms"
        if self % 3600 == 0:
            return f"{self / 3600:g}h"
        if self % 60 == 0:
            return f"{self / 60:g}m"
        return f"{float(self):g}s"


class Size(int):
    """A number of bytes, written `64MiB` (binary) or `64MB` (decimal)."""

    @classmethod
    def parse(cls, text: str) -> Size:
        """Take `256MiB`; raise ValueError with the accepted forms."""
        match = _SIZE.fullmatch(text.strip())
        factor = _BYTES.get(match[2].lower()) if match else None
        if match is None or factor is None:
            raise ValueError(f"{text!r} is not a size; write it like 512KiB, 256MiB or 2GiB")
        return cls(int(float(match[1]) * factor))

    def __str__(self) -> str:
        return human_bytes(self)


def counted(number: int, noun: str) -> str:
    """`1 route`, `2 routes`: of a noun whose plural takes an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def human_bytes(count: float) -> str:
    """`1536` -> `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def decode_unit(kind: type, value: object) -> Any:
    """msgspec `dec_hook`: strings and plain numbers become Duration (seconds) or Size (bytes)."""
    if kind in (Duration, Size):
        if isinstance(value, str):
            return kind.parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return kind(value)
        raise ValueError(f"expected {'a duration like 2s' if kind is Duration else 'a size like 256MiB'}")
    raise NotImplementedError(f"no decoder for {kind!r}")


def encode_unit(value: object) -> object:
    """msgspec `enc_hook`: Duration and Size travel as plain numbers (seconds, bytes)."""
    if isinstance(value, Duration):
        return float(value)
    if isinstance(value, Size):
        return int(value)
    raise NotImplementedError(f"no encoder for {type(value)!r}")
