"""Storms: deploys, removals, crashes, reboots, kills of minipaas and lost images at random moments. The world refuses
what must never happen (two on one volume, a start without its image, a drain of who is routed to …); when the storm is
over, everything comes to rest where it should be. Seeds that fail are cases to keep."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from minipaas.model.change import ChangeKind, ChangeState
from minipaas.model.observed import HealthState, Hook, InstanceState
from minipaas.model.release import Release
from minipaas.model.steps import RevertChange, SetRoutes
from minipaas.plan.planner import AppPlan
from tests.plan.world import Broken, World, release

SEEDS = 100
PINNED = ("", 'volumes = { data = "/data" }', 'ports = ["8500:80"]', "tcp = { listen = 8500, port = 80 }")
"""The last two want the same port of the box, one through a container and one through the ingress."""


def random_release(dice: random.Random, number: int) -> Release:
    """Two or three services that depend on one another, one of them pinned perhaps; most releases are well."""
    names = dice.sample(["web", "db", "job"], dice.choice([2, 3]))
    either = dice.choice([PINNED[:-1], (*PINNED[:-2], PINNED[-1])])
    pinned = dict(zip(dice.sample(names, 2), dice.sample(either, 2), strict=True))
    text = [f'[app]\nname = "shop"\nversion = "{number}"']
    for place, name in enumerate(names):
        behave = dice.choice(["well"] * 9 + ["dies", "sick", "slow", "mute"])
        depends = f'depends_on = ["{names[place - 1]}"]' if place and dice.random() < 0.5 else ""
        hook = f'[services.{name}.hooks]\nrelease = ["x"]' if dice.random() < 0.2 else ""
        replicas = "" if pinned.get(name) else f"replicas = {dice.choice([0, 1, 1, 2])}"
        routes = 'routes = ["shop.local"]' if name == "web" else ""
        own = dice.choice([number, 0])
        text.append(
            f'[services.{name}]\nimage = "x"\nport = 80\nenv = {{ V = "{own}", BEHAVE = "{behave}" }}\n'
            f"{pinned.get(name, '')}\n{depends}\n{replicas}\n{routes}\n{hook}"
        )
    return release("\n".join(text), sequence=number)


def one_event(dice: random.Random, world: World, number: int) -> None:
    running = sorted((one for one in world.instances.values() if one.running), key=lambda one: one.id)
    match dice.randrange(18):
        case 0 | 1 | 2:
            world.deploy(random_release(dice, number))
        case 3 if world.good is not None:
            world.deploy(world.good)
        case 4 if world.app and dice.random() < 0.3:
            world.remove(purge=dice.random() < 0.5)
        case 5 | 6 | 7 if running:
            one = dice.choice(running)
            world.crash(one.service, one.slot, world.releases[one.release].version)
        case 8 if dice.random() < 0.3:
            world.reboot()
        case 9 if world.images:
            world.images.discard(dice.choice(sorted(world.images)))
        case 10 if world.instances:
            one = dice.choice(sorted(world.instances.values(), key=lambda one: one.id))
            if not one.running:
                del world.instances[one.id]
        case 11 if running:
            one = dice.choice(running)
            world.instances[one.id] = replace(one, state=InstanceState.STOPPING, health=HealthState.UNKNOWN)
        case 12 if running:
            one = dice.choice(running)
            world.instances[one.id] = replace(one, health=HealthState.UNHEALTHY, health_detail="GET /: 500")
        case 13 if world.app:
            name = f"hook-{number}"
            world.hook_containers[name] = Hook(id=name, name=name, app=world.app, service="web", change=number - 3)
        case 14 if world.serving is not None and _may_be_run_anew(world):
            world.restart(dice.choice([None, *world.serving.spec.services]))
        case 15 | 16 if world.serving is not None and _may_be_run_anew(world):
            plain = world.releases[world.serving.digest].spec.services
            if able := [name for name, spec in plain.items() if not spec.pinned]:
                world.scale(dice.choice(able), dice.choice([None, 0, 1, 2, 3]))
        case 17:
            world.now += dice.choice([1.0, 30.0, 700.0])


def _may_be_run_anew(world: World) -> bool:
    """The registry refuses it while a release is on its way."""
    return world.change is None or world.change.kind in (ChangeKind.RESTART, ChangeKind.SCALE)


def part_of(dice: random.Random, world: World, plan: AppPlan) -> None:
    """Do some of a plan, as lanes that are cancelled or killed do: quick steps, or slow ones when none are quick."""
    steps = plan.quick or plan.slow or plan.after
    if plan.slow and not any(isinstance(step, SetRoutes) for step in plan.quick) and dice.random() < 0.3:
        steps = plan.slow  # the quick lane rests
    for step in steps[: dice.choice([1, 2, len(steps), len(steps), len(steps)])]:
        try:
            world.run(step)
        except Broken as error:
            if world.change is not None and world.change.state in (ChangeState.ROLLING, ChangeState.CONFIRMING):
                world.run(RevertChange(app=world.app, change=world.change.id, reason=str(error)))
            return


@pytest.mark.parametrize("seed", range(SEEDS))
def test_after_a_storm_everything_is_where_it_should_be(seed: int) -> None:
    dice = random.Random(seed)
    world = World()
    world.deploy(random_release(dice, 1))
    for number in range(2, 40):
        for _ in range(dice.randrange(8)):
            plan = world.plan()
            if plan is not None:
                part_of(dice, world, plan)
            world.tick()
        one_event(dice, world, number)
    for plan in world.rounds(3000):
        part_of(random.Random(0), world, plan)
        if world.change is None and world.serving is not None and _behaves_badly(world):
            return  # it was confirmed before it showed; now it is tried for ever, as it should be
    assert world.change is None
    expected = sorted(
        f"{name}#{slot}"
        for name, spec in (world.serving.spec.services.items() if world.serving else ())
        for slot in range(1, spec.replicas + 1)
    )
    assert [word.split()[0] for word in world.running()] == expected
    for entry in (*world.routes, *world.streams):
        assert len(entry.backends) == world.serving.spec.services[entry.service].replicas if world.serving else False
    assert world.published.isdisjoint(entry.stream for entry in world.streams)
    assert not world.hook_containers
    assert len(world.instances) <= len(expected) + 3 * 3, "scenes within their quota"


def _behaves_badly(world: World) -> bool:
    assert world.serving is not None
    return any(spec.env["BEHAVE"] in ("dies", "sick", "slow") for spec in world.serving.spec.services.values())
