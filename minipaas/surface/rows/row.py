"""One row of the API's table, and the parameters that several rows take."""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from minipaas.surface.access import Access
from minipaas.surface.call import Handler, Query
from minipaas.surface.limits import LIMITS

V1 = "/api/v1"


class Row(Struct, frozen=True, kw_only=True):
    """One endpoint. `response`: a wire struct, or the media type of what is not JSON."""

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    response: type[Struct] | str
    status: int = 200
    others: tuple[tuple[int, type[Struct]], ...] = ()
    """Other answers than `response` that are successes, by status."""
    query: tuple[Query, ...] = ()
    request: type | None = None
    """A wire struct; `bytes` for a body that is taken as it is."""
    form: type[Struct] | None = None
    """The fields of a browser's form; it must bring the secret of its page (`access.check_csrf`)."""
    streams_in: bool = False
    """The handler itself reads the body."""
    hears: type[Struct] | None = None
    """What the first message of a WebSocket says, for a row whose status is 101 (RFC 6455)."""
    says: tuple[type[Struct], ...] = ()
    """The messages that the box sends on it."""
    errors: tuple[int, ...] = ()
    """Beside those that every row may answer with."""

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names in braces."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def body_required(self) -> bool:
        """Whether an empty body is an error."""
        return self.request is bytes or (
            self.request is not None and any(field.required for field in msgspec.structs.fields(self.request))
        )

    @property
    def websocket(self) -> bool:
        """Whether the answer is a WebSocket."""
        return self.status == 101

    @property
    def api(self) -> bool:
        """Whether it is part of the versioned API, not of the page."""
        return self.path.startswith(V1) or self.path in ("/healthz", "/metrics")

    def __post_init__(self) -> None:
        if not isinstance(self.access, Access):
            raise TypeError(f"{self.method} {self.path}: access is missing")
        if self.method != "GET" and (self.access is Access.OPEN or (self.access is Access.DOOR and not self.form)):
            raise TypeError(f"{self.method} {self.path}: what changes something is not open")
        if not self.summary.endswith("."):
            raise TypeError(f"{self.method} {self.path}: the summary is missing")


def limit(default: int, maximum: int = LIMITS.rows) -> Query:
    """How many rows of a list."""
    return Query(name="limit", summary="How many at most.", kind=int, default=default, minimum=1, maximum=maximum)


RANGE = Query(
    name="range",
    summary="How far back: 1h in steps of 10 s, 24h of 1 min, 30d of 15 min.",
    pattern="1h|24h|30d",
    default="1h",
)
NAME = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
