"""Metrics for Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats): our counters as its families.

What always holds: names are `minipaas_SUBJECT_WHAT_UNIT` in base units; counters never go down while the process lives;
labels have as many values as the box has apps, services, slots, routes and ports, never one a container or a client.
prometheus-client is imported when somebody asks for the first time, and all of it is for a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from minipaas.model.certificate import Certificate
from minipaas.model.metrics import Seen, Summary
from minipaas.model.shipping import ShipState
from minipaas.model.traffic import BOUNDS, IngressCounters, RouteCounters, StreamCounters
from minipaas.telemetry.host import HostReading
from minipaas.telemetry.meter import SlotKey, Totals

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


class Facts(Struct, frozen=True, kw_only=True):
    """What is exposed, as of one instant."""

    version: str
    podman: str
    trouble: bool
    """The box cannot look after its apps just now."""
    clock_synced: bool
    disk_free: int
    """Bytes, of the data directory."""
    changes: Mapping[tuple[str, str], int]
    """Those remembered, by kind and state."""
    summary: Summary
    ingress: IngressCounters | None
    slots: Mapping[SlotKey, Totals]
    host: HostReading | None
    certificates: Sequence[Certificate] = ()
    shipping: Sequence[ShipState] = ()


def exposition(facts: Facts, accept: str = "") -> tuple[bytes, str]:
    """The text, and its media type: OpenMetrics for who accepts it, else Prometheus's own."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(facts))
    encoder, kind = choose_encoder(accept)
    return encoder(registry), kind


