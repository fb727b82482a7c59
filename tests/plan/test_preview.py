"""A preview says what will run: step for step what the world, which knows nothing of it, then does."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from minipaas.model.outlook import Fate, Outlook
from minipaas.plan.preview import outlook
from tests.plan.world import World, release

SEEDS = 60


def a_release(dice: random.Random, number: int) -> str:
    """Two or three services that are well, one of them pinned perhaps."""
    text = [f'[app]\nname = "shop"\nversion = "{number}"']
    names = dice.sample(["web", "db", "job"], dice.choice([2, 3]))
    pinned = dice.choice([*names, "", ""])
    for place, name in enumerate(names):
        depends = f'depends_on = ["{names[place - 1]}"]' if place and dice.random() < 0.5 else ""
        hook = f'[services.{name}.hooks]\nrelease = ["x"]' if dice.random() < 0.3 else ""
        kind = dice.choice(['volumes = { data = "/data" }', 'ports = ["8500:80"]']) if name == pinned else ""
        replicas = "" if kind else f"replicas = {dice.choice([0, 1, 2, 3])}"
        routes = 'routes = ["shop.local"]' if name == "web" else ""
        text.append(
            f'[services.{name}]\nimage = "x"\nport = 80\nenv = {{ V = "{dice.choice([number, 0])}" }}\n'
            f"{kind}\n{depends}\n{replicas}\n{routes}\n{hook}"
        )
    return "\n".join(text)


def foreseen(world: World) -> Outlook:
    return outlook(world.desired().apps[0], world.observed(), world.now)


def really(world: World) -> list[tuple[str, bool]]:
    """What the world then does, as the lanes do it."""
    done: list[tuple[str, bool]] = []
    for plan in world.rounds():
        for step in plan.quick or plan.slow:
            done.append((step.title, plan.change is None))
            world.run(step)
    return done


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_shown_is_what_runs(seed: int) -> None:
    dice = random.Random(seed)
    world = World()
    for number in range(1, 6):
        ask = dice.randrange(5) if world.serving is not None else 0
        if ask == 0:
            world.deploy(release(a_release(dice, number), sequence=number))
        elif ask == 1:
            assert world.good is not None
            world.deploy(world.good)
        elif ask == 2:
            world.restart(dice.choice([None, *world.serving.spec.services]))  # type: ignore[union-attr]
        elif ask == 3:
            plain = world.releases[world.serving.digest].spec.services  # type: ignore[union-attr]
            able = [name for name, spec in plain.items() if not spec.pinned]
            world.scale(dice.choice(able), dice.choice([None, 0, 1, 2, 4]))
        else:
            world.remove(purge=dice.random() < 0.5)
        before = {key: one.running for key, one in world.instances.items()}
        shown = foreseen(world)
        assert {key: one.running for key, one in world.instances.items()} == before, "a preview does nothing"
        assert [(one.step.title, one.after) for one in shown.steps] == really(world)
        for service in shown.services:
            running = [one for one in world.instances.values() if one.running and one.service == service.name]
            assert len(running) == service.after
        if dice.random() < 0.3 and world.running():
            name, _, slot = world.running()[0].split()[0].partition("#")
            world.crash(name, int(slot))  # the next preview begins with somebody dead


TOML = """[app]
name = "shop"
version = "1.0"
[services.web]
image = "x"
port = 80
replicas = 2
routes = ["shop.local"]
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
    return made


def fates(shown: Outlook) -> dict[str, tuple[Fate, int, int, bool]]:
    return {one.name: (one.fate, one.before, one.after, one.pauses) for one in shown.services}


def test_the_first_deploy(world: World) -> None:
    fresh = World()
    fresh.deploy(release(TOML))
    shown = foreseen(fresh)
    assert fates(shown) == {"web": (Fate.NEW, 0, 2, False), "db": (Fate.NEW, 0, 1, False)}
    assert (shown.version, shown.serving) == ("1.0", None)


def test_a_service_that_must_be_stopped_first_pauses_and_says_why(world: World) -> None:
    world.restart()
    shown = foreseen(world)
    assert fates(shown) == {"web": (Fate.REPLACED, 2, 2, False), "db": (Fate.REPLACED, 1, 1, True)}
    [db] = [one for one in shown.services if one.name == "db"]
    assert db.why == "it holds a volume, so it is stopped before its successor starts"
    assert shown.back_within > shown.at_most
    assert db.hold == 0, "it has no routes whose requests could wait"


def test_requests_to_routes_wait_as_long_as_the_service_says() -> None:
    made = World()
    text = TOML.replace(
        "[services.db]\n", '[services.db]\nport = 80\nroutes = ["db.local"]\ningress = { hold = "5s" }\n'
    )
    made.deploy(release(text))
    made.settle()
    made.restart("db")
    assert {one.name: one.hold for one in foreseen(made).services} == {"web": 0, "db": 5}


def test_scaling_keeps_the_rest(world: World) -> None:
    world.scale("web", 4)
    assert fates(foreseen(world)) == {"web": (Fate.SCALED, 2, 4, False), "db": (Fate.KEPT, 1, 1, False)}
    world.scale("web", 0)
    assert fates(foreseen(world))["web"] == (Fate.SCALED, 2, 0, False)


@pytest.mark.parametrize("purge", [False, True])
def test_a_removal_says_what_becomes_of_volumes(world: World, purge: bool) -> None:
    world.remove(purge=purge)
    shown = foreseen(world)
    assert fates(shown) == {"web": (Fate.GONE, 2, 0, False), "db": (Fate.GONE, 1, 0, False)}
    volumes = ("minipaas-shop.data",)
    assert (shown.volumes_kept, shown.volumes_deleted) == (((), volumes) if purge else (volumes, ()))


def test_a_release_without_a_service(world: World) -> None:
    without = TOML[: TOML.index("[services.db]")].replace("1.0", "2.0")
    world.deploy(release(without, sequence=2))
    shown = foreseen(world)
    assert fates(shown) == {"web": (Fate.KEPT, 2, 2, False), "db": (Fate.GONE, 1, 0, False)}
    assert [one.step.title for one in shown.steps if one.after][-1] == "remove minipaas-shop-db-1-1"


def test_what_podman_is_busy_with_holds_no_preview_up(world: World) -> None:
    one = next(iter(world.instances.values()))
    world.instances[one.id] = replace(one, state="unknown")
    world.scale("web", 3)
    assert foreseen(world).steps
