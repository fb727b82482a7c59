"""What the data path counts, as cheap integers, and the frozen picture of them for whoever shows it."""

from __future__ import annotations

from msgspec import Struct

from minipaas.model.route import Route


class Tally:
    """Counts of one route of one service, alive as long as the route is."""

    __slots__ = ("broken", "classes", "in_flight", "requests", "retries")

    def __init__(self) -> None:
        self.requests = 0
        self.in_flight = 0
        self.retries = 0
        self.broken = 0
        self.classes = [0] * 10
        """By the first digit of the status."""


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
    answers: tuple[int, int, int, int, int]
    """1xx (switched protocols), 2xx, 3xx, 4xx, 5xx; pages of the proxy included."""


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
    routes: tuple[RouteCounters, ...]
    instances: dict[str, int]
    """Requests in flight by container id."""


def picture(route: Route, app: str, service: str, tally: Tally) -> RouteCounters:
    """A tally, frozen."""
    _, one, two, three, four, five, *_ = tally.classes
    return RouteCounters(
        route=route,
        app=app,
        service=service,
        requests=tally.requests,
        in_flight=tally.in_flight,
        retries=tally.retries,
        broken=tally.broken,
        answers=(one, two, three, four, five),
    )
