"""What a look at the world means for the history of each app."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from minipaas.model.change import AppDesired, Change, ChangeKind, ChangeState, Desired
from minipaas.model.metrics import AppSummary, Seen
from minipaas.model.observed import HealthState, Instance, InstanceState, Observed
from minipaas.surface.watch import Watch
from minipaas.telemetry.telemetry import Telemetry
from tests.registry.made import release
from tests.surface.small import instance

SERVING = AppDesired(app="shop", serving=release(1), good=release(1))
CHANGE = Change(
    id=1,
    app="shop",
    kind=ChangeKind.DEPLOY,
    state=ChangeState.ROLLING,
    target="sha256:" + "0" * 64,
    fallback=None,
    actor="test",
    started=1.0,
    deadline=99.0,
)
WELL = instance()
SICK = instance(health=HealthState.UNHEALTHY)
DEAD = instance(state=InstanceState.EXITED, health=HealthState.UNKNOWN, exit_code=1)


@pytest.fixture
def telemetry(tmp_path) -> Telemetry:  # type: ignore[no-untyped-def]
    return Telemetry(tmp_path, lambda: 1_800_000_000.0)


def look(watch: Watch, desired: AppDesired, *instances: Instance) -> None:
    watch(Desired(apps=(desired,)), Observed(boot="boot-1", instances=instances))


def shop(telemetry: Telemetry) -> AppSummary:
    (found,) = telemetry.summary().apps
    return found


@pytest.mark.parametrize(
    ("desired", "instances", "seen"),
    [
        (SERVING, (WELL,), Seen.RUNNING),
        (SERVING, (SICK,), Seen.DOWN),
        (SERVING, (DEAD,), Seen.DOWN),
        (SERVING, (), Seen.DOWN),
        (replace(SERVING, change=CHANGE), (WELL,), Seen.CHANGING),
        (AppDesired(app="shop", serving=None, good=None, change=CHANGE), (), Seen.CHANGING),
        (AppDesired(app="shop", serving=None, good=None), (), Seen.FAILED),
    ],
)
def test_states(telemetry: Telemetry, desired: AppDesired, instances: tuple[Instance, ...], seen: Seen) -> None:
    look(Watch(telemetry), desired, *instances)
    assert shop(telemetry).state is seen
    assert shop(telemetry).history[-1] is seen


def test_each_start_after_a_failure_counts_once(telemetry: Telemetry) -> None:
    watch = Watch(telemetry)
    again = instance(generation=2, attempt=1, started=1_799_999_990.0)
    third = instance(generation=3, attempt=2, started=1_799_999_995.0)
    look(watch, SERVING, WELL)
    look(watch, SERVING, DEAD)
    look(watch, SERVING, DEAD, again)
    look(watch, SERVING, DEAD, again)
    assert shop(telemetry).restarts == 1
    look(watch, SERVING, DEAD, third)
    assert shop(telemetry).restarts == 2
    assert telemetry.totals["shop", "web", 1].restarts == 2


def test_starts_that_a_deploy_asked_for_are_no_restarts(telemetry: Telemetry) -> None:
    watch = Watch(telemetry)
    look(watch, SERVING, WELL)
    look(watch, SERVING, instance(generation=2, started=1_799_999_990.0))
    assert shop(telemetry).restarts == 0


def test_those_that_were_there_at_the_start_of_minipaas_are_no_news(telemetry: Telemetry) -> None:
    look(Watch(telemetry), SERVING, instance(attempt=3, started=1_799_999_990.0))
    assert shop(telemetry).restarts == 0


def test_an_app_that_is_gone_is_forgotten(telemetry: Telemetry) -> None:
    watch = Watch(telemetry)
    look(watch, SERVING, WELL)
    watch(Desired(apps=()), Observed(boot="boot-1"))
    assert telemetry.summary().apps == ()
