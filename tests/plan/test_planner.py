"""Whole rollouts in a small world: what an operator would see, and that any interruption ends in the same place."""

from __future__ import annotations

import itertools

import pytest

from minipaas.model.change import ChangeKind, ChangeState
from minipaas.model.release import Release
from minipaas.model.steps import (
    Drain,
    RunHook,
    SetRoutes,
    StartInstance,
    StopInstance,
    SwitchRelease,
    WakeInstance,
)
from minipaas.plan.launches import launch_for
from tests.plan.world import World, release


def shop(version: str, sequence: int, *, web: str = "well", worker: str = "well", replicas: int = 2) -> Release:
    """A web service with routes, a worker that depends on a database with a volume."""
    return release(
        f"""
[app]
name = "shop"
version = "{version}"
[services.web]
image = "x"
port = 8080
replicas = {replicas}
routes = ["shop.local"]
depends_on = ["db"]
env = {{ BEHAVE = "{web}", VERSION = "{version}" }}
[services.web.hooks]
release = ["migrate"]
[services.worker]
image = "x"
depends_on = ["db"]
env = {{ BEHAVE = "{worker}", VERSION = "{version}" }}
[services.db]
image = "x"
port = 5432
volumes = {{ data = "/data" }}
""",
        sequence=sequence,
    )


def solo(version: str, sequence: int, *, behave: str = "well", volume: bool = False) -> Release:
    """One routed service, with a volume if asked."""
    return release(
        f"""
[app]
name = "solo"
version = "{version}"
[services.web]
image = "x"
port = 8080
routes = ["solo.local", "*/solo"]
env = {{ BEHAVE = "{behave}", VERSION = "{version}" }}
{'volumes = { data = "/data" }' if volume else ""}
""",
        sequence=sequence,
    )


def deployed(first: Release) -> World:
    """A world in which `first` is settled."""
    world = World()
    world.deploy(first)
    world.settle()
    assert world.ended[-1].state is ChangeState.DONE
    return world


def answering(world: World) -> set[str]:
    """Versions that the routes lead to."""
    by_id = {one.id: world.releases[one.release].version for one in world.instances.values() if one.running}
    return {by_id.get(backend.instance, "nobody") for entry in world.routes for backend in entry.backends}


def test_first_deploy_starts_dependencies_first_and_runs_the_hook_before_its_service() -> None:
    world = deployed(shop("1.0", 1))
    assert world.running() == ["db#1 1.0", "web#1 1.0", "web#2 1.0", "worker#1 1.0"]
    titles = world.titles()
    assert titles.index("start db #1") < titles.index("run the release hook of web") < titles.index("start web #1")
    assert titles.index("start web #2") < titles.index("switch to 1.0")
    assert answering(world) == {"1.0"}


def test_settled_means_no_steps_at_all() -> None:
    world = deployed(shop("1.0", 1))
    before = len(world.history)
    world.settle()
    plan = world.plan()
    assert plan is not None
    assert (plan.steps, plan.look_at, len(world.history)) == ((), None, before)


def test_next_release_replaces_what_changed_and_leaves_the_rest_running() -> None:
    world = deployed(shop("1.0", 1))
    db = next(one.id for one in world.instances.values() if one.service == "db")
    world.deploy(shop("2.0", 2))
    world.settle()
    assert world.running() == ["db#1 1.0", "web#1 2.0", "web#2 2.0", "worker#1 2.0"]
    assert world.instances[db].started == world.instances[db].created, "the database was never stopped"
    assert answering(world) == {"2.0"}


def test_old_instances_are_drained_only_after_the_switch() -> None:
    world = deployed(solo("1.0", 1))
    mark = len(world.history)
    world.deploy(solo("2.0", 2))
    world.settle()
    kinds = [type(step) for step in world.history[mark:]]
    assert kinds.index(SwitchRelease) < kinds.index(Drain) < kinds.index(StopInstance)


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        ("dies", "web #1 exited with code 1 (attempt 3) before the switch"),
        ("sick", "web #1 failed its health check (GET /: 503) before the switch"),
        ("slow", "web #1 was not ready within 10m"),
        ("mute", "no answer through the ingress"),
    ],
)
def test_a_release_that_does_not_come_up_leaves_the_old_one_serving(behave: str, reason: str) -> None:
    world = deployed(solo("1.0", 1))
    old = dict(world.instances)
    world.deploy(solo("2.0", 2, behave=behave))
    world.settle()
    ended = world.ended[-1]
    assert (ended.state, ended.reason) == (ChangeState.FAILED, reason)
    assert world.running() == ["web#1 1.0"]
    assert answering(world) == {"1.0"}
    assert {key: world.instances[key] for key in old} == old, "the old instance was not touched"
    if behave != "mute":
        assert world.scenes(), "the failed containers are kept for whoever wants to know why"


