"""The life of a change as a table: (state, event) -> state. A pair that is not in the table cannot happen, and raises.

    ROLLING ──switched──> CONFIRMING ──confirmed──> DONE
       │ broke                │ broke
       v                      v
    REVERTING (never switched) ──restored──> FAILED
    REVERTING (was switched)   ──restored──> ROLLED_BACK
    REMOVING ──removed──> DONE
    REMOVING ──stuck──> FAILED

`lost` ends a revert that ran out of time: the last good release does not answer either, and nobody claims it does.
`stuck` ends a removal that ran out of time: the app serves no more, and something of it is still there.
Any active state ──superseded──> SUPERSEDED; the registry does that when it takes in the next change.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec.structs import replace

from minipaas.model.change import Change, ChangeState

REVERT_PATIENCE = 120.0
"""Seconds that bringing the last good release back may take."""


class Event(StrEnum):
    """What happened, in the past tense."""

    SWITCHED = "switched"
    CONFIRMED = "confirmed"
    BROKE = "broke"
    RESTORED = "restored"
    LOST = "lost"
    REMOVED = "removed"
    STUCK = "stuck"


NEXT: dict[tuple[ChangeState, Event], ChangeState] = {
    (ChangeState.ROLLING, Event.SWITCHED): ChangeState.CONFIRMING,
    (ChangeState.ROLLING, Event.BROKE): ChangeState.REVERTING,
    (ChangeState.CONFIRMING, Event.CONFIRMED): ChangeState.DONE,
    (ChangeState.CONFIRMING, Event.BROKE): ChangeState.REVERTING,
    (ChangeState.REVERTING, Event.RESTORED): ChangeState.ROLLED_BACK,
    (ChangeState.REVERTING, Event.LOST): ChangeState.FAILED,
    (ChangeState.REMOVING, Event.REMOVED): ChangeState.DONE,
    (ChangeState.REMOVING, Event.STUCK): ChangeState.FAILED,
}


class IllegalTransition(AssertionError):
    """A bug in the planner or the executor: this event cannot happen in this state."""


def advance(change: Change, event: Event, now: float, reason: str = "") -> Change:
    """The change after `event`. Raises IllegalTransition, and then nothing has changed."""
    state = NEXT.get((change.state, event))
    if state is None:
        raise IllegalTransition(f"change {change.id}: {event} while {change.state}")
    if state is ChangeState.ROLLED_BACK and change.switched is None:
        state = ChangeState.FAILED
    return replace(
        change,
        state=state,
        reason="\n".join(part for part in (change.reason, reason) if part),
        switched=now if event is Event.SWITCHED else change.switched,
        deadline=now + REVERT_PATIENCE if event is Event.BROKE else change.deadline,
        ended=None if state.active else now,
    )
