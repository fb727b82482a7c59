"""Rollouts under adverse conditions: dependencies that knot, clocks that jump, releases that come again."""

from __future__ import annotations

from msgspec.structs import replace

from minipaas.model.change import ChangeState
from minipaas.model.observed import HealthState, InstanceState
from minipaas.model.release import Release
from minipaas.model.steps import ProveInstance, ProveRoutes, RunHook, StartInstance, StopInstance, SwitchRelease
from tests.plan.test_planner import answering, deployed, shop, solo
from tests.plan.world import World, release

DAY = 86400.0


def two_databases(version: str, sequence: int) -> Release:
    return release(
        f"""
[app]
name = "shop"
version = "{version}"
[services.a]
image = "x"
volumes = {{ a = "/a" }}
env = {{ VERSION = "{version}" }}
[services.b]
image = "x"
volumes = {{ b = "/b" }}
env = {{ VERSION = "{version}" }}
[services.for-a]
image = "x"
depends_on = ["a"]
env = {{ VERSION = "{version}" }}
[services.for-b]
image = "x"
depends_on = ["b"]
env = {{ VERSION = "{version}" }}
""",
        sequence=sequence,
    )


def test_two_pinned_services_with_dependents_do_not_wait_for_each_other() -> None:
    world = deployed(two_databases("1", 1))
    assert world.now < 1100, "and not only because the deadline came"
    world.deploy(two_databases("2", 2))
    world.settle()
    assert world.ended[-1].state is ChangeState.DONE
    assert world.running() == ["a#1 2", "b#1 2", "for-a#1 2", "for-b#1 2"]


def test_the_same_release_may_be_tried_again_and_starts_from_its_first_attempt() -> None:
    world = deployed(solo("1.0", 1))
    broken = solo("2.0", 2, behave="dies")
    for _ in range(3):
        mark = len(world.history)
        world.deploy(broken)
        world.settle()
        assert world.ended[-1].reason == "web #1 exited with code 1 (attempt 3) before the switch"
        attempts = [step.launch.attempt for step in world.history[mark:] if isinstance(step, StartInstance)]
        assert attempts == [0, 1, 2]
    assert len(world.scenes()) == 3


def test_a_clock_that_jumps_back_does_not_start_containers_without_end() -> None:
    world = deployed(solo("1.0", 1))
    world.now += 40 * 365 * DAY
    world.deploy(solo("2.0", 2, behave="dies"))
    for plan in world.rounds():
        world.do(plan)
        if any(isinstance(step, StartInstance) for step in plan.steps) and world.now > DAY:
            world.now -= 40 * 365 * DAY
    assert world.ended[-1].reason == "web #1 exited with code 1 (attempt 3) before the switch"
    assert sum(isinstance(step, StartInstance) for step in world.history) == 4


def test_an_app_that_scales_a_routed_service_to_nothing_can_be_deployed() -> None:
    text = '[app]\nname="shop"\nversion="1"\n[services.web]\nimage="x"\nport=80\nreplicas=0\nroutes=["shop.local"]'
    world = deployed(release(text))
    assert [len(entry.backends) for entry in world.routes] == [0], "the route says 503"


def test_an_instance_is_proven_on_a_path_that_its_route_has() -> None:
    text = '[app]\nname="shop"\nversion="1"\n[services.api]\nimage="x"\nport=80\nroutes=["*.shop.local/api"]'
    world = deployed(release(text))
    proof = next(step for step in world.history if isinstance(step, ProveInstance))
    assert (proof.host, proof.path) == ("www.shop.local", "/api")


def test_the_old_release_is_kept_alive_while_a_hook_of_the_new_one_runs() -> None:
    world = deployed(shop("1.0", 1))
    world.deploy(shop("2.0", 2))
    for plan in world.rounds():
        if any(isinstance(step, RunHook) for step in plan.slow):
            break
        world.do(plan)
    world.crash("web", 1, "1.0")
    during = world.plan()
    assert during is not None
    assert [len(entry.backends) for entry in during.quick[0].entries] == [1], "first it is taken out"
    assert "start web #1, attempt 2" in [step.title for step in during.quick]
    assert any(isinstance(step, RunHook) for step in during.slow)


def test_a_service_that_both_releases_have_is_replaced_while_the_rollout_waits_for_another() -> None:
    def text(version: str, behave: str) -> str:
        return f"""
[app]
name = "shop"
version = "{version}"
[services.web]
image = "x"
port = 80
routes = ["shop.local"]
depends_on = ["db"]
[services.db]
image = "x"
env = {{ VERSION = "{version}", BEHAVE = "{behave}" }}
"""

    world = deployed(release(text("1", "well")))
    world.deploy(release(text("2", "slow"), sequence=2))
    for _, plan in zip(range(4), world.rounds(), strict=False):
        world.do(plan)
    world.crash("web")
    for _, plan in zip(range(4), world.rounds(), strict=False):
        world.do(plan)
    assert "web#1 1" in world.running()
    assert all(entry.backends for entry in world.routes)


