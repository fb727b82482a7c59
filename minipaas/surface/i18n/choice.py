"""Which language a reader gets: the one asked for, else the one chosen before, else what the browser prefers."""

from __future__ import annotations

from minipaas.surface.i18n.catalogue import LANGUAGES

DEFAULT = "en"
MOST = 20
"""Languages of a header that are looked at."""


def choose(asked: str | None, cookie: str | None, accept: str) -> str:
    """`asked` from the address, `cookie` from an earlier choice, `accept` from `Accept-Language` (RFC 9110, 12.5.4).
    What is not one of ours counts for nothing."""
    for named in (asked, cookie):
        if named in LANGUAGES:
            return str(named)
    weighed: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept[:1000].split(",")[:MOST]):
        tag, _, rest = part.strip().partition(";")
        language = tag.strip().lower().partition("-")[0]
        if language in LANGUAGES:
            weighed.append((-_weight(rest), place, language))
    best = min(weighed, default=(0.0, 0, DEFAULT))
    return best[2] if best[0] < 0 else DEFAULT


def _weight(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
