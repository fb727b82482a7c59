"""Every size, count and time-out of the data path, in one place. Sizes in bytes, times in seconds."""

from __future__ import annotations

import resource

from msgspec import Struct

CHUNK_LINE = 1024
"""Longest line with the size of a chunk, extensions included; longer: 400."""
TRAILERS = 8 * 1024
"""All trailers of a body; more: 431, or a broken answer."""
TRAILER_FIELDS = 64
"""The same in lines."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a client or an instance may ask of the proxy. The defaults fit an edge box."""

    request_line: int = 8 * 1024
    """Longer: 414."""
    head: int = 32 * 1024
    """A request's line and fields; longer: 431."""
    fields: int = 128
    """Lines of a head, requests and answers; more: 431 or 502."""
    answer_head: int = 64 * 1024
    """Longer: 502."""
    interims: int = 100
    """Answers before the answer (1xx) in one piece; more: 502."""
    held: int = 64 * 1024
    """What is kept of a client's input that cannot be passed on yet; then reading pauses."""
    write_high: int = 128 * 1024
    """More than this waiting for a slow reader pauses the other side..."""
    write_low: int = 32 * 1024
    """...until it has come down to this."""
    connections: int = 16384
    """Clients at once. Beyond it idle ones are let go; if all are busy, a new one gets 503."""
    idle_upstream: int = 64
    """Kept-alive connections to one instance that wait for a next request..."""
    busy_upstream: int = 1024
    """...and while so many more are in use, that they are worth keeping for a moment."""
    attempts: int = 4
    """How often one request is tried on instances, first time included."""
    handshakes: int = 1024
    """TLS handshakes under way at once; beyond it the oldest is cut."""
    backlog: int = 1024

    keep_alive: float = 75.0
    """A client may be silent between two requests."""
    handshake: float = 10.0
    """From the connection to the end of the TLS handshake."""
    head_time: float = 15.0
    """From the first byte of a request to the end of its head; longer: 408."""
    body_gap: float = 30.0
    """Between two pieces of a request's body; longer: 408."""
    connect: float = 3.0
    """To an instance; longer: the next one is tried, then 504."""
    first_byte: float = 60.0
    """From the end of a request to the head of its answer; longer: 504."""
    answer_gap: float = 300.0
    """Between two pieces of an answer; server-sent events live with it."""
    send_gap: float = 60.0
    """A client that takes nothing of its answer."""
    tunnel_gap: float = 3600.0
    """A WebSocket on which nobody says anything."""
    half_gap: float = 15.0
    """The same when one side has said all already; usually it is gone."""
    upstream_keep: float = 60.0
    """An idle connection to an instance..."""
    upstream_spare: float = 1.0
    """...or one beyond `idle_upstream`."""
    fresh: float = 1.0
    """A request that must not be sent twice only goes over a kept-alive connection used within this time:
    an older one may be closing at the other end just now."""
    settled: float = 0.5
    """...and, where the instance has not been seen to keep connections, one that has stayed open for this long."""
    aside: float = 1.0
    """An instance that refused, or broke off before its answer, is asked last for this long, and twice as long after
    each failed trial..."""
    aside_most: float = 30.0
    """...up to this."""
    waiting: int = 1024
    """Requests of one service that wait because none of its instances is there."""
    rush: int = 64
    """Of those that have waited, so many go to one instance at once; the others follow as answers come."""
    linger: float = 3.0
    """After a refusal: so long is input read and dropped, so that the answer arrives before the connection ends."""
    tick: float = 0.5
    """Time-outs are looked at this often; all may come so much late."""


def connections_allowed(limits: Limits) -> int:
    """`limits.connections`, or less when the process may not open that many files: a quarter is left for instances."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits.connections
    return max(16, min(limits.connections, soft - soft // 4))


class StreamLimits(Struct, frozen=True, kw_only=True):
    """What TCP and UDP ports may take, beside what each says for itself."""

    connections: int = 8192
    """Of all streams at once, UDP clients included; less when the process may not open that many files."""
    write_high: int = 128 * 1024
    """More than this waiting for a slow reader pauses the other side..."""
    write_low: int = 32 * 1024
    """...until it has come down to this."""
    batch: int = 64
    """Datagrams that are read at once before others have their turn."""

    connect: float = 3.0
    """To an instance; longer: the next one is tried."""
    attempts: int = 4
    """How often one connection is tried on instances, first time included."""
    wait: float = 60.0
    """So long a connection waits for an instance when there is none, and one is on its way."""
    shun: float = 1.0
    """An instance that refused is asked last for this long."""
    half_gap: float = 600.0
    """A connection of which one side has said all, and on which nothing moves."""
    closing: float = 60.0
    """The last bytes of a connection that is over on one side."""
    linger: float = 2.0
    """Answers still come back for this long to a UDP client whose datagrams go to another instance now."""
    tick: float = 0.5
    """Time-outs are looked at this often; all may come so much late."""
    retry: float = 2.0
    """A port that could not be opened is tried again this often."""
    keep_alive: tuple[int, int, int] = (60, 20, 6)
    """Seconds of silence, seconds between probes, probes: then a peer is dead (tcp(7))."""


def streams_allowed(limits: StreamLimits) -> int:
    """`limits.connections`, or less when the process may not open that many files: each takes two, and three quarters
    are for HTTP."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limits.connections if soft == resource.RLIM_INFINITY else max(16, min(limits.connections, soft // 16))
