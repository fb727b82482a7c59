"""Small pictures in a row of text, as SVG made here: a line of the last hour, a strip of the last day, a bar.

What always holds: pure functions; only presentation attributes and classes, because the Content Security Policy allows
no inline style; whole numbers, so that a picture stays small; what is not known is a gap and never zero. Two hundred
rows of them cost a browser no script at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from math import isfinite

from markupsafe import Markup

HEIGHT = 20
"""Of a line, in its own units; drawn as high as the style says."""
OUTSIDE = 3
STRIP_HEIGHT = 16
CELL = 4
"""Width of one part of a strip."""
GAP = 1


def line(values: Sequence[float | None], *, least: float = 0.0, tone: str = "") -> Markup:
    """A line over its own area. Its top is the highest value, or `least` if that is higher, so that noise stays small.
    Decoration: the number beside it says what it is."""
    top = max((value for value in values if value is not None and isfinite(value)), default=0.0)
    top = max(top, least, 1e-9)
    heights = [None if value is None else _height(value, top) for value in values]
    runs = list(_runs(heights))
    area = "".join(_path(start, run, len(values)) for start, run in runs)
    if len(runs) == 1 and len(runs[0][1]) == len(values):
        drawn = f'<path d="{area}"/>'  # half of the size, for most of them
    else:  # beside a gap the side of the area is inside of the picture: it must not look like a line
        drawn = f'<path class="area" d="{area}"/>' + "".join(
            f'<path class="stroke" d="{_line(start, run)}"/>' for start, run in runs
        )
    return Markup(  # noqa: S704 - numbers, and a class of ours
        f'<svg class="spark {tone}" viewBox="0 0 {max(len(values) - 1, 1)} {HEIGHT}" preserveAspectRatio="none" '
        f'aria-hidden="true" focusable="false">{drawn}</svg>'
    )


def _height(value: float, top: float) -> int:
    """From the top; one unit stays free above and below, so that the stroke is whole."""
    share = min(max(value / top, 0.0), 1.0) if isfinite(value) else 0.0
    return HEIGHT - 1 - round(share * (HEIGHT - 2))


def _runs(heights: Sequence[int | None]) -> Iterator[tuple[int, list[int]]]:
    """(first, heights) of each stretch without a gap."""
    run: list[int] = []
    for at, height in enumerate((*heights, None)):
        if height is not None:
            run.append(height)
        elif run:
            yield at - len(run), run
            run = []


def _path(start: int, heights: Sequence[int], count: int) -> str:
    """Line and area in one. At the edges of the picture its sides lie outside, as its ground does, so that only the
    line is seen of the outline."""
    before = OUTSIDE if start == 0 else 0
    after = OUTSIDE if start + len(heights) == count else 0
    steps, flat = _steps(heights)
    lead = f"M{start - before} {heights[0]}" + (f"h{before}" if before else "")
    return f"{lead}{steps}h{flat + after}V{HEIGHT + OUTSIDE}H{start - before}z"


def _line(start: int, heights: Sequence[int]) -> str:
    steps, flat = _steps(heights)
    return f"M{start} {heights[0]}{steps}h{flat}"


def _steps(heights: Sequence[int]) -> tuple[str, int]:
    """Relative steps, flat stretches as one; and how long the last stretch is flat."""
    parts = []
    flat = 0
    for before, after in pairwise(heights):
        if after == before:
            flat += 1
            continue
        if flat:
            parts.append(f"h{flat}")
            flat = 0
        parts.append(f"l1 {after - before}")
    return "".join(parts), flat


def strip(tones: Iterable[str], label: str) -> Markup:
    """One cell for each part of the time, the oldest first. A tone is a class, and also a height: what is worse stands
    taller, so that it is seen without colour."""
    width, cells = _cells(tuple(tones))
    return Markup(
        '<svg class="strip" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(width, STRIP_HEIGHT, label, cells)


@lru_cache(maxsize=1024)
def _cells(tones: tuple[str, ...]) -> tuple[int, Markup]:
    """Width, and one path a tone."""
    paths: dict[str, list[str]] = {}
    for at, tone in enumerate(tones):
        tall = _TALL.get(tone, STRIP_HEIGHT)
        paths.setdefault(tone, []).append(f"M{at * CELL} {STRIP_HEIGHT}v-{tall}h{CELL - GAP}v{tall}z")
    parts = [Markup('<path class="{}" d="{}"/>').format(tone, "".join(path)) for tone, path in paths.items()]
    return max(len(tones), 1) * CELL - GAP, Markup("").join(parts)


_TALL = {"none": 3, "good": 9, "busy": 12, "warn": 14, "bad": STRIP_HEIGHT}
"""Height of a cell by its tone."""


def bar(share: float, tone: str = "") -> Markup:
    """How much of something is used, 0 to 1. Decoration: the words beside it say so."""
    width = round(min(max(share, 0.0), 1.0) * 100) if isfinite(share) else 0
    return Markup(
        '<svg class="bar {}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="rest" width="100" height="4"/><rect class="used" width="{}" height="4"/></svg>'
    ).format(tone, width)
