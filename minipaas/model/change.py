"""Changes: one request for a different desired state, from its start to how it ended."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from minipaas.model.release import Release, Tuning


class ChangeKind(StrEnum):
    """What was asked for."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    REMOVE = "remove"
    RESTART = "restart"
    """The serving release once more: new instances take over from the old ones."""
    SCALE = "scale"
    """The serving release with more or fewer instances of a service."""


RELEASES = frozenset({ChangeKind.DEPLOY, ChangeKind.ROLLBACK})
"""Changes that are about a release; the others are about how it is run."""


class ChangeState(StrEnum):
    """Where a change stands. Which state may follow which: `plan.lifecycle`."""

    ROLLING = "rolling"
    """The target's instances come up; the old release serves."""
    CONFIRMING = "confirming"
    """Routes are switched; the old instances still stand by."""
    REVERTING = "reverting"
    """The target failed; the last good release is being brought back to where it was."""
    REMOVING = "removing"
    DONE = "done"
    FAILED = "failed"
    """Never served; what served before still does."""
    ROLLED_BACK = "rolled_back"
    """Served, failed, and the last good release was proven to answer again."""
    SUPERSEDED = "superseded"

    @property
    def active(self) -> bool:
        """Whether there is something left to do for it."""
        return self in ACTIVE


ACTIVE = frozenset({ChangeState.ROLLING, ChangeState.CONFIRMING, ChangeState.REVERTING, ChangeState.REMOVING})


class Change(Struct, frozen=True, kw_only=True):
    """One row of the history of an app. Times are Unix seconds."""

    id: int
    app: str
    kind: ChangeKind
    state: ChangeState
    target: str | None
    """Digest of the release that was asked for; None for remove."""
    fallback: str | None
    """Digest of the last good release when it began."""
    actor: str
    """Who asked: `root via socket`, `token ci`, `signature <key id>`."""
    started: float
    deadline: float
    switched: float | None = None
    ended: float | None = None
    reason: str = ""
    """Why it failed or was rolled back, for people; may end with the last lines of a log."""
    hooks_done: tuple[str, ...] = ()
    """Services whose release hook has succeeded."""
    purge: bool = False
    """For remove: the volumes too."""
    tuning: dict[str, Tuning] = {}
    """How the operator wants the target run, by service."""


class AppDesired(Struct, frozen=True, kw_only=True):
    """What the registry wants of one app."""

    app: str
    serving: Release | None
    """What the routes were last switched to."""
    good: Release | None
    """The last release that was confirmed; the way back."""
    change: Change | None = None
    """The active one."""
    target: Release | None = None
    """`change.target`, resolved. Releases are as the operator wants them run (`release.tuned`)."""


class Desired(Struct, frozen=True, kw_only=True):
    """Everything this box should be."""

    apps: tuple[AppDesired, ...] = ()
