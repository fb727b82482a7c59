"""What the data path counts, as cheap integers, and the frozen picture of them for whoever shows it."""

from __future__ import annotations

from minipaas.model.route import Route
from minipaas.model.traffic import BOUNDS, RouteCounters

_LAST = len(BOUNDS)
_UNITS = 1 / BOUNDS[0]
_LENGTH = 64
"""Enough for any time that the process may live."""


class Tally:
    """Counts of one route of one service, alive as long as the route is."""

    __slots__ = ("broken", "buckets", "codes", "in_flight", "requests", "retries", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.in_flight = 0
        self.retries = 0
        self.broken = 0
        self.codes: dict[int, int] = {}
        """Answers by status."""
        self.buckets = [0] * _LENGTH
        """Answers by time, see `model.traffic.BOUNDS`; it goes on beyond the last bound."""
        self.seconds = 0.0

    def answered(self, status: int, seconds: float) -> None:
        """The head of an answer was sent, so long after the whole head of its request was here."""
        try:
            self.codes[status] += 1
        except KeyError:
            self.codes[status] = 1
        self.seconds += seconds
        # Bounds double, so the bucket's number is how many bits the time has in units of the first bound.
        self.buckets[int(seconds * _UNITS).bit_length()] += 1


def picture(route: Route, app: str, service: str, tally: Tally, **now: int) -> RouteCounters:
    """A tally, frozen; with what is true `now`, by field."""
    return RouteCounters(
        route=route,
        app=app,
        service=service,
        requests=tally.requests,
        in_flight=tally.in_flight,
        retries=tally.retries,
        broken=tally.broken,
        codes=tuple(sorted(tally.codes.items())),
        buckets=(*tally.buckets[:_LAST], sum(tally.buckets[_LAST:])),
        seconds=tally.seconds,
        **now,
    )
