"""Quantiles from buckets whose bounds double: read off a straight line within the bucket, as Prometheus does."""

from __future__ import annotations

from collections.abc import Sequence

from minipaas.model.traffic import BOUNDS


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Milliseconds within which `share` of the answers came; None without answers. What took longer than the last
    bound counts as that bound."""
    total = sum(buckets)
    if not total:
        return None
    wanted = share * total
    below = 0
    for number, count in enumerate(buckets):
        if count and below + count >= wanted:
            lower = BOUNDS[number - 1] if number else 0.0
            upper = BOUNDS[number] if number < len(BOUNDS) else lower
            return round((lower + (upper - lower) * (wanted - below) / count) * 1000, 3)
        below += count
    return round(BOUNDS[-1] * 1000, 3)