class _Collector:
    """prometheus-client's custom collector."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        facts = self._facts
        yield from _box(facts)
        yield from _apps(facts.summary)
        if facts.host is not None:
            yield from _host(facts.host)
        yield from _instances(facts.slots)
        yield from _shipping(facts.shipping)
        if facts.ingress is not None:
            yield from _ingress(facts.ingress)
            yield from _streams(facts.ingress)


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float]]) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"minipaas_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float]]) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"minipaas_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _box(facts: Facts) -> Iterator[Metric]:
    yield _gauge("build_info", "What runs here.", ["version", "podman"], [((facts.version, facts.podman), 1)])
    yield _gauge("box_in_trouble", "1 while the box cannot look after its apps.", [], [((), facts.trouble)])
    yield _gauge("clock_synced", "1 while the clock is known to be right.", [], [((), facts.clock_synced)])
    yield _gauge("disk_free_bytes", "Free where the data directory lies.", [], [((), facts.disk_free)])
    yield _gauge(
        "changes",
        "Changes that the box remembers.",
        ["kind", "state"],
        [(key, count) for key, count in sorted(facts.changes.items())],
    )
    ends: dict[tuple[str, str], float] = {}
    for one in facts.certificates:
        key = (",".join(one.names), one.source.value)
        ends[key] = min(one.not_after, ends.get(key, one.not_after))
    yield _gauge(
        "certificate_end_seconds", "When a certificate ends, Unix time.", ["names", "source"], sorted(ends.items())
    )


def _apps(summary: Summary) -> Iterator[Metric]:
    yield _gauge(
        "app_state",
        "1 for the state that the app is in.",
        ["app", "state"],
        [((app.app, seen.value), app.state is seen) for app in summary.apps for seen in Seen],
    )
    yield _gauge(
        "app_state_since_seconds",
        "When that state began, Unix time.",
        ["app"],
        [((app.app,), app.since) for app in summary.apps],
    )


def _host(host: HostReading) -> Iterator[Metric]:
    yield _counter(
        "host_cpu_seconds", "CPU time of all cores.", ["mode"], [(("busy",), host.busy), (("idle",), host.idle)]
    )
    for name, text, value in (
        ("host_cores", "Cores.", host.cores),
        ("host_memory_used_bytes", "Memory that is not available.", host.memory_used),
        ("host_memory_total_bytes", "Memory.", host.memory_total),
        ("host_disk_used_bytes", "Used where the data directory lies.", host.disk_used),
        ("host_disk_total_bytes", "The disk where the data directory lies.", host.disk_total),
        ("host_load1", "Load over one minute.", host.load[0]),
        ("host_uptime_seconds", "Since the host was started.", host.uptime),
    ):
        yield _gauge(name, text, [], [((), value)])
    yield _counter("host_network_receive_bytes", "Over the real interfaces.", [], [((), host.received)])
    yield _counter("host_network_transmit_bytes", "Over the real interfaces.", [], [((), host.sent)])


_SLOT = ("app", "service", "slot")
_SLOT_COUNTERS: tuple[tuple[str, str, Callable[[Totals], float]], ...] = (
    ("instance_cpu_seconds", "CPU time.", lambda one: one.cpu),
    ("instance_network_receive_bytes", "Bytes received.", lambda one: one.received),
    ("instance_network_transmit_bytes", "Bytes sent.", lambda one: one.sent),
    ("instance_block_read_bytes", "Bytes read from block devices.", lambda one: one.read),
    ("instance_block_written_bytes", "Bytes written to block devices.", lambda one: one.written),
    ("instance_restarts", "Starts after a failure.", lambda one: one.restarts),
    ("instance_oom_kills", "Processes that the kernel killed for memory.", lambda one: one.ooms),
)
_SLOT_GAUGES: tuple[tuple[str, str, Callable[[Totals], float]], ...] = (
    ("instance_up", "Containers that run in this slot.", lambda one: one.containers),
    ("instance_memory_bytes", "Memory, without file cache that can be taken back.", lambda one: one.memory),
    ("instance_memory_peak_bytes", "The most memory, file cache included.", lambda one: one.peak),
    ("instance_pids", "Processes and threads.", lambda one: one.pids),
)


def _instances(slots: Mapping[SlotKey, Totals]) -> Iterator[Metric]:
    rows = [((app, service, str(slot)), total) for (app, service, slot), total in sorted(slots.items())]
    for name, text, value in _SLOT_COUNTERS:
        yield _counter(name, text, _SLOT, [(labels, value(total)) for labels, total in rows])
    for name, text, value in _SLOT_GAUGES:
        yield _gauge(name, text, _SLOT, [(labels, value(total)) for labels, total in rows])


_SHIP_COUNTERS: tuple[tuple[str, str, Callable[[ShipState], float]], ...] = (
    ("shipping_lines", "Lines that the destination has confirmed.", lambda one: one.lines),
    ("shipping_sent_bytes", "Bytes sent there, over the wire.", lambda one: one.sent_bytes),
    ("shipping_refused_lines", "Lines that it does not want.", lambda one: one.refused),
    ("shipping_lost_lines", "Lines that made way before they were sent.", lambda one: one.lost),
    ("shipping_lost_bytes", "Bytes of the log that made way before they were sent.", lambda one: one.lost_bytes),
)
_SHIP_GAUGES: tuple[tuple[str, str, Callable[[ShipState], float]], ...] = (
    ("shipping_up", "1 while what is sent there arrives.", lambda one: not one.failing),
    ("shipping_behind_bytes", "Bytes of the log that are not confirmed.", lambda one: one.behind_bytes),
    ("shipping_confirmed_seconds", "When it last confirmed lines, Unix time.", lambda one: one.confirmed_at or 0),
)


def _shipping(states: Sequence[ShipState]) -> Iterator[Metric]:
    for name, text, value in _SHIP_COUNTERS:
        yield _counter(name, text, ["destination"], [((one.name,), value(one)) for one in states])
    for name, text, value in _SHIP_GAUGES:
        yield _gauge(name, text, ["destination"], [((one.name,), value(one)) for one in states])


_ROUTE = ("app", "service", "route")


def _ingress(counters: IngressCounters) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily

    yield _gauge("ingress_connections", "Clients now.", [], [((), counters.connections)])
    for name, text, value in (
        ("ingress_accepted", "Clients ever.", counters.accepted),
        ("ingress_unlogged", "Requests that are missing from the access log.", counters.unlogged),
        ("ingress_turned_away", "Clients that got 503 because all connections were busy.", counters.turned_away),
        ("ingress_refused", "Requests that were not valid or not in time.", counters.refused),
        ("ingress_unrouted", "Requests for which there was no route.", counters.unrouted),
    ):
        yield _counter(name, text, [], [((), value)])
    routes = [(_labels(route), route) for route in counters.routes]
    yield _counter(
        "ingress_requests",
        "Requests that were answered, by status.",
        [*_ROUTE, "code"],
        [((*labels, str(code)), count) for labels, route in routes for code, count in route.codes],
    )
    yield _gauge("ingress_requests_in_flight", "WebSockets included.", _ROUTE, [(ls, r.in_flight) for ls, r in routes])
    yield _counter("ingress_retries", "Attempts beyond the first.", _ROUTE, [(ls, r.retries) for ls, r in routes])
    yield _counter(
        "ingress_broken", "Answers that ended before their end.", _ROUTE, [(ls, r.broken) for ls, r in routes]
    )
    yield _gauge(
        "ingress_requests_waiting",
        "Of those, not given to an instance yet.",
        _ROUTE,
        [(ls, r.waiting) for ls, r in routes],
    )
    yield _gauge(
        "ingress_instances_set_aside",
        "Instances asked last: they refused, or broke off before an answer.",
        _ROUTE,
        [(ls, r.set_aside) for ls, r in routes],
    )
    histogram = HistogramMetricFamily(
        "minipaas_ingress_request_duration_seconds",
        "From the whole head of a request to the head of its answer.",
        labels=_ROUTE,
    )
    for labels, route in routes:
        histogram.add_metric(labels, _buckets(route), route.seconds)
    yield histogram


_STREAM = ("app", "service", "protocol", "port")
_STREAM_COUNTERS: tuple[tuple[str, str, Callable[[StreamCounters], float]], ...] = (
    ("stream_connections", "Connections ever; of UDP, clients.", lambda one: one.connections),
    ("stream_refused", "Connections that nobody took, or that were too many.", lambda one: one.refused),
    ("stream_retries", "Attempts beyond the first.", lambda one: one.retries),
    ("stream_receive_bytes", "Bytes from clients.", lambda one: one.received),
    ("stream_transmit_bytes", "Bytes to clients.", lambda one: one.sent),
    ("stream_dropped", "Datagrams for which there was no room, or nobody.", lambda one: one.dropped),
)


def _streams(counters: IngressCounters) -> Iterator[Metric]:
    rows = [((one.app, one.service, one.stream.protocol, str(one.stream.port)), one) for one in counters.streams]
    yield _gauge("stream_active", "Connections now.", _STREAM, [(labels, one.active) for labels, one in rows])
    for name, text, value in _STREAM_COUNTERS:
        yield _counter(name, text, _STREAM, [(labels, value(one)) for labels, one in rows])


def _labels(route: RouteCounters) -> tuple[str, str, str]:
    return route.app, route.service, str(route.route)


def _buckets(route: RouteCounters) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    total = 0
    found: list[tuple[str, float]] = []
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], route.buckets, strict=True):
        total += count
        found.append((bound, total))
    return found
