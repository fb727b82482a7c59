"""What an operator sees of a box: deploys, failures, restarts; on the fake Podman."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kit.box import free_port

from minipaas.model.change import ChangeState
from minipaas.model.errors import Conflict, MinipaasError, Missing, Refused
from minipaas.registry.audit import Wanted
from tests.boxes import RunningBox, config, running_box, toml
from tests.bundle.builders import make_bundle, make_trust
from tests.fakepodman.behaviour import Behaviour
from tests.fakepodman.server import FakePodman


async def test_a_bundle_becomes_an_app_that_answers(started: RunningBox) -> None:
    change = await started.deploy(toml(replicas=2))
    assert (change.state, change.reason) == (ChangeState.DONE, "")
    answers = {await started.get() for _ in range(2)}
    assert answers == {(200, "minipaas-shop-web-1-1"), (200, "minipaas-shop-web-2-1")}, "in turn, whoever begins"
    assert (await started.get(host="other.local"))[0] == 404


async def test_the_next_release_takes_over_and_the_old_instance_goes(started: RunningBox) -> None:
    await started.deploy(toml())
    await started.deploy(toml(version="2.0"), version="2.0")
    assert (await started.get()) == (200, "minipaas-shop-web-1-2")
    await started.until(lambda: started.fake.running == ["minipaas-shop-web-1-2"])


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("exit_code=3", "web #1 exited with code 3 (attempt 3) before the switch"),
        ("status=503", "web #1 failed its health check (GET /: 503) before the switch"),
        ("refuses=1", "web #1 failed its health check (GET /: connection refused) before the switch"),
    ],
)
async def test_a_release_that_fails_leaves_the_old_one_alone(started: RunningBox, how: str, reason: str) -> None:
    await started.deploy(toml())
    change = await started.deploy(toml(version="2.0", fake=how), version="2.0")
    first, *rest = change.reason.splitlines()
    assert (change.state, first) == (ChangeState.FAILED, reason)
    assert rest == ["started"], "the last lines of its log come with the reason"
    assert await started.get() == (200, "minipaas-shop-web-1-1")
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-1"])


async def test_an_instance_that_dies_is_replaced_at_once(started: RunningBox) -> None:
    await started.deploy(toml())
    started.fake.crash("minipaas-shop-web-1-1", 137)
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-2"])
    dead = next(one for one in started.instances() if not one.running)
    assert dead.exit_code == 137, "the dead container is kept"


async def test_an_instance_that_turns_sick_is_taken_out_and_replaced(started: RunningBox) -> None:
    from tests.fakepodman.behaviour import Behaviour

    await started.deploy(toml(replicas=2))
    started.fake.change("minipaas-shop-web-1-1", Behaviour(status=500))
    await started.until(lambda: "minipaas-shop-web-1-2" in started.running())
    assert (await started.get())[0] == 200


async def test_a_box_that_restarts_touches_nothing(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as first:
        await first.trust()
        await first.deploy(toml(replicas=2))
        before = {name: one.id for name, one in fake.containers.items()}
    calls = fake.calls["POST containers/create"], fake.calls["POST containers/{name}/start"]
    async with running_box(fake, tmp_path) as second:
        assert (await second.get())[0] == 200, "it answers as soon as it listens"
        await second.until(lambda: len(second.running()) == 2)
        assert {name: one.id for name, one in fake.containers.items()} == before
    assert (fake.calls["POST containers/create"], fake.calls["POST containers/{name}/start"]) == calls


async def test_what_died_while_the_box_was_down_comes_back(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as first:
        await first.trust()
        await first.deploy(toml(replicas=2))
    fake.crash("minipaas-shop-web-2-1")
    async with running_box(fake, tmp_path) as second:
        await second.until(lambda: second.running() == ["minipaas-shop-web-1-1", "minipaas-shop-web-2-2"])


async def test_podman_that_goes_away_and_comes_back_in_the_middle_of_a_deploy(started: RunningBox) -> None:
    await started.deploy(toml())
    started.fake.drop("containers/create", 1)
    change = await started.send(toml(version="2.0"), version="2.0")
    started.fake.down()
    await started.until(lambda: started.control.trouble)
    assert (await started.get())[0] == 200, "the app does not notice"
    started.fake.up()
    assert (await started.ended(change)).state is ChangeState.DONE
    assert (await started.get())[1] != "minipaas-shop-web-1-1"


async def test_a_lost_image_is_pulled_again_from_the_box_itself(started: RunningBox) -> None:
    await started.deploy(toml())
    for image in started.fake.images:
        started.fake.lose_image(image)
    started.fake.crash("minipaas-shop-web-1-1")
    await started.until(lambda: started.running() == ["minipaas-shop-web-1-2"])


async def test_rollback_goes_to_the_release_before_without_any_upload(started: RunningBox) -> None:
    await started.deploy(toml())
    await started.deploy(toml(version="2.0"), version="2.0")
    change = await started.ended(await started.control.rollback("shop", None, actor="test", origin="test"))
    assert change.state is ChangeState.DONE
    desired = (await started.control.registry.desired()).apps[0]
    assert desired.serving is not None
    assert desired.serving.version == "1.0"
    assert (await started.get())[0] == 200


async def test_remove_leaves_nothing_behind(started: RunningBox) -> None:
    await started.deploy(toml())
    change = await started.control.remove("shop", purge=True, actor="test", origin="test")
    assert (await started.ended(change)).state is ChangeState.DONE
    await started.until(lambda: not started.fake.containers)
    assert (await started.get())[0] == 404
    await started.until(lambda: not started.fake.images)
    with pytest.raises(Missing):
        await started.control.rollback("shop", None, actor="test", origin="test")


async def test_a_stuck_change_is_superseded_by_the_next(started: RunningBox) -> None:
    await started.deploy(toml())
    stuck = await started.send(
        toml(version="2.0", fake="status=503", deadline="10m").replace("500ms", "10m"), version="2.0"
    )
    await started.until(lambda: len(started.running()) == 2)
    change = await started.deploy(toml(version="3.0"), version="3.0")
    assert change.state is ChangeState.DONE
    assert (await started.ended(stuck)).state is ChangeState.SUPERSEDED
    await started.until(lambda: len(started.running()) == 1)


HOOK = """
[services.web.hooks]
release = ["migrate"]
timeout = "{}"
"""


@pytest.mark.parametrize(
    ("how", "time", "reason"),
    [
        ("exit_code=4", "30s", "the release hook of web exited with code 4"),
        ("exit_code=0 lifetime=60", "1s", "cannot finish the release hook of web: not done within 1 s: hook ran"),
    ],
)
async def test_a_hook_that_fails_or_hangs_ends_the_rollout(
    started: RunningBox, how: str, time: str, reason: str
) -> None:
    await started.deploy(toml())
    change = await started.deploy(toml(version="2.0", fake=how, extra=HOOK.format(time)), version="2.0")
    assert (change.state, change.reason.splitlines()[0]) == (ChangeState.FAILED, reason)
    assert started.fake.running == ["minipaas-shop-web-1-1"]


PORT = free_port()
REFUSED = {
    "port clash": (toml("two", "1.0", routes="", extra=f'ports = ["{PORT}:80"]'), Conflict, "port.taken"),
    "same route": (toml("two", "1.0"), Conflict, "route.taken"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_clashes_with_another_app_is_refused_and_changes_nothing(started: RunningBox, name: str) -> None:
    text, kind, code = REFUSED[name]
    await started.deploy(toml(extra=f'ports = ["{PORT}:80"]'))
    with pytest.raises(kind) as caught:
        await started.send(text, app="two")
    assert caught.value.code == code
    assert [app.app for app in (await started.control.registry.desired()).apps] == ["shop"]
    audit = await started.control.registry.audit_log(1, Wanted(app="two", refused=True))
    assert code in audit[0].result
    assert audit[0].subject == "two 1.0"


@pytest.mark.parametrize("held", [False, True])
async def test_a_refused_bundle_is_found_by_its_app_and_no_name_in_it_is_believed(
    started: RunningBox, held: bool
) -> None:
    async def refused(data: bytes) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        control = started.control
        take = control.hold_bundle if held else control.receive_bundle
        with pytest.raises(Refused) as caught:
            await take(chunks(), len(data), actor="t", origin="t")
        return caught.value.code

    async def subjects(app: str | None) -> list[str]:
        return [row.subject for row in await started.control.registry.audit_log(9, Wanted(app=app, refused=True))]

    known = started.bundle(toml("late"), app="late").read_bytes()
    keys, root = make_trust()
    stranger = started.bundle(toml("late"), app="late", keys=keys, root=root).read_bytes()
    foreign = started.bundle(toml("late"), app="late", platform="linux/s390x").read_bytes()
    assert await refused(stranger) == "root.fork"
    assert await subjects("late") == ["unverified: late"]
    assert await refused(foreign) == "bundle.platform"
    assert await refused(known[:-100]) == "bundle.truncated"
    assert await subjects("late") == ["late 1.0", "late 1.0", "unverified: late"]
    assert await refused(known[:100]) == "bundle.truncated"
    assert (await subjects(None))[0] == "a bundle"


async def test_nobody_is_trusted_at_first(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as fresh:
        with pytest.raises(Refused, match="trusts nobody yet"):
            await fresh.send(toml())


async def test_an_upload_that_is_cut_leaves_nothing(started: RunningBox, tmp_path: Path) -> None:
    data = make_bundle(tmp_path, app_toml=toml(), sequence=99).read_bytes()

    async def cut() -> object:
        yield data[: len(data) // 2]
        raise ConnectionResetError

    with pytest.raises(Refused) as caught:
        await started.control.receive_bundle(cut(), len(data), actor="test", origin="test")
    assert caught.value.code == "upload.cut"
    assert not list((tmp_path / "data" / "staging").iterdir())
    assert not list((tmp_path / "data" / "blobs").rglob("*.zst"))


async def test_a_disk_that_is_too_small_is_told_before_the_bulk(fake: FakePodman, tmp_path: Path) -> None:
    from minipaas.model.config import Config, LimitsConfig
    from minipaas.model.units import Size

    base = config(fake)
    settings = Config(
        api=base.api, ingress=base.ingress, podman=base.podman, limits=LimitsConfig(reserve=Size(1 << 60))
    )
    async with running_box(fake, tmp_path, settings) as small:
        await small.trust()
        with pytest.raises(MinipaasError) as caught:
            await small.send(toml())
        assert caught.value.code == "disk.small"
        assert "are free" in caught.value.message


async def test_garbage_collection_keeps_the_way_back(started: RunningBox) -> None:
    for number in range(1, 6):
        await started.deploy(toml(version=f"{number}.0"), version=f"{number}.0")
    rows = await started.control.registry.releases("shop")

    async def collected() -> bool:
        rows[:] = await started.control.registry.releases("shop")
        return sum(not row.retired for row in rows) == 3

    await started.until(collected)
    assert [row.release.version for row in rows if not row.retired] == ["5.0", "4.0", "3.0"]
    await started.until(lambda: len(started.fake.images) == 3)
    change = await started.ended(await started.control.rollback("shop", "3.0", actor="test", origin="test"))
    assert change.state is ChangeState.DONE


async def test_two_apps_do_not_wait_for_each_other(started: RunningBox) -> None:
    text = toml("slow", "1.0", fake="status=503", routes='"slow.local"', deadline="10m").replace("500ms", "10m")
    slow = await started.send(text, app="slow")
    fast = await started.deploy(toml())
    assert fast.state is ChangeState.DONE
    assert (await started.control.registry.change(slow.id)).state.active
    await started.until(lambda: started.running("slow"))
    started.fake.change("minipaas-slow-web-1-1", Behaviour())
    assert (await started.ended(slow)).state is ChangeState.DONE


async def test_a_restart_replaces_the_instances_of_the_same_release(started: RunningBox) -> None:
    await started.deploy(toml(replicas=2))
    before = set(started.running())
    change = await started.ended(await started.control.restart("shop", "web", actor="test", origin="test"))
    assert (change.state, change.reason) == (ChangeState.DONE, "")
    await started.until(lambda: len(started.running()) == 2 and before.isdisjoint(started.running()))
    assert (await started.get())[1] in started.running()


async def test_a_box_killed_in_the_middle_of_a_restart_goes_on_with_it(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as first:
        await first.trust()
        await first.deploy(toml(fake="start_delay=0.3"))
        change = await first.control.restart("shop", None, actor="test", origin="test")
        await first.until(lambda: len(first.fake.running) == 2)
    async with running_box(fake, tmp_path) as second:
        assert (await second.ended(change)).state is ChangeState.DONE
        await second.until(lambda: second.running() == ["minipaas-shop-web-1-2"])


async def test_scaling_up_and_down_and_back_to_what_the_release_says(started: RunningBox) -> None:
    await started.deploy(toml(replicas=2))
    for wanted, count in ((4, 4), (1, 1), (0, 0), (None, 2)):
        change = await started.ended(await started.control.scale("shop", "web", wanted, actor="test", origin="test"))
        assert change.state is ChangeState.DONE
        await started.until(lambda count=count: len(started.running()) == count)
        assert (await started.get())[0] == (200 if count else 503)


async def test_volumes_that_a_removal_kept_can_be_deleted_later(started: RunningBox) -> None:
    who = {"actor": "test", "origin": "test"}
    await started.deploy(toml(extra='volumes = { data = "/data" }'))
    await started.ended(await started.control.remove("shop", purge=False, **who))
    await started.until(lambda: not started.fake.containers)
    await started.until(lambda: "minipaas-shop.data" in started.control.observed.volumes)
    with pytest.raises(Missing):
        await started.control.remove("shop", purge=False, **who)
    change = await started.ended(await started.control.remove("shop", purge=True, **who))
    assert change.state is ChangeState.DONE
    await started.until(lambda: not started.control.observed.volumes)
    assert (await started.control.registry.desired()).apps == ()
    with pytest.raises(Missing):
        await started.control.remove("shop", purge=True, **who)


async def test_when_the_last_words_of_one_are_lost_those_of_another_attempt_tell_why(started: RunningBox) -> None:
    await started.deploy(toml())
    started.fake.behave(Behaviour(exit_code=3, lifetime=0.0, output=()), name="minipaas-shop-web-1-4")
    change = await started.deploy(toml(version="2.0", fake="exit_code=3"), version="2.0")
    first, *rest = change.reason.splitlines()
    assert first == "web #1 exited with code 3 (attempt 3) before the switch"
    assert rest == ["started"]
