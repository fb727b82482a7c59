"""What crosses the wire: every request and answer of the API as a typed struct, for server, client and OpenAPI alike.
Here what is said of apps, changes and lines; other nouns have a `wire_` module of their own.

What always holds: no struct of any of them has a field for environment values, tokens of others or private keys; times
are Unix seconds; digests are `sha256:<hex>`; lists come inside an object, so that an answer can grow.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from minipaas.model.change import ChangeKind, ChangeState
from minipaas.model.observed import HealthState, InstanceState

Digest = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]


class Role(StrEnum):
    """What a token may do; each includes the ones before it."""

    READ = "read"
    DEPLOY = "deploy"
    ADMIN = "admin"


class AppState(StrEnum):
    """How an app is, in one word; the most urgent first."""

    DOWN = "down"
    """Nothing of a service that should run answers."""
    DEGRADED = "degraded"
    """Less of it runs than should."""
    FAILED = "failed"
    """It never served: its first deploy failed."""
    STARTING = "starting"
    CHANGING = "changing"
    REMOVING = "removing"
    RUNNING = "running"


class ServiceState(StrEnum):
    """How a service of the serving release is."""

    DOWN = "down"
    DEGRADED = "degraded"
    STARTING = "starting"
    RUNNING = "running"
    OFF = "off"
    """It has no replicas."""


class Problem(Struct, frozen=True, kw_only=True):
    """Why something was not done. `kind` is the class of error, `code` the rule, `hint` the next thing to do."""

    kind: str
    code: str
    message: str
    hint: str = ""


class ProblemBody(Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success."""

    error: Problem


class InstanceView(Struct, frozen=True, kw_only=True):
    """One container, dead or alive."""

    id: str
    name: str
    slot: int
    release: str
    version: str | None
    """Of its release; None when this box no longer knows it."""
    state: InstanceState
    health: HealthState
    word: str
    """How it is, for people: `healthy`, `starting`, `out of memory`."""
    well: bool | None
    """True: does its work. False: needs a look. None: neither (starting, stopped on purpose)."""
    detail: str
    """The last probe's result, or how it ended."""
    attempt: int
    """Failures in a row before this start."""
    created: float
    started: float | None
    finished: float | None
    exit_code: int | None
    oom_killed: bool
    touched: str = ""
    """Who has been in it last, so that it may differ from its release; empty: nobody."""
    entered: str = ""
    """Who that was, and what is known of what they have changed, in a sentence."""


class RouteView(Struct, frozen=True, kw_only=True):
    """One route, and how many instances answer it now."""

    route: str
    """`HOST/PREFIX`, or `tcp PORT`, `udp PORT`."""
    service: str
    url: str
    """Empty where there is no one address."""
    backends: int
    trouble: str = ""
    """Why the box could not open the port; it tries again."""


class ServiceView(Struct, frozen=True, kw_only=True):
    """One service of an app."""

    name: str
    state: ServiceState
    replicas: int
    """How many should run."""
    released: int
    """How many the release asks for; another number than `replicas` was set by hand."""
    healthy: int
    """How many do."""
    image: str
    """The image's config digest."""
    port: int | None
    memory: int | None
    """Limit in bytes."""
    cpus: float | None
    volumes: tuple[str, ...]
    routes: tuple[RouteView, ...]
    instances: tuple[InstanceView, ...]
    """Also those that no longer run and are kept."""
    pinned: bool = False
    """It holds a volume or a published port, so it runs once and cannot be scaled."""


class ReleaseView(Struct, frozen=True, kw_only=True):
    """One release that this box has accepted."""

    digest: str
    app: str
    version: str
    epoch: int
    sequence: int
    issued: int
    valid_until: int | None
    signers: tuple[str, ...]
    size: int
    """Bytes of its distinct images, uncompressed."""
    serving: bool = False
    good: bool = False
    """The last one that was confirmed."""
    accepted: float | None = None
    outcome: str = ""
    retired: bool = False
    """Its images are no longer on this box."""


