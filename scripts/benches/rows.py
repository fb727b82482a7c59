"""A figure with its aim, and how figures are shown."""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any

from kit.words import say


class Row:
    """One figure. `limit` is what must be reached."""

    def __init__(self, what: str, values: list[float], unit: str, limit: float | None = None, beside: str = "") -> None:
        self.what = what
        self.values = values
        self.unit = unit
        self.limit = limit
        self.beside = beside

    @property
    def value(self) -> float:
        """The median of all runs."""
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return "reached" if self.value <= self.limit else "MISSED"

    def as_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "median": self.value,
            "values": self.values,
            "unit": self.unit,
            "limit": self.limit,
            "reached": self.limit is None or self.value <= self.limit,
            "beside": self.beside,
        }


def show(rows: list[Row], as_json: bool) -> None:
    """A table for people, or JSON."""
    if as_json:
        say(json.dumps([row.as_dict() for row in rows], indent=2))
        return
    wide = max(len(row.what) for row in rows)
    for row in rows:
        target = f"must be <= {row.limit:g} {row.unit}: {row.verdict}" if row.limit is not None else ""
        spread = f"({min(row.values):.3g} to {max(row.values):.3g})" if len(row.values) > 1 else ""
        say(f"{row.what:{wide}}  {row.value:8.3g} {row.unit:4} {spread:18} {target:40} {row.beside}".rstrip())


def note(text: str) -> None:
    """What takes its time just now; on stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)
