"""Volumes and host ports that move between services and releases: never two containers on one at once.

The world itself refuses (AssertionError) a start beside a holder; these tests lead it into every temptation.
"""

from __future__ import annotations

import pytest

from minipaas.model.change import ChangeState
from minipaas.model.release import Release
from minipaas.model.steps import StartInstance
from tests.plan.world import World, release


def app(version: str, sequence: int, **services: str) -> Release:
    """Services by name: what their tables say."""
    text = "\n".join(f'[services.{name}]\nimage = "x"\n{body}' for name, body in services.items())
    return release(f'[app]\nname = "shop"\nversion = "{version}"\n{text}', sequence=sequence)


DATA = 'port = 1\nvolumes = { data = "/data" }\nenv = { VERSION = "%s", BEHAVE = "%s" }'
PORT = 'ports = ["8500:80"]\nenv = { VERSION = "%s", BEHAVE = "%s" }'
PLAIN = 'port = 1\nenv = { VERSION = "%s", BEHAVE = "%s" }'

MOVES = {
    "volume to a service of another name": ({"db": DATA}, {"store": DATA}),
    "volume between services that both stay": ({"a": DATA, "b": PLAIN}, {"a": PLAIN, "b": DATA}),
    "port to a service of another name": ({"db": PORT}, {"store": PORT}),
    "port between services that both stay": ({"a": PORT, "b": PLAIN}, {"a": PLAIN, "b": PORT}),
    "service that was not pinned": ({"a": PLAIN}, {"a": DATA}),
    "service that is pinned no more": ({"a": DATA}, {"a": PLAIN}),
}


def made(kind: dict[str, str], version: str, sequence: int, behave: str = "well") -> Release:
    return app(version, sequence, **{name: body % (version, behave) for name, body in kind.items()})


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("behave", ["well", "dies", "sick", "slow"])
def test_what_a_pinned_service_holds_may_move(move: str, behave: str) -> None:
    old, new = MOVES[move]
    world = World()
    world.deploy(made(old, "1", 1))
    world.settle()
    world.deploy(made(new, "2", 2, behave))
    world.settle()
    came = behave == "well"
    assert world.ended[-1].state is (ChangeState.DONE if came else ChangeState.FAILED)
    version, names = ("2", new) if came else ("1", old)
    assert world.running() == [f"{name}#1 {version}" for name in sorted(names)]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("rounds", range(1, 9))
def test_a_superseded_change_leaves_nobody_on_a_volume(move: str, rounds: int) -> None:
    """1 serves, 2 is superseded after some rounds, 3 fails: the way back must not meet what 2 has left behind."""
    old, new = MOVES[move]
    world = World()
    world.deploy(made(old, "1", 1))
    world.settle()
    world.deploy(made(new, "2", 2))
    for _, plan in zip(range(rounds), world.rounds(), strict=False):
        world.do(plan)
    world.deploy(app("3", 3, other=DATA % ("3", "dies")))
    world.settle()
    assert world.ended[-1].state is ChangeState.FAILED
    assert world.good is not None
    assert {word.split()[1] for word in world.running()} == {world.good.version}


def test_changes_that_come_faster_than_they_end_do_not_pile_up() -> None:
    world = World()
    world.deploy(app("1", 1, web=PLAIN % ("1", "well")))
    world.settle()
    for number in range(2, 12):
        world.deploy(app(str(number), number, web=PLAIN % (number, "slow")))
        for _, plan in zip(range(4), world.rounds(), strict=False):
            world.do(plan)
        assert any(isinstance(step, StartInstance) for step in world.history[-8:])
    assert len(world.running()) <= 3, "the old one, the newest, and perhaps one that is about to go"


def test_the_way_back_of_a_pinned_service_is_kept_while_changes_come_and_go() -> None:
    world = World()
    world.deploy(app("1", 1, db=DATA % ("1", "well")))
    world.settle()
    first = next(iter(world.instances))
    for number in range(2, 8):
        world.deploy(app(str(number), number, db=DATA % (number, "slow")))
        for _, plan in zip(range(4), world.rounds(), strict=False):
            world.do(plan)
    world.deploy(app("9", 9, db=DATA % ("9", "dies")))
    world.settle()
    assert world.instances[first].running, "the very container, woken"


def test_a_pinned_service_is_not_stopped_before_its_successor_has_its_image() -> None:
    world = World()
    world.deploy(app("1", 1, db=DATA % ("1", "well")))
    world.settle()
    mark = len(world.history)
    world.images.clear()
    world.deploy(app("2", 2, db=DATA % ("2", "well")))
    world.settle()
    kinds = [type(step).__name__ for step in world.history[mark:]]
    assert kinds.index("PullImage") < kinds.index("StopInstance") < kinds.index("StartInstance")
