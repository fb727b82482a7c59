"""What the ingress has counted, frozen: requests, answers by status, and how long they took, by route."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from minipaas.model.route import Route
from minipaas.model.stream import Stream

BOUNDS: Final = tuple(0.00025 * (1 << power) for power in range(19))
"""Upper bounds in seconds of the latency buckets, 0.25 ms doubled up to 65.5 s; one more bucket takes the rest."""


class RouteCounters(Struct, frozen=True, kw_only=True, order=True):
    """One route since it was set."""

    route: Route
    app: str
    service: str
    requests: int
    in_flight: int
    """WebSockets included."""
    retries: int
    """Attempts beyond the first."""
    broken: int
    """Answers that ended before their end, whoever broke off."""
    codes: tuple[tuple[int, int], ...]
    """(status, answers), sorted; pages of the proxy included, 101 for switched protocols."""
    buckets: tuple[int, ...]
    """Answers by the time from the whole head of the request to the head of the answer, see `BOUNDS`."""
    seconds: float
    """The sum of these times."""
    waiting: int = 0
    """Requests in flight that no instance has yet: all are busy, or none is there."""
    set_aside: int = 0
    """Instances that others are asked before now: they refused, or broke off before an answer."""

    @property
    def answers(self) -> tuple[int, int, int, int, int]:
        """Answers by class: 1xx, 2xx, 3xx, 4xx, 5xx and what is beyond."""
        classes = [0] * 5
        for status, count in self.codes:
            classes[min(max(status // 100, 1), 5) - 1] += count
        one, two, three, four, five = classes
        return one, two, three, four, five


class StreamCounters(Struct, frozen=True, kw_only=True, order=True):
    """One TCP or UDP port since it was opened. A connection of UDP is a client's address."""

    stream: Stream
    app: str
    service: str
    active: int
    connections: int
    """Ever, with those that were refused."""
    refused: int
    """No instance answered, or there were too many."""
    retries: int
    """Attempts beyond the first."""
    received: int
    """Bytes from clients."""
    sent: int
    """Bytes to clients."""
    dropped: int
    """Datagrams for which there was no room or nobody."""


class IngressCounters(Struct, frozen=True, kw_only=True):
    """The whole ingress at one instant. Counts go up from the start of the process."""

    connections: int
    """Clients now."""
    accepted: int
    """Clients ever."""
    turned_away: int
    """Clients that got 503 because all connections were busy."""
    refused: int
    """Requests that were not valid or not in time."""
    unrouted: int
    """Requests for which there was no route."""
    unlogged: int = 0
    """Requests that are missing from the access log."""
    routes: tuple[RouteCounters, ...]
    instances: dict[str, int]
    """Requests in flight, and connections of streams, by container id."""
    streams: tuple[StreamCounters, ...] = ()
