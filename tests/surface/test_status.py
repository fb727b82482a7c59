"""The words for how things are."""

from __future__ import annotations

import pytest

from minipaas.model.change import AppDesired, Change, ChangeKind, ChangeState
from minipaas.model.observed import HealthState, InstanceState, Note
from minipaas.model.spec import ServiceSpec
from minipaas.surface import status
from minipaas.surface.i18n import EN
from minipaas.surface.status import Condition
from minipaas.surface.wire import AppState, ServiceState
from tests.registry.made import release
from tests.surface.small import instance

WEB = ServiceSpec(image="x", port=80, replicas=2)
WORKER = ServiceSpec(image="x", replicas=1)
EXITED = InstanceState.EXITED


@pytest.mark.parametrize(
    ("values", "spec", "note", "word", "well"),
    [
        ({}, WEB, None, "healthy", True),
        ({"health": HealthState.STARTING}, WEB, None, "starting", None),
        ({"health": HealthState.UNKNOWN}, WEB, None, "starting", None),
        ({"health": HealthState.UNKNOWN}, WORKER, None, "running", True),
        ({"health": HealthState.UNHEALTHY}, WEB, None, "unhealthy", False),
        ({"state": InstanceState.CREATED}, WEB, None, "created", None),
        ({"state": InstanceState.STOPPING}, WEB, None, "stopping", None),
        ({"state": InstanceState.UNKNOWN}, WEB, None, "unknown", None),
        ({"state": EXITED, "exit_code": 0}, WEB, None, "exited", False),
        ({"state": EXITED, "exit_code": 1}, WEB, Note(boot="b1"), "exited", False),
        ({"state": EXITED, "exit_code": 137, "oom_killed": True}, WEB, Note(boot="b1"), "out of memory", False),
        ({"state": EXITED, "exit_code": 143}, WEB, Note(boot="b1", stopped="replaced"), "stopped", None),
        ({"state": EXITED, "exit_code": 137, "oom_killed": True}, WEB, Note(stopped="replaced"), "stopped", None),
        ({"state": EXITED, "exit_code": 255}, WEB, Note(boot="b0"), "stopped", None),
        ({}, None, None, "healthy", True),
    ],
)
def test_how_an_instance_is(
    values: dict[str, object], spec: ServiceSpec | None, note: Note | None, word: str, well: bool | None
) -> None:
    condition = status.condition(instance(**values), spec, note, "b1")
    assert (condition.word, condition.well) == (word, well)


def test_a_signal_is_told_as_one() -> None:
    condition = status.condition(instance(state=EXITED, exit_code=139), WEB, None, "b1")
    assert EN.say(condition.detail) == "exit code 139 (signal 11)"


HEALTHY, STARTING = Condition("healthy", True, ""), Condition("starting", None, "")
UNHEALTHY, DEAD = Condition("unhealthy", False, ""), Condition("exited", False, "")


@pytest.mark.parametrize(
    ("conditions", "attempts", "state", "healthy"),
    [
        ([HEALTHY, HEALTHY], 0, ServiceState.RUNNING, 2),
        ([HEALTHY, HEALTHY, DEAD, DEAD], 0, ServiceState.RUNNING, 2),
        ([HEALTHY, HEALTHY, STARTING], 0, ServiceState.RUNNING, 2),
        ([HEALTHY, STARTING], 0, ServiceState.STARTING, 1),
        ([HEALTHY, STARTING, DEAD], 2, ServiceState.DEGRADED, 1),
        ([HEALTHY, UNHEALTHY], 0, ServiceState.DEGRADED, 1),
        ([STARTING, DEAD], 3, ServiceState.DOWN, 0),
        ([UNHEALTHY, UNHEALTHY], 0, ServiceState.DOWN, 0),
        ([], 0, ServiceState.DOWN, 0),
    ],
)
def test_how_a_service_is(conditions: list[Condition], attempts: int, state: ServiceState, healthy: int) -> None:
    assert status.service_state(WEB, conditions, attempts) == (state, healthy)


def test_a_service_without_replicas_is_off() -> None:
    assert status.service_state(ServiceSpec(image="x", replicas=0), [DEAD], 0)[0] is ServiceState.OFF


def change(state: ChangeState, kind: ChangeKind = ChangeKind.DEPLOY) -> Change:
    return Change(
        id=1, app="shop", kind=kind, state=state, target="x", fallback=None, actor="me", started=1.0, deadline=2.0
    )