def test_what_waits_for_an_image_does_not_hold_up_what_does_not() -> None:
    world = deployed(shop("1.0", 1))
    worker = next(one for one in world.instances.values() if one.service == "worker")
    world.images.discard(world.launches[worker.id].image)
    world.crash("worker")
    world.crash("web", 1)
    plan = world.plan()
    assert plan is not None
    assert [step.title for step in plan.quick] == ["route 1 route to 1 backend", "start web #1, attempt 2"]
    assert [type(step).__name__ for step in plan.slow] == ["PullImage"]
    assert [step.title for step in plan.after] == ["start worker #1, attempt 2"]


def test_a_sick_instance_is_not_stopped_while_there_is_no_image_for_its_successor() -> None:
    world = deployed(solo("1.0", 1))
    key = next(iter(world.instances))
    world.instances[key] = replace(world.instances[key], health=HealthState.UNHEALTHY)
    world.images.clear()
    plan = world.plan()
    assert plan is not None
    assert not any(isinstance(step, StopInstance) for step in plan.steps)
    world.settle()
    assert len(world.running()) == 1
    assert answering(world) == {"1.0"}


def test_a_container_that_a_stop_has_left_half_way_is_stopped_again() -> None:
    world = deployed(solo("1.0", 1))
    key = next(iter(world.instances))
    world.instances[key] = replace(world.instances[key], state=InstanceState.STOPPING)
    world.settle()
    assert answering(world) == {"1.0"}


def test_containers_that_vanish_in_the_middle_are_made_anew() -> None:
    world = deployed(shop("1.0", 1))
    world.deploy(shop("2.0", 2))
    vanished = False
    for plan in world.rounds():
        world.do(plan)
        if not vanished and any(isinstance(step, SwitchRelease) for step in plan.steps):
            vanished = True
            for key in [key for key, one in world.instances.items() if one.service == "worker"]:
                del world.instances[key]
    assert world.ended[-1].state is ChangeState.DONE
    assert world.running() == ["db#1 1.0", "web#1 2.0", "web#2 2.0", "worker#1 2.0"]


def test_a_deploy_right_after_a_remove_takes_over() -> None:
    for rounds in range(1, 5):
        world = deployed(shop("1.0", 1))
        world.remove(purge=True)
        for _, plan in zip(range(rounds), world.rounds(), strict=False):
            world.do(plan, 2)
        world.deploy(shop("2.0", 2))
        world.settle()
        assert world.ended[-1].state is ChangeState.DONE
        assert answering(world) == {"2.0"}


def test_remove_in_the_middle_of_a_rollout_leaves_nothing() -> None:
    for rounds in range(1, 12):
        world = deployed(shop("1.0", 1))
        world.deploy(shop("2.0", 2))
        for _, plan in zip(range(rounds), world.rounds(), strict=False):
            world.do(plan)
        world.remove(purge=True)
        world.settle()
        assert (world.instances, world.routes, world.networks, world.volumes) == ({}, (), set(), set())


def test_a_first_release_that_confirms_at_once() -> None:
    text = '[app]\nname="a"\nversion="1"\n[rollout]\nconfirm="0s"\n[services.web]\nimage="x"\n'
    world = World()
    world.deploy(release(text))
    world.settle()
    assert world.ended[-1].state is ChangeState.DONE


def test_one_failed_health_check_is_forgiven_and_two_are_not() -> None:
    """The first may be the fault of whoever asked: Podman was away, and with it the forwarded port."""
    world = deployed(solo("1.0", 1))
    world.deploy(solo("2.0", 2))
    failures = 0
    for plan in world.rounds():
        world.do(plan)
        one = next(
            (i for i in world.instances.values() if i.running and world.releases[i.release].version == "2.0"), None
        )
        if one is not None and failures == 0:
            failures += 1
            world.instances[one.id] = replace(one, health=HealthState.UNHEALTHY, health_detail="GET /: refused")
    assert failures == 1
    assert world.ended[-1].state is ChangeState.DONE
    assert world.running() == ["web#1 2.0"]


def test_a_plan_says_which_probe_of_the_routes_confirms() -> None:
    world = deployed(solo("1.0", 1))
    probes = [step.title for step in world.history if isinstance(step, ProveRoutes)]
    assert probes == ["probe the routes through the ingress", "probe the routes through the ingress to confirm"]
