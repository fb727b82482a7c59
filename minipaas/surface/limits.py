"""Every size, count and time limit of this room, in one place."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Times in seconds, sizes in bytes."""

    json_body: int = 64 * 1024
    """Largest request that is not a bundle."""
    body_wait: float = 30.0
    """A small request must have arrived by then."""
    read_buffer: int = 256 * 1024
    """Read ahead of an upload."""
    rows: int = 500
    """Most rows in one list."""
    log_lines: int = 2000
    streams: int = 64
    """Most event streams at once."""
    open_streams: int = 48
    """Beyond so many, only callers with a role get one: strangers must not keep an operator from following."""
    kept_streams: int = 8
    """The last of them are for administrators alone: no token for less can keep them from following."""
    heartbeat: float = 15.0
    """An event stream is never silent for longer; a WebSocket's other side is asked so often whether it is there."""
    right_again: float = 2.0
    """So often it is asked whether who is in an instance may still be there."""
    sockets: int = 192
    """Most WebSockets at once."""
    kept_sockets: int = 96
    """The last of them are for administrators alone."""
    drift: int = 2000
    """Most files that are told of as changed in an instance."""
    socket_message: int = 1024 * 1024
    """Largest message."""
    socket_begin: float = 10.0
    """The first message must have arrived by then."""
    socket_close: float = 3.0
    """The other side may take so long to say goodbye too."""
    news_gap: float = 0.5
    """Between two pieces of news on one stream."""
    glance: float = 1.0
    """How often somebody who waits for news has the last look at Podman compared."""
    write_wait: float = 30.0
    """A reader who takes nothing for so long is let go."""
    refusals_per_minute: int = 60
    """Refused requests that get an audit row; beyond that they are only logged."""
    sessions: int = 200
    """Signed-in browsers; of more, the one used longest ago is signed out."""
    session_idle: float = 2 * 3600.0
    """Without a click."""
    session_life: float = 12 * 3600.0
    links: int = 20
    """Links that sign in and wait to be used."""
    link_life: float = 120.0
    wrong_free: int = 3
    """Wrong tokens and links a minute that are answered at once."""
    wrong_first: float = 0.25
    """The answer to the next one waits so long; to each after it twice as long."""
    wrong_longest: float = 4.0
    wrong_waiting: int = 16
    """So many wait for that answer at most."""
    shutdown: float = 5.0
    """Requests under way when the surface closes."""
    names: int = 4096
    """Releases whose version is remembered."""
    surveys: int = 8
    """Kinds of callers for whom all apps at a glance are remembered."""
    marks: int = 60
    """Most marks in one lane of a timeline."""
    log_gaps: int = 200
    """Gaps in a log that a timeline looks for."""
    axes: int = 64
    """Timelines that are kept until something happens."""
    axis_age: float = 60.0
    """A timeline is never older than this."""
    rows_kept: int = 2048
    """Rows of the overview that are kept as they were rendered."""
    pages: int = 64
    """Open pages of which is remembered what they show, so that news bring them only what differs."""
    packages: int = 1000
    """Most packages listed in one comparison."""
    blob_chunk: int = 1024 * 1024
    """One read and one write of the distribution endpoint."""
    blob_wait: float = 600.0
    """Podman may take so long for one piece, on a slow disk."""
    blob_threads: int = 4
    manifest: int = 4 * 1024 * 1024
    """Largest manifest that is served (OCI distribution: registries should take 4 MiB)."""


LIMITS = Limits()
