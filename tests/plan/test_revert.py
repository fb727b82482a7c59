"""The way back when it is hard: it ends in time, and claims nothing that is not so."""

from __future__ import annotations

from minipaas.model.change import ChangeState
from minipaas.model.steps import FinishChange, ProveRoutes, RevertChange
from tests.plan.test_planner import deployed, shop, solo
from tests.plan.world import World, release


def reverting(world: World) -> None:
    assert world.change is not None
    world.run(RevertChange(app=world.app, change=world.change.id, reason="no good"))


def test_a_good_release_that_cannot_be_proven_is_not_claimed_and_ends_in_time() -> None:
    """Every proof fails, as when the ingress is broken: the change must not stay for ever."""
    world = deployed(solo("1.0", 1))
    world.deploy(solo("2.0", 2))
    reverting(world)
    for plan in world.rounds():
        for step in plan.steps:
            if isinstance(step, ProveRoutes):
                world.now += 15
                break
            world.run(step)
    assert world.ended[-1].state is ChangeState.FAILED
    assert "does not answer either" in world.ended[-1].reason


def test_a_good_release_that_dies_too_is_tried_until_the_deadline_and_then_kept_trying() -> None:
    world = deployed(solo("1.0", 1))
    world.deploy(solo("2.0", 2))
    reverting(world)
    for _, plan in zip(range(2000), world.rounds(2000), strict=False):
        world.do(plan)
        if world.change is None:
            break
        if any(word.endswith("1.0") for word in world.running()):
            world.crash("web", version="1.0")
    assert (world.ended[-1].state, world.serving) == (ChangeState.FAILED, world.good)
    assert len(world.instances) < 15, "its attempts are spaced"
    world.settle()
    assert world.running() == ["web#1 1.0"]


def test_a_first_release_whose_remains_cannot_be_stopped_still_ends() -> None:
    world = World()
    world.deploy(solo("1.0", 1, behave="slow"))
    for _, plan in zip(range(1), world.rounds(), strict=False):
        world.do(plan)
    reverting(world)
    assert world.change is not None
    world.now = world.change.deadline
    plan = world.plan()
    assert plan is not None
    assert isinstance(plan.quick[-1], FinishChange)


def test_a_removal_that_is_stuck_ends_and_says_what_is_left() -> None:
    world = deployed(shop("1.0", 1))
    world.remove(purge=True)
    assert world.change is not None
    world.now = world.change.deadline
    plan = world.plan()
    assert plan is not None
    world.do(plan)
    ended = world.ended[-1]
    assert ended.state is ChangeState.FAILED
    assert "remove the network of shop" in ended.reason
    assert world.routes == ()


def test_hooks_of_changes_that_have_ended_are_taken_away() -> None:
    from minipaas.model.observed import Hook

    world = deployed(shop("1.0", 1))
    old = Hook(id="h1", name="minipaas-shop-hook-web-c1", app="shop", service="web", change=1)
    world.hook_containers = {"h1": old}
    world.settle()
    assert not world.hook_containers
    world.hook_containers = {"h1": old}
    world.remove(purge=True)
    world.settle()
    assert (world.hook_containers, world.networks) == ({}, set())


def test_a_hook_of_the_rollout_under_way_is_left_alone() -> None:
    from minipaas.model.observed import Hook

    world = deployed(shop("1.0", 1))
    world.deploy(shop("2.0", 2))
    assert world.change is not None
    world.hook_containers = {
        "h": Hook(id="h", name="minipaas-shop-hook-web-c2", app="shop", service="web", change=world.change.id)
    }
    plan = world.plan()
    assert plan is not None
    assert not any(step.title.startswith("remove minipaas-shop-hook") for step in plan.steps)


def test_a_revert_to_a_release_with_nothing_routed() -> None:
    text = '[app]\nname="a"\nversion="%s"\n[services.web]\nimage="x"\nenv={V="%s", BEHAVE="%s"}\n'
    world = deployed(release(text % ("1", "1", "well")))
    world.deploy(release(text % ("2", "2", "dies"), sequence=2))
    world.settle()
    assert world.ended[-1].state is ChangeState.FAILED
    assert world.running() == ["web#1 1"]