def test_a_first_release_that_fails_serves_nothing_and_keeps_its_scenes() -> None:
    world = World()
    world.deploy(solo("1.0", 1, behave="dies"))
    world.settle()
    assert world.ended[-1].state is ChangeState.FAILED
    assert (world.running(), world.routes, world.serving) == ([], (), None)
    assert len(world.scenes()) == 3


def test_a_failure_right_after_the_switch_rolls_back_to_instances_that_still_stand_by() -> None:
    world = deployed(solo("1.0", 1))
    old = next(one for one in world.instances.values())
    world.deploy(solo("2.0", 2))
    for plan in world.rounds():
        world.do(plan)
        if any(isinstance(step, SwitchRelease) for step in plan.steps):
            world.crash("web", version="2.0")
    assert world.ended[-1].state is ChangeState.ROLLED_BACK
    assert world.instances[old.id] == old
    assert answering(world) == {"1.0"}
    assert world.good is not None
    assert world.good.version == "1.0"


def test_a_failed_hook_stops_the_rollout_before_anything_of_its_service_starts() -> None:
    world = deployed(shop("1.0", 1))
    mark = len(world.history)
    world.broken_hooks = {"web"}
    world.deploy(shop("2.0", 2))
    world.settle()
    started = [step.launch.service for step in world.history[mark:] if isinstance(step, StartInstance)]
    assert "web" not in started
    assert world.ended[-1].state is ChangeState.FAILED
    assert answering(world) == {"1.0"}
    assert [step for step in world.history[mark:] if isinstance(step, RunHook)], "it was tried"


def test_a_hook_runs_once_per_release_also_over_many_rounds() -> None:
    world = deployed(shop("1.0", 1))
    world.deploy(shop("2.0", 2))
    world.settle()
    assert world.hooks == [(1, "web"), (2, "web")]


def test_a_service_with_a_volume_is_stopped_before_its_successor_starts() -> None:
    world = deployed(solo("1.0", 1, volume=True))
    mark = len(world.history)
    world.deploy(solo("2.0", 2, volume=True))
    world.settle()
    kinds = [type(step) for step in world.history[mark:]]
    assert kinds.index(SetRoutes) < kinds.index(Drain) < kinds.index(StopInstance) < kinds.index(StartInstance)
    assert world.running() == ["web#1 2.0"]


def test_a_pinned_service_that_fails_gets_its_old_container_back() -> None:
    world = deployed(solo("1.0", 1, volume=True))
    old = next(iter(world.instances))
    world.deploy(solo("2.0", 2, volume=True, behave="dies"))
    world.settle()
    assert world.ended[-1].state is ChangeState.FAILED
    assert world.running() == ["web#1 1.0"]
    assert world.instances[old].running, "the very container, woken"
    assert answering(world) == {"1.0"}


def test_an_instance_that_dies_is_replaced_and_its_scene_stays() -> None:
    world = deployed(shop("1.0", 1))
    world.crash("web", 2)
    world.settle()
    assert world.running() == ["db#1 1.0", "web#1 1.0", "web#2 1.0", "worker#1 1.0"]
    assert [one.slot for one in world.scenes()] == [2]
    assert all(len(entry.backends) == 2 for entry in world.routes)


def test_a_crash_loop_backs_off_and_keeps_a_bounded_number_of_scenes() -> None:
    world = deployed(solo("1.0", 1))
    world.crash("web")
    starts: list[float] = []
    for plan in world.rounds(limit=2000):
        if any(isinstance(step, StartInstance) for step in plan.steps):
            starts.append(world.now)
        world.do(plan)
        if any(one.running for one in world.instances.values()):
            world.crash("web")
        if len(starts) == 12:
            break
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert gaps[-1] == pytest.approx(60, abs=2)
    assert sorted(gaps) == pytest.approx(gaps, abs=1), "it waits longer and longer"
    assert len(world.scenes()) <= 5


def test_after_a_reboot_the_same_containers_are_woken() -> None:
    world = deployed(shop("1.0", 1))
    ids = set(world.instances)
    mark = len(world.history)
    world.reboot()
    world.settle()
    assert set(world.instances) == ids
    assert {type(step) for step in world.history[mark:]} == {WakeInstance, SetRoutes}
    assert answering(world) == {"1.0"}


def test_an_image_that_podman_lost_is_pulled_again_before_the_replacement_starts() -> None:
    world = deployed(solo("1.0", 1))
    world.images.clear()
    mark = len(world.history)
    world.crash("web")
    world.settle()
    kinds = [type(step).__name__ for step in world.history[mark:]]
    assert kinds.index("PullImage") < kinds.index("StartInstance")


