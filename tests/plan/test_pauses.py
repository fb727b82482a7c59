"""Nobody is turned away while somebody is on the way, and nobody is kept waiting for an instance that keeps failing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minipaas.model.change import ChangeKind, ChangeState
from minipaas.model.steps import SetRoutes, Step, StopInstance, SwitchRelease
from tests.plan.test_planner import shop, solo
from tests.plan.world import World


class Watched(World):
    """A world that looks at its routes after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.watching = False
        self.bare: list[str] = []
        """Steps after which a route led nowhere and held nothing."""

    def run(self, step: Step) -> None:
        super().run(step)
        if self.watching and not all(entry.backends or entry.held for entry in self.routes):
            self.bare.append(step.title)


def volume_world() -> Watched:
    world = Watched()
    world.deploy(solo("1.0", 1, volume=True))
    world.settle()
    world.watching = True
    return world


def deploy(world: World) -> None:
    world.deploy(solo("2.0", 2, volume=True))


def roll_back(world: World) -> None:
    world.deploy(solo("2.0", 2, volume=True))
    world.settle()
    world.deploy(solo("1.0", 1, volume=True), ChangeKind.ROLLBACK)


def fail(world: World) -> None:
    world.deploy(solo("2.0", 2, volume=True, behave="sick"))


def crash(world: World) -> None:
    world.crash("web")


@pytest.mark.parametrize(
    ("act", "end"),
    [
        (deploy, ChangeState.DONE),
        (roll_back, ChangeState.DONE),
        (World.restart, ChangeState.DONE),
        (fail, ChangeState.FAILED),
        (crash, None),
        (World.reboot, None),
    ],
    ids=["deploy", "rollback", "restart", "a release that fails", "crash", "reboot"],
)
def test_a_stop_first_service_always_answers_or_holds(act: Callable[[World], None], end: ChangeState | None) -> None:
    world = volume_world()
    act(world)
    world.settle()
    assert world.bare == []
    assert all(entry.backends and not entry.held for entry in world.routes)
    assert end is None or world.ended[-1].state is end


def test_the_pause_is_a_step_between_the_old_instance_and_its_stop() -> None:
    world = volume_world()
    mark = len(world.history)
    world.deploy(solo("2.0", 2, volume=True))
    world.settle()
    steps = world.history[mark:]
    titles = [step.title for step in steps]
    kinds = [type(step) for step in steps]
    assert titles.index("hold the requests of web") < kinds.index(StopInstance) < kinds.index(SwitchRelease)
    assert sum(isinstance(step, SetRoutes) for step in steps) == 1, "the switch itself ends it"


def test_requests_are_not_held_for_a_service_that_keeps_failing() -> None:
    world = volume_world()
    world.crash("web")
    seen: list[bool] = []
    for plan in world.rounds(limit=2000):
        world.do(plan)
        if any(one.running for one in world.instances.values()):
            world.crash("web")
        seen.append(world.routes[0].held)
        if len(seen) == 40:
            break
    assert seen[0], "the first crashes are soon over"
    assert not any(seen[-20:])


def test_nothing_is_held_where_no_instance_is_wanted() -> None:
    world = World()
    world.deploy(shop("1.0", 1))
    world.settle()
    world.scale("web", 0)
    world.settle()
    assert [(entry.backends, entry.held) for entry in world.routes] == [((), False)]


def test_a_minipaas_that_is_killed_in_the_pause_takes_it_up_or_ends_it() -> None:
    """The next process knows nothing of routes or waiting requests: after its first look nobody is turned away."""
    straight = volume_world()
    mark = len(straight.history)
    deploy(straight)
    straight.settle()
    for cut in range(1, len(straight.history) - mark):
        world = volume_world()
        deploy(world)
        left = cut
        for plan in world.rounds():
            world.do(plan, left if left > 0 else None)
            if 0 < left <= len(plan.steps):
                world.routes, world.proven, world.bare = (), set(), []
            left = left - len(plan.steps) if left > 0 else left
        assert world.bare == [], f"killed after step {cut}"
        assert all(entry.backends and not entry.held for entry in world.routes)
