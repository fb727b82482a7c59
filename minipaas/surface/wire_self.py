"""What the API says of minipaas itself, and takes for it."""

from __future__ import annotations

from msgspec import Struct

from minipaas.takeover.record import Kind, Return, State


class SelfStep(Struct, frozen=True, kw_only=True):
    """One step of a hand-over. `ended` and `ok` are null while it goes on."""

    title: str
    started: float
    ended: float | None
    ok: bool | None
    detail: str


class HandoverView(Struct, frozen=True, kw_only=True):
    """The last hand-over of this box from one process of minipaas to another."""

    id: int
    kind: Kind
    state: State
    actor: str
    from_version: str
    to_version: str
    began: float
    ended: float | None
    trial_until: float | None
    """While the new version is on trial: until when, if nothing happens."""
    steps: tuple[SelfStep, ...]
    reason: str
    last_lines: tuple[str, ...]
    """What the program that failed wrote last; only for those who may read logs."""


class SelfView(Struct, frozen=True, kw_only=True):
    """Which minipaas serves, where it lies, and what was done to it last."""

    version: str
    installed: str | None
    """Its directory's name in the layout of `minipaas install`; null: it does not lie there."""
    previous: str | None
    """The version that `rollback --self` goes to."""
    busy: str
    """Why no hand-over can begin now."""
    last: HandoverView | None
    returned: Return | None = None
    """The last hand-over that did not hold, as long as nobody has said that they know of it and none has held since."""


class BackRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Going back. `lose`: also when that loses what was accepted since the upgrade."""

    lose: bool = False