def test_a_new_change_supersedes_a_stuck_one() -> None:
    world = deployed(solo("1.0", 1))
    world.deploy(solo("2.0", 2, behave="slow"))
    for plan in world.rounds():
        world.do(plan)
        if any(step.title == "start web #1" for step in plan.steps):
            break
    world.deploy(solo("3.0", 3))
    world.settle()
    assert [change.state for change in world.ended] == [ChangeState.DONE, ChangeState.SUPERSEDED, ChangeState.DONE]
    assert world.running() == ["web#1 3.0"]


def test_rollback_is_a_rollout_to_an_earlier_release() -> None:
    first = shop("1.0", 1)
    world = deployed(first)
    world.deploy(shop("2.0", 2))
    world.settle()
    world.deploy(first, kind=ChangeKind.ROLLBACK)
    world.settle()
    assert answering(world) == {"1.0"}
    assert world.running() == ["db#1 1.0", "web#1 1.0", "web#2 1.0", "worker#1 1.0"]


@pytest.mark.parametrize("purge", [False, True])
def test_remove_takes_everything_and_volumes_only_if_asked(purge: bool) -> None:
    world = deployed(shop("1.0", 1))
    world.crash("worker")
    world.settle()
    world.remove(purge=purge)
    world.settle()
    assert (world.instances, world.routes, world.networks) == ({}, (), set())
    assert bool(world.volumes) is not purge


def test_a_service_that_a_release_no_longer_has_goes_after_the_switch() -> None:
    world = deployed(shop("1.0", 1))
    smaller = release(
        '[app]\nname="shop"\nversion="2.0"\n[services.web]\nimage="x"\nport=80\nroutes=["shop.local"]', sequence=2
    )
    world.deploy(smaller)
    world.settle()
    assert world.running() == ["web#1 2.0"]


def test_scaling_down_takes_the_surplus_slots_away() -> None:
    world = deployed(shop("1.0", 1, replicas=3))
    world.deploy(shop("1.0", 2, replicas=1))
    world.settle()
    assert [word for word in world.running() if word.startswith("web")] == ["web#1 1.0"]
    assert "stop web #3 (fewer are wanted)" in world.titles()


SCENARIOS = {
    "upgrade": (lambda: deployed(shop("1.0", 1)), lambda world: world.deploy(shop("2.0", 2))),
    "pinned upgrade": (lambda: deployed(solo("1.0", 1, volume=True)), lambda w: w.deploy(solo("2.0", 2, volume=True))),
    "failing upgrade": (lambda: deployed(solo("1.0", 1)), lambda w: w.deploy(solo("2.0", 2, behave="dies"))),
    "pinned failing": (
        lambda: deployed(solo("1.0", 1, volume=True)),
        lambda w: w.deploy(solo("2.0", 2, volume=True, behave="sick")),
    ),
    "first": (World, lambda world: world.deploy(shop("1.0", 1))),
    "remove": (lambda: deployed(shop("1.0", 1)), lambda world: world.remove(purge=True)),
    "crash": (lambda: deployed(shop("1.0", 1)), lambda world: world.crash("db")),
}


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("power_cut", [False, True])
def test_interrupted_after_every_step_it_ends_in_the_same_place(name: str, power_cut: bool) -> None:
    """Stop after step 1, 2, 3 … (with a reboot if `power_cut`), plan anew: the end is the uninterrupted one's."""
    begin, act = SCENARIOS[name]
    straight = begin()
    mark = len(straight.history)
    act(straight)
    straight.settle()
    for cut in range(1, len(straight.history) - mark + 1):
        world = begin()
        act(world)
        left = cut
        for plan in world.rounds():
            world.do(plan, left if left > 0 else None)
            if 0 < left <= len(plan.steps) and power_cut:
                world.reboot()
            left = left - len(plan.steps) if left > 0 else left
        assert world.running() == straight.running(), f"cut after step {cut}"
        assert answering(world) == answering(straight), f"cut after step {cut}"
        assert [change.state for change in world.ended] == [change.state for change in straight.ended]
        assert (world.networks, world.volumes) == (straight.networks, straight.volumes)


def test_launches_hold_plain_numbers_so_that_they_can_cross_the_wire() -> None:
    text = '[app]\nname="a"\nversion="1"\n[services.web]\nimage="x"\nmemory="64MiB"\ncpus=0.5\nstop="5s"'
    launch = launch_for(release(text), "web")
    assert [type(value) for value in (launch.memory, launch.cpus, launch.stop)] == [int, float, float]
    assert (launch.memory, launch.cpus, launch.stop) == (64 * 1024**2, 0.5, 5.0)