@pytest.mark.parametrize(
    ("serving", "active", "last", "services", "state", "sentence"),
    [
        (True, None, ChangeState.DONE, [2], AppState.RUNNING, "1.1 serves."),
        (True, None, ChangeState.FAILED, [2], AppState.RUNNING, "1.1 serves. The deploy of 1.2 failed."),
        (True, None, ChangeState.ROLLED_BACK, [2], AppState.RUNNING, "1.1 serves. The deploy of 1.2 was rolled back."),
        (True, None, ChangeState.DONE, [1], AppState.DEGRADED, "1.1 serves, with less than it should: web 1 of 2 up."),
        (True, None, ChangeState.DONE, [0], AppState.DOWN, "It does not answer as it should: web 0 of 2 up."),
        (True, ChangeState.ROLLING, None, [2], AppState.CHANGING, "Changing to 1.2; 1.1 serves."),
        (True, ChangeState.REVERTING, None, [2], AppState.CHANGING, "Reverting; was changing to 1.2; 1.1 serves."),
        (False, ChangeState.ROLLING, None, [], AppState.CHANGING, "Changing to 1.2."),
        (False, None, ChangeState.FAILED, [], AppState.FAILED, "It has never served: the deploy of 1.2 failed."),
        (True, ChangeState.REMOVING, None, [2], AppState.REMOVING, "Being removed."),
        (False, None, None, [], AppState.DOWN, "Nothing of it is deployed."),
    ],
)
def test_how_an_app_is(
    serving: bool,
    active: ChangeState | None,
    last: ChangeState | None,
    services: list[int],
    state: AppState,
    sentence: str,
) -> None:
    kind = ChangeKind.REMOVE if active is ChangeState.REMOVING else ChangeKind.DEPLOY
    under_way = change(active, kind) if active else None
    newest = under_way or (change(last) if last else None)
    made = release(1) if serving else None
    desired = AppDesired(app="shop", serving=made, good=made, change=under_way)
    states = {2: ServiceState.RUNNING, 1: ServiceState.DEGRADED, 0: ServiceState.DOWN}
    told = [status.ServiceFact("web", states[healthy], healthy, 2) for healthy in services]
    assert status.app_state(desired, newest, [one.state for one in told]) is state
    assert EN.say(status.app_sentence(desired, state, newest, "1.2", told)) == sentence


def app(name: str, state: AppState) -> status.AppFact:
    services = [status.ServiceFact("web", ServiceState.DEGRADED, 1, 2)]
    return status.AppFact(name, state, status.app_need(name, state, services, True, status.Past(), 0.0))


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ([], "No apps yet; this box is ready for the first."),
        ([AppState.RUNNING], "Everything runs."),
        ([AppState.RUNNING, AppState.DOWN], "1 app needs you: b is down."),
        ([AppState.DEGRADED, AppState.FAILED], "2 apps need you: a runs with 1 of 2, b has never served."),
        ([AppState.CHANGING, AppState.RUNNING], "a is being changed; the rest runs."),
        ([AppState.CHANGING], "a is being changed."),
        ([AppState.STARTING, AppState.STARTING], "a, b are starting."),
        ([AppState.DOWN] * 8, "8 apps need you: a is down, b is down, c is down and 5 more."),
    ],
)
def test_how_the_box_is(states: list[AppState], sentence: str) -> None:
    facts = [app("abcdefgh"[number], state) for number, state in enumerate(states)]
    assert EN.say(status.box_sentence(facts)) == sentence


def test_an_app_without_anything_deployed_needs_somebody() -> None:
    need = status.app_need("a", AppState.DOWN, [], False, status.Past(), 0.0)
    assert need is not None
    assert EN.say(need) == "a has nothing deployed"


@pytest.mark.parametrize(
    ("state", "past", "need"),
    [
        (AppState.DOWN, status.Past(since=0.0), "a is down since 1970-01-01"),
        (AppState.DEGRADED, status.Past(since=0.0), "a runs with 1 of 2 since 1970-01-01"),
        (AppState.DOWN, status.Past(0.0, 40.0, 0.0), "a restarts every 40 s since 1970-01-01"),
        (AppState.RUNNING, status.Past(10_000.0, 40.0, 0.0), "a restarts every 40 s since 1970-01-01"),
        (AppState.RUNNING, status.Past(9000.0, 40.0, 0.0), None),
        (AppState.RUNNING, status.Past(9900.0, 3.0, 0.0), "a restarts every 3 s since 1970-01-01"),
        (AppState.RUNNING, status.Past(10_000.0, None, 0.0), None),
        (AppState.CHANGING, status.Past(10_000.0, 40.0, 0.0), None),
    ],
)
def test_what_was_seen_before_is_told(state: AppState, past: status.Past, need: str | None) -> None:
    services = [status.ServiceFact("web", ServiceState.DEGRADED, 1, 2)]
    told = status.app_need("a", state, services, True, past, 10_010.0)
    assert (None if told is None else EN.say(told).rpartition(" ")[0]) == need
