"""One request on its way through a handler: who asks, what was asked, and the rooms that answer it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Struct

from minipaas.model.config import is_loopback
from minipaas.model.errors import Invalid, Missing
from minipaas.model.metrics import Summary, Window
from minipaas.model.release import Release
from minipaas.registry.registry import Registry
from minipaas.surface.access import Caller
from minipaas.surface.limits import Limits
from minipaas.surface.news import News
from minipaas.surface.ports import ControlPort
from minipaas.surface.refusals import Refusals
from minipaas.surface.sent import Remembered, Sent
from minipaas.surface.sessions import Sessions
from minipaas.surface.wrong_tries import WrongTries
from minipaas.takeover.own import Own

if TYPE_CHECKING:
    from markupsafe import Markup

    from minipaas.surface.survey import Survey
    from minipaas.surface.timeline import Axis

PATH_PATTERNS = {
    "app": r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?",
    "id": r"[0-9]{1,15}",
    "name": r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "held": r"[0-9a-f]{16}",
    "lease": r"[0-9a-f]{12}",
    "crash": r"[0-9a-f]{12}(-[0-9a-f]{6})?",
    "release": r"[A-Za-z0-9][A-Za-z0-9._+:-]{0,127}",
    "file": r"[a-zA-Z0-9._/-]{1,80}",
}
"""What a segment of a path may be, by its name in the table; anything else is a 404."""


ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""What to type for an address that stands for all."""


class Query(Struct, frozen=True, kw_only=True):
    """One query parameter. A value that does not fit, one given twice and an unknown one are errors."""

    name: str
    summary: str
    kind: type[str] | type[int] | type[bool] = str
    default: str | int | bool | None = None
    pattern: str = ""
    minimum: int = 0
    maximum: int = 0

    def parse(self, text: str) -> str | int | bool:
        """The value; raises Invalid."""
        if self.kind is bool and text in ("true", "false", "1", "0"):
            return text in ("true", "1")
        if self.kind is int and re.fullmatch(r"-?[0-9]{1,18}", text) and self.minimum <= int(text) <= self.maximum:
            return int(text)
        if self.kind is str and re.fullmatch(self.pattern, text):
            return text
        wanted = {bool: "true or false", int: f"a number from {self.minimum} to {self.maximum}"}.get(
            self.kind, f"like {self.pattern}"
        )
        raise Invalid(f"cannot read the query: {self.name}: {text[:80]!r} is not {wanted}", code="api.request")


class Context:
    """What lives as long as the surface: the rooms below, who waits for news, what releases are called."""

    def __init__(
        self,
        control: ControlPort,
        limits: Limits,
        news: News,
        listen: tuple[tuple[str, int], ...],
        hosts: frozenset[str],
        own: Own | None = None,
    ) -> None:
        self.control = control
        self.limits = limits
        self.news = news
        self.listen = listen
        """Where the API is bound on TCP."""
        self.hosts = hosts
        """Names and addresses under which this box may be asked on TCP, beside loopback."""
        self.own = own
        """What can be done to minipaas itself."""
        self.sessions = Sessions(limits)
        self.wrong_tries = WrongTries(limits)
        self.refusals = Refusals(control.registry, limits)
        self.surveys: Remembered[tuple[bool, str], tuple[int, Summary, Survey]] = Remembered(limits.surveys)
        """All apps at a glance, as last told to who sees logs or not, by this name of the box (`survey.survey`)."""
        self.sent = Sent(limits.pages)
        self.rows: Remembered[tuple[str, bool, str, str], tuple[object, Markup]] = Remembered(limits.rows_kept)
        """Rows of the overview as last rendered, with what they show."""
        self.axes: Remembered[tuple[str, Window, bool], tuple[object, Axis]] = Remembered(limits.axes)
        """Pasts of apps as last told, with the state of things that they tell (`timeline.axis`)."""
        self.streams = 0
        """Event streams open now."""
        self.sockets: dict[web.WebSocketResponse, bool] = {}
        """WebSockets open now, and whether they end by themselves when the surface closes."""
        self._names: dict[str, Release] = {}

    @property
    def registry(self) -> Registry:
        return self.control.registry

    @property
    def pages(self) -> tuple[str, ...]:
        """Addresses of the page that a person can open."""
        found = []
        for address, port in self.listen:
            host = ANYWHERE.get(address, address)
            scheme = "http" if is_loopback(address) else "https"
            found.append(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        return tuple(found)

    async def release(self, digest: str | None) -> Release | None:
        """A release by digest, remembered; None for None and for one that the registry no longer knows."""
        if digest is None:
            return None
        if digest not in self._names:
            try:
                found = await self.registry.release(digest)
            except Missing:
                return None
            if len(self._names) >= self.limits.names:
                del self._names[next(iter(self._names))]
            self._names[digest] = found
        return self._names[digest]

    async def version(self, digest: str | None) -> str | None:
        """What a release is called."""
        release = await self.release(digest)
        return release.version if release is not None else None


class Call:
    """A request that was let in: its caller, checked path, query and body."""

    def __init__(self, request: web.Request, context: Context, caller: Caller) -> None:
        self.request = request
        self.context = context
        self.caller = caller
        self.query: dict[str, Any] = {}
        self.body: Any = None

    @property
    def control(self) -> ControlPort:
        return self.context.control

    @property
    def registry(self) -> Registry:
        return self.context.control.registry

    @property
    def app(self) -> str:
        """`{app}` of the path."""
        return self.request.match_info["app"]

    @property
    def number(self) -> int:
        """`{id}` of the path."""
        return int(self.request.match_info["id"])

    @property
    def host(self) -> str:
        """The name under which the caller reaches this box, for links."""
        if self.caller.origin == "socket":
            return "localhost"
        return self.request.url.host or "localhost"


Handler: TypeAlias = Callable[[Call], Awaitable[object]]
"""Answers with a wire struct, or with a response of its own."""


def read_query(call: Call, known: tuple[Query, ...]) -> dict[str, Any]:
    """The query, every known key with its value or default. Raises Invalid."""
    values: dict[str, Any] = {query.name: query.default for query in known}
    given = call.request.query
    by_name = {query.name: query for query in known}
    for key in given:
        if key not in by_name:
            names = ", ".join(sorted(by_name)) or "none"
            raise Invalid(
                f"cannot read the query: there is no parameter {key[:80]!r}", hint=f"known: {names}", code="api.request"
            )
        if len(given.getall(key)) > 1:
            raise Invalid(f"cannot read the query: {key} is given twice", code="api.request")
        values[key] = by_name[key].parse(given[key])
    return values


def check_path(request: web.Request) -> None:
    """Raise Missing when a part of the path cannot be the name of anything."""
    for name, value in request.match_info.items():
        if not re.fullmatch(PATH_PATTERNS[name], value):
            raise Missing(f"cannot find {request.path[:200]}: {value[:80]!r} is no {name}", code="api.path")


def decode(data: bytes, kind: type) -> Any:
    """A JSON body. Raises Invalid with the path of what does not fit."""
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read the request: {error}", code="api.request") from None