class ChangeView(Struct, frozen=True, kw_only=True):
    """One request for a different desired state, and how it stands."""

    id: int
    app: str
    kind: ChangeKind
    state: ChangeState
    active: bool
    target: str | None
    version: str | None
    """Of the target."""
    fallback: str | None
    fallback_version: str | None
    actor: str
    started: float
    deadline: float
    switched: float | None
    ended: float | None
    reason: str


class StepView(Struct, frozen=True, kw_only=True):
    """One step of a change, from the journal. Running while `ended` is None."""

    id: int
    kind: str
    title: str
    started: float
    ended: float | None
    ok: bool | None
    detail: str


class AppView(Struct, frozen=True, kw_only=True):
    """One app: what serves, how it is, what is being changed."""

    name: str
    description: str
    state: AppState
    sentence: str
    """How it is, in plain words."""
    needs_you: bool
    serving: ReleaseView | None
    good: ReleaseView | None
    change: ChangeView | None
    """The active one, else the last one."""
    services: tuple[ServiceView, ...]
    routes: tuple[RouteView, ...]


class Apps(Struct, frozen=True, kw_only=True):
    """All apps, the most urgent first."""

    well: bool
    sentence: str
    """Whether this box is well, in plain words."""
    apps: tuple[AppView, ...]


class Releases(Struct, frozen=True, kw_only=True):
    """Releases of an app, the newest first."""

    releases: tuple[ReleaseView, ...]


class Changes(Struct, frozen=True, kw_only=True):
    """Changes, the newest first."""

    changes: tuple[ChangeView, ...]


class ChangeDetail(Struct, frozen=True, kw_only=True):
    """A change with its journal."""

    change: ChangeView
    steps: tuple[StepView, ...]
    urls: tuple[str, ...]
    """Where the app answers."""


class Accepted(Struct, frozen=True, kw_only=True):
    """A change was begun. Follow `events`, or look at `page`; both are paths on this box."""

    change: int
    app: str
    version: str | None
    """Of the release that is to serve; None for a removal."""
    events: str
    page: str
    warnings: tuple[str, ...] = ()
    """What the verifier let pass and is not quite right."""


class Digests(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Blobs that a sender could send."""

    digests: Annotated[tuple[Digest, ...], Meta(max_length=800)]


class MissingDigests(Struct, frozen=True, kw_only=True):
    """Those of them that this box does not have."""

    missing: tuple[str, ...]


class RollbackRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go back to."""

    to: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """A version or a digest; the last confirmed release before the serving one when left out."""


class StepEvent(Struct, frozen=True, kw_only=True):
    """`data` of the server-sent event `step`: sent when a step begins, and again when it has ended."""

    state: Literal["started", "ended"]
    step: StepView


class EndEvent(Struct, frozen=True, kw_only=True):
    """`data` of the last server-sent event of a change, `end`."""

    outcome: ChangeState
    reason: str
    urls: tuple[str, ...]
    change: ChangeView


class NewsEvent(Struct, frozen=True, kw_only=True):
    """`data` of the server-sent event `news`: something that a reader could notice has changed."""

    version: int


class LogLine(Struct, frozen=True, kw_only=True):
    """One line that an instance wrote."""

    instance: str
    text: str
    """Bytes that are no UTF-8 are written `\\xff`."""
    id: str = ""
    """Names this line for ever, and begins with its time in nanoseconds."""
    time: float = 0.0
    service: str = ""
    stream: str = "stdout"
    """`stdout` or `stderr`; `minipaas`: a remark on lines that are missing here."""
    level: str | None = None
    """How bad it is, when the line says so."""
    release: str = ""
    version: str | None = None
    """Of the release; None when this box no longer knows it."""


class Logs(Struct, frozen=True, kw_only=True):
    """Lines of an app's instances in the order of time."""

    lines: tuple[LogLine, ...]
    more: bool = False
    """There may be older ones that fit."""
