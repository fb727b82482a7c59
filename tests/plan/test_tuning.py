"""Restart and scale: the serving release run anew, through the same rollout as any other."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from minipaas.model.change import ChangeState
from minipaas.model.observed import InstanceState
from minipaas.model.release import Tuning, tuned
from minipaas.model.steps import PullImage, RunHook, StartInstance, SwitchRelease
from minipaas.plan.launches import fingerprints
from tests.plan.world import World, release

TOML = """[app]
name = "shop"
version = "1.0"
[services.web]
image = "x"
port = 80
replicas = 2
routes = ["shop.local"]
[services.web.hooks]
release = ["migrate"]
[services.db]
image = "x"
volumes = { data = "/data" }
"""


@pytest.fixture
def world() -> World:
    """A box on which shop 1.0 serves."""
    made = World()
    made.deploy(release(TOML))
    made.settle()
    made.history.clear()
    return made


def test_a_restart_replaces_every_instance_and_runs_no_hook(world: World) -> None:
    before = set(world.instances)
    world.restart()
    world.settle()
    assert world.ended[-1].state is ChangeState.DONE
    assert world.running() == ["db#1 1.0", "web#1 1.0", "web#2 1.0"]
    assert before.isdisjoint(world.instances)
    assert not any(isinstance(step, RunHook | PullImage) for step in world.history)


def test_new_ones_answer_before_old_ones_go_and_a_pinned_one_is_stopped_first(world: World) -> None:
    world.restart()
    world.settle()
    titles = world.titles()
    switch = titles.index("switch to 1.0")
    assert titles.index("start web #1") < titles.index("stop db #1 (replaced)") < titles.index("start db #1") < switch
    assert titles.index("probe web #2 through the ingress") < switch < titles.index("stop web #1 (replaced)")


def test_a_restart_of_one_service_leaves_the_others_alone(world: World) -> None:
    kept = {one.id for one in world.instances.values() if one.service == "db"}
    world.restart("web")
    world.settle()
    assert kept <= set(world.instances)
    assert {step.launch.service for step in world.history if isinstance(step, StartInstance)} == {"web"}


def test_a_restart_whose_instances_fail_leaves_the_old_ones_serving(world: World) -> None:
    before = {one.id for one in world.instances.values() if one.service == "web"}
    world.restart("web")
    for plan in world.rounds():
        world.do(plan)
        for one in list(world.instances.values()):
            if one.running and one.service == "web" and one.id not in before:
                world.instances[one.id] = replace(one, state=InstanceState.EXITED, exit_code=1, finished=world.now)
    assert world.ended[-1].state is ChangeState.FAILED
    assert world.serving is not None
    assert world.serving.tuning == {}
    assert {one.id for one in world.instances.values() if one.service == "web" and one.running} == before


@pytest.mark.parametrize("wanted", [0, 1, 3, 5])
def test_scaling_starts_or_ends_just_what_is_too_few_or_too_many(world: World, wanted: int) -> None:
    before = {one.slot: one.id for one in world.instances.values() if one.service == "web"}
    world.scale("web", wanted)
    world.settle()
    after = {one.slot: one.id for one in world.instances.values() if one.service == "web"}
    assert sorted(after) == list(range(1, wanted + 1))
    assert {slot: key for slot, key in after.items() if slot in before} == {
        slot: key for slot, key in before.items() if slot <= wanted
    }
    [entry] = world.routes
    assert len(entry.backends) == wanted
    assert len([step for step in world.history if isinstance(step, SwitchRelease)]) == 1


def test_a_scaling_that_fails_goes_back_to_as_many_as_before(world: World) -> None:
    world.scale("web", 3)
    for plan in world.rounds():
        world.do(plan)
        for one in list(world.instances.values()):
            if one.running and one.slot == 3:
                world.crash("web", 3)
    assert world.ended[-1].state is ChangeState.FAILED
    assert world.running() == ["db#1 1.0", "web#1 1.0", "web#2 1.0"]


def test_the_next_release_keeps_the_number_and_instances_that_are_the_same(world: World) -> None:
    world.scale("web", 4)
    world.settle()
    kept = {one.id for one in world.instances.values()}
    world.deploy(release(TOML.replace("1.0", "2.0"), sequence=2))
    world.settle()
    assert {one.id for one in world.instances.values()} == kept, "only the version is another"
    assert len(kept) == 5


def test_who_died_is_replaced_by_one_of_the_same_restart(world: World) -> None:
    world.restart("web")
    world.settle()
    world.crash("web", 2)
    world.settle()
    assert world.running() == ["db#1 1.0", "web#1 1.0", "web#2 1.0"]
    assert world.serving is not None
    prints = {one.fingerprint for one in world.instances.values() if one.service == "web"}
    assert prints == {fingerprints(world.serving)["web"]}


def test_one_release_run_in_two_ways_is_told_apart() -> None:
    plain = release(TOML)
    again = tuned(plain, {"web": Tuning(restarted=7)})
    assert fingerprints(plain)["db"] == fingerprints(again)["db"]
    assert fingerprints(plain)["web"] != fingerprints(again)["web"]
    assert fingerprints(tuned(plain, {"web": Tuning(replicas=5)})) == fingerprints(plain)
    assert replace(again, tuning={}) == plain


@pytest.mark.parametrize("ask", ["restart", "scale up", "scale down"])
@pytest.mark.parametrize("steps", range(1, 5))
def test_interrupted_after_any_step_and_asked_again_it_ends_the_same(world: World, ask: str, steps: int) -> None:
    """minipaas is killed after so many steps of each of many rounds; what it remembers is in the registry alone."""
    if ask == "restart":
        world.restart()
    else:
        world.scale("web", 4 if ask == "scale up" else 1)
    for number, plan in enumerate(world.rounds()):
        world.do(plan, steps if number < 30 else None)
    count = {"restart": 2, "scale up": 4, "scale down": 1}[ask]
    assert world.ended[-1].state is ChangeState.DONE
    assert world.running() == ["db#1 1.0", *(f"web#{slot} 1.0" for slot in range(1, count + 1))]
