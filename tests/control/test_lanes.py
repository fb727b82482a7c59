"""Lanes on a whole box: what is slow, fails or is superseded in one place holds up nothing elsewhere."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from minipaas.model.change import ChangeState
from tests.boxes import RunningBox, toml
from tests.fakepodman.behaviour import Behaviour

TWO = """
[services.aux]
image = "x"
stop = "1s"
env = { V = "%s" }
"""
HOOK = '\n[services.web.hooks]\nrelease = ["migrate"]\n'


async def by_hand(box: RunningBox, method: str, path: str) -> None:
    """What an operator does with podman, past the box."""
    connector = aiohttp.UnixConnector(box.fake.socket)
    url = f"http://podman/v4.0.0/libpod/{path}"
    async with aiohttp.ClientSession(connector=connector) as session, session.request(method, url) as answer:
        assert answer.status < 400, await answer.text()


async def answers(box: RunningBox) -> bool:
    return (await box.get())[0] == 200


async def quiet(box: RunningBox) -> None:
    """Until the box does not look at Podman again and again any more."""

    def looks() -> int:
        return box.fake.calls["GET containers/json"]

    async def rests() -> bool:
        before = looks()
        await asyncio.sleep(1.5)
        return looks() - before <= 1

    await box.until(rests)


async def test_a_failure_that_somebody_else_has_mended_is_forgotten(started: RunningBox) -> None:
    """The lane's rest must not make the box look without end."""
    await started.deploy(toml())
    started.fake.refuse("POST containers/create", times=1)
    started.fake.crash("minipaas-shop-web-1-1")
    await started.until(lambda: not started.fake.refusals[-1].times)
    await by_hand(started, "POST", "containers/minipaas-shop-web-1-1/start")
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-1"])
    await quiet(started)


async def test_one_service_that_cannot_start_does_not_keep_another_down(started: RunningBox) -> None:
    await started.deploy(toml(extra=TWO % 1), services=("web", "aux"))
    started.fake.behave(Behaviour(fails_to_start="no such device"), service="aux")
    started.fake.delay("POST containers/minipaas|POST containers/.*/start", 0.2, times=1)
    started.fake.crash("minipaas-shop-aux-1-1")
    started.fake.crash("minipaas-shop-web-1-1")
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-2"])


@pytest.mark.parametrize("slow", ["hook", "pull"])
async def test_the_old_release_is_kept_alive_during_a_long_step_of_the_new_one(started: RunningBox, slow: str) -> None:
    await started.deploy(toml())
    if slow == "hook":
        started.fake.behave(Behaviour(exit_code=0, lifetime=600.0), kind="hook")
    else:
        started.fake.delay("POST images/pull", 600.0)
    change = await started.send(toml(version="2.0", extra=HOOK), version="2.0")
    call = "POST containers/{name}/wait" if slow == "hook" else "POST images/pull"
    before = 0 if slow == "hook" else 1
    await started.until(lambda: started.fake.calls[call] > before)
    started.fake.crash("minipaas-shop-web-1-1")
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-2"])
    await started.until(lambda: answers(started))
    assert (await started.control.registry.change(change.id)).state is ChangeState.ROLLING, "it is still at it"
    if slow == "hook":
        (hook,) = (name for name in started.fake.running if name != "minipaas-shop-web-1-2")
        started.fake.crash(hook, 0)
    else:
        started.fake.go_on()
    assert (await started.ended(change)).state is ChangeState.DONE


async def test_a_hook_that_outlives_its_rollout_is_ended_with_it(started: RunningBox) -> None:
    await started.deploy(toml())
    started.fake.behave(Behaviour(exit_code=0, lifetime=60.0), kind="hook")
    change = await started.deploy(toml(version="2.0", extra=HOOK, deadline="1s"), version="2.0")
    assert change.state is ChangeState.FAILED
    await started.until(lambda: list(started.fake.containers) == ["minipaas-shop-web-1-1"])


async def test_a_container_that_was_created_and_cannot_start_is_replaced(started: RunningBox) -> None:
    await started.deploy(toml())
    broken = Behaviour(fails_to_start="its netns is gone")
    started.fake.behave(broken, name="minipaas-shop-web-1-2")
    started.fake.drop("containers/.*/start", 1)
    started.fake.crash("minipaas-shop-web-1-1")
    await started.until(lambda: started.fake.calls["POST containers/{name}/start"] > 2)
    started.fake.world.rules.clear()
    await started.until(lambda: len(started.running()) == 1)


async def test_changes_one_on_top_of_another_end_with_the_last(started: RunningBox) -> None:
    """Each at another moment of the one before: nothing of them stays, and no request meets a wall for long."""
    await started.deploy(toml(replicas=2, extra=HOOK))
    changes = []
    for number in range(2, 10):
        version = f"{number}.0"
        changes.append(await started.send(toml(version=version, replicas=2, extra=HOOK), version=version))
        await asyncio.sleep(0.05 * number)
    last = await started.ended(changes[-1])
    assert last.state is ChangeState.DONE
    states = {(await started.control.registry.change(one.id)).state for one in changes[:-1]}
    assert states <= {ChangeState.SUPERSEDED, ChangeState.DONE}
    await started.until(lambda: len(started.fake.containers) == 2)
    steps = [row for one in changes for row in await started.control.registry.journal(one.id)]
    assert not [row for row in steps if row.detail.startswith("minipaas failed")]


async def test_remove_in_the_middle_of_a_rollout(started: RunningBox) -> None:
    await started.deploy(toml(replicas=2))
    await started.send(toml(version="2.0", fake="start_delay=60", replicas=2).replace("500ms", "5m"), version="2.0")
    await started.until(lambda: len(started.running()) == 4)
    change = await started.control.remove("shop", purge=True, actor="test", origin="test")
    assert (await started.ended(change)).state is ChangeState.DONE
    assert (started.fake.containers, started.fake.networks) == ({}, set())
    again = await started.deploy(toml(version="3.0"), version="3.0")
    assert again.state is ChangeState.DONE


async def test_a_slow_look_does_not_do_again_what_was_just_done(started: RunningBox) -> None:
    """While Podman is asked what there is, the lane ends: the answer is older than what the lane has done."""
    await started.deploy(toml(replicas=3, extra=HOOK))
    started.fake.delay("GET (containers|images|networks)/json", 0.15, times=10_000)
    for number in range(2, 6):
        version = f"{number}.0"
        change = await started.deploy(toml(version=version, replicas=3, extra=HOOK), version=version)
        rows = await started.control.registry.journal(change.id)
        assert [(row.title, row.detail) for row in rows if row.ok is False] == []
        titles = [row.title for row in rows if row.kind not in ("ProveRoutes", "SetRoutes")]
        assert [title for title in titles if titles.count(title) > 1] == [], "every step once"
