"""Times as authors give them and documents carry them. Unix seconds inside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from minipaas.model.errors import Invalid

_FIRST = 0
_LAST = 253_402_300_799  # 9999-12-31T23:59:59Z


def rfc3339(seconds: int) -> str:
    """`2026-03-01T12:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str, what: str) -> int:
    """Unix seconds, or an RFC 3339 time; one without an offset is UTC. Raises Invalid naming `what`."""
    try:
        if re.fullmatch(r"\d{1,12}", text):
            seconds = int(text)
        else:
            moment = datetime.fromisoformat(text)
            seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise _bad(text, what) from None
    if not _FIRST <= seconds <= _LAST:
        raise _bad(text, what)
    return seconds


def issue_time(given: str | None, environ: Mapping[str, str], clock: float) -> int:
    """When the release is issued: what was given, else SOURCE_DATE_EPOCH, else the clock."""
    if given is not None:
        return parse_time(given, "--issued")
    epoch = environ.get("SOURCE_DATE_EPOCH")
    return parse_time(epoch, "SOURCE_DATE_EPOCH") if epoch else int(clock)


def _bad(text: str, what: str) -> Invalid:
    return Invalid(
        f"cannot read {what}: {text!r} is not a time",
        hint="write Unix seconds, or a time like 2026-03-01T12:00:00Z",
        code="input.time",
    )
