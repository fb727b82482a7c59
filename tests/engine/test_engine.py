"""What the engine does to a Podman, and what it sees of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from minipaas.engine.engine import Engine
from minipaas.model.errors import EngineDown, EngineError
from minipaas.model.observed import HealthState, InstanceState
from minipaas.model.spec import Health
from tests.engine.conftest import BOX, News, launch_one, look, make_launch, until
from tests.fakepodman import Behaviour, FakePodman


async def test_a_started_instance_is_seen_with_all_that_was_said_of_it(engine: Engine, fake: FakePodman) -> None:
    launch = make_launch(fake.add_image(), slot=2, generation=7, attempt=3)
    container = await launch_one(engine, launch)
    seen = await look(engine, container)
    assert (seen.name, seen.app, seen.service, seen.slot, seen.generation, seen.attempt) == (
        "minipaas-shop-web-2-7",
        "shop",
        "web",
        2,
        7,
        3,
    )
    assert (seen.release, seen.fingerprint) == (launch.release, launch.fingerprint)
    assert seen.state is InstanceState.RUNNING
    assert seen.started is not None
    assert seen.finished is None
    assert seen.exit_code is None
    assert seen.backend is not None
    assert seen.backend.port == fake.container(container).ports[0].host_port
    assert (seen.backend.instance, seen.backend.host) == (container, "127.0.0.1")


async def test_a_look_tells_networks_volumes_and_images(engine: Engine, fake: FakePodman) -> None:
    image = fake.add_image()
    await engine.ensure_network("shop")
    await engine.ensure_volume("minipaas-shop.data", "shop")
    seen = await engine.observe()
    assert seen.networks == {"minipaas-shop"}
    assert seen.volumes == {"minipaas-shop.data"}
    assert seen.images == {image}


async def test_strangers_are_not_seen(engine: Engine, fake: FakePodman, tmp_path: Path, news: News) -> None:
    other = await Engine.connect(fake.socket, data=tmp_path / "other", box="box-2", on_news=news)
    (tmp_path / "other").mkdir()
    try:
        await launch_one(other, make_launch(fake.add_image()))
        await other.ensure_volume("minipaas-shop.data", "shop")
    finally:
        await other.close()
    seen = await engine.observe()
    assert (seen.instances, seen.networks, seen.volumes) == ((), frozenset(), frozenset())


async def test_two_boxes_on_one_host_have_networks_of_their_own(
    engine: Engine, fake: FakePodman, tmp_path: Path, news: News
) -> None:
    other = await Engine.connect(fake.socket, data=tmp_path, box="another", on_news=news)
    for one in (engine, other):
        for _ in range(2):
            await one.ensure_network("shop")
    assert len(fake.networks) == 2
    assert (await engine.observe()).networks == (await other.observe()).networks == {"minipaas-shop"}
    await other.remove_network("shop")
    assert (await engine.observe()).networks == {"minipaas-shop"}
    await other.close()


async def test_a_volume_that_exists_is_taken_over(engine: Engine, fake: FakePodman, tmp_path: Path, news: News) -> None:
    # As after the loss of the data directory: the volume carries another box's label.
    before = await Engine.connect(fake.socket, data=tmp_path, box="lost", on_news=news)
    await before.ensure_volume("minipaas-shop.data", "shop")
    await before.close()
    for _ in range(2):
        await engine.ensure_network("shop")
        await engine.ensure_volume("minipaas-shop.data", "shop")
    seen = await engine.observe()
    assert (seen.networks, seen.volumes) == ({"minipaas-shop"}, {"minipaas-shop.data"})


ENDS = [
    ("crash", 3, InstanceState.EXITED, 3, False),
    ("oom", None, InstanceState.EXITED, 137, True),
]


@pytest.mark.parametrize(("how", "code", "state", "seen_code", "oom"), ENDS)
async def test_how_an_instance_ended(
    engine: Engine, fake: FakePodman, how: str, code: int | None, state: InstanceState, seen_code: int, oom: bool
) -> None:
    container = await launch_one(engine, make_launch(fake.add_image()))
    if code is None:
        fake.oom(container)
    else:
        fake.crash(container, code)
    seen = await look(engine, container)
    assert (seen.state, seen.exit_code, seen.oom_killed) == (state, seen_code, oom)
    assert seen.finished is not None
    assert seen.health is HealthState.UNKNOWN


async def test_an_end_is_asked_for_once(engine: Engine, fake: FakePodman) -> None:
    container = await launch_one(engine, make_launch(fake.add_image()))
    fake.crash(container, 1)
    for _ in range(5):
        await engine.observe()
    assert fake.calls["GET containers/{name}/json"] == 1
    await engine.start(container)
    fake.crash(container, 9)
    assert (await look(engine, container)).exit_code == 9


async def test_a_look_survives_an_image_that_goes_meanwhile(engine: Engine, fake: FakePodman) -> None:
    fake.refuse("GET images/json", 500, message='checking if image "d4de" is dangling: reading image: not known')
    assert (await engine.observe()).images == fake.images


async def test_a_look_costs_the_same_for_many(engine: Engine, fake: FakePodman) -> None:
    image = fake.add_image()
    await engine.ensure_network("shop")
    for slot in range(1, 31):
        await engine.create(make_launch(image, slot=slot))
    before = sum(fake.calls.values())
    assert len((await engine.observe()).instances) == 30
    assert sum(fake.calls.values()) - before == 4


async def test_stopping_is_polite_then_not(engine: Engine, fake: FakePodman) -> None:
    image = fake.add_image()
    fake.behave(Behaviour(ignores_term=True), service="stubborn")
    polite = await launch_one(engine, make_launch(image))
    stubborn = await launch_one(engine, make_launch(image, service="stubborn"))
    await engine.stop(polite, 5)
    await engine.stop(stubborn, 0.2)
    assert (await look(engine, polite)).exit_code == 143
    assert (await look(engine, stubborn)).exit_code == 137
    await engine.stop(stubborn, 1)  # again is fine
    await engine.stop("0" * 64, 1)  # gone is fine


async def test_removing_takes_the_scratch_along_and_may_be_repeated(
    engine: Engine, fake: FakePodman, tmp_path: Path
) -> None:
    launch = make_launch(fake.add_image())
    container = await launch_one(engine, launch)
    scratch = tmp_path / "scratch" / launch.name
    (scratch / "tmp" / "evidence").write_text("x")
    assert (scratch / "tmp").stat().st_mode & 0o7777 == 0o1777
    await engine.stop(container, 1)
    assert (scratch / "tmp" / "evidence").exists()  # it is part of the scene
    for _ in range(2):
        await engine.remove(container, launch.name)
    assert fake.containers == {}
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_mount_that_is_still_busy_is_waited_for(engine: Engine, fake: FakePodman) -> None:
    launch = make_launch(fake.add_image())
    container = await launch_one(engine, launch)
    fake.refuse("DELETE containers", 500, times=2, message="unlinkat /userdata/shm: device or resource busy")
    await engine.remove(container, launch.name)
    assert fake.containers == {}


FAILED_CREATES = [
    ("podman says no", lambda fake: fake.refuse("POST containers/create", 500, message="boom"), EngineError, "boom"),
    ("connection breaks", lambda fake: fake.drop("POST containers/create"), EngineDown, "closed the connection"),
    ("no network", lambda fake: fake.world.state.networks.clear(), EngineError, "network not found"),
]


@pytest.mark.parametrize(("what", "break_it", "kind", "words"), FAILED_CREATES, ids=[c[0] for c in FAILED_CREATES])
async def test_a_failed_create_leaves_nothing(
    engine: Engine, fake: FakePodman, tmp_path: Path, what: str, break_it: object, kind: type[EngineError], words: str
) -> None:
    await engine.ensure_network("shop")
    launch = make_launch(fake.add_image())
    break_it(fake)  # type: ignore[operator]
    with pytest.raises(kind, match=words) as caught:
        await engine.create(launch)
    assert caught.value.message.startswith(f"cannot create {launch.name}: ")
    assert fake.containers == {}
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_taken_name_spares_who_has_it(engine: Engine, fake: FakePodman, tmp_path: Path) -> None:
    launch = make_launch(fake.add_image())
    container = await launch_one(engine, launch)
    evidence = tmp_path / "scratch" / launch.name / "tmp" / "evidence"
    evidence.write_text("x")
    with pytest.raises(EngineError) as caught:
        await engine.create(launch)
    assert caught.value.code == "engine.name_taken"
    assert evidence.exists()
    assert fake.running == [launch.name]
    assert (await look(engine, container)).running


async def test_an_image_that_is_not_there(engine: Engine) -> None:
    await engine.ensure_network("shop")
    with pytest.raises(EngineError, match="no image") as caught:
        await engine.create(make_launch("sha256:" + "0" * 64))
    assert caught.value.code == "engine.no_image"


async def test_an_init_that_podman_cannot_find_is_done_without(engine: Engine, fake: FakePodman) -> None:
    words = "container-init binary not found on the host: stat /usr/libexec/podman/catatonit: no such file or directory"
    fake.refuse("POST containers/create", 500, message=words)
    container = await launch_one(engine, make_launch(fake.add_image()))
    assert (await look(engine, container)).running
    assert not fake.container(container).body["init"]


@pytest.mark.parametrize(
    ("entrypoint", "expected"), [(["/init"], False), (["/sbin/tini", "--"], True), (["python3"], True), (None, True)]
)
async def test_images_that_bring_process_one_run_without_ours(
    engine: Engine, fake: FakePodman, entrypoint: list[str] | None, expected: bool
) -> None:
    if not engine.info.init:
        pytest.skip("no catatonit on this host")
    image = fake.add_image("x", entrypoint=entrypoint)
    container = await launch_one(engine, make_launch(image))
    assert fake.container(container).body["init"] is expected


async def test_a_start_that_fails_says_why(engine: Engine, fake: FakePodman) -> None:
    fake.behave(Behaviour(fails_to_start="runc: setrlimit RLIMIT_NOFILE: Operation not permitted"))
    with pytest.raises(EngineError, match=r"cannot start minipaas-shop-web-1-1: .*setrlimit") as caught:
        await launch_one(engine, make_launch(fake.add_image()))
    assert "default_ulimits" in caught.value.hint


async def test_removing_images(engine: Engine, fake: FakePodman) -> None:
    image, other = fake.add_image("one"), fake.add_image("two")
    fake.world.state.images[image.removeprefix("sha256:")].tags.append("localhost/one:latest")
    await engine.remove_image(image)
    await engine.remove_image(image)  # gone is fine
    assert fake.images == {other}
    await launch_one(engine, make_launch(other))
    with pytest.raises(EngineError) as caught:
        await engine.remove_image(other)
    assert caught.value.code == "engine.in_use"
    assert fake.images == {other}


async def test_networks_and_volumes_in_use_stay(engine: Engine, fake: FakePodman) -> None:
    await engine.ensure_volume("minipaas-shop.data", "shop")
    launch = make_launch(fake.add_image(), volumes={"minipaas-shop.data": "/data"})
    container = await launch_one(engine, launch)
    for remove in (engine.remove_network("shop"), engine.remove_volume("minipaas-shop.data")):
        with pytest.raises(EngineError) as caught:
            await remove
        assert caught.value.code == "engine.in_use"
    await engine.remove(container, launch.name)
    for _ in range(2):
        await engine.remove_network("shop")
        await engine.remove_volume("minipaas-shop.data")
    seen = await engine.observe()
    assert (seen.networks, seen.volumes) == (frozenset(), frozenset())


async def test_a_pull_must_give_the_image_that_was_meant(engine: Engine, fake: FakePodman) -> None:
    reference, good = "127.0.0.1:5000/shop@sha256:" + "1" * 64, "sha256:" + "2" * 64
    fake.pulls[reference] = good
    await engine.pull(reference, "box", "secret", good)
    assert good in (await engine.observe()).images
    with pytest.raises(EngineError) as caught:
        await engine.pull(reference, "box", "secret", "sha256:" + "3" * 64)
    assert caught.value.code == "engine.wrong_image"


async def test_a_pull_that_fails_in_the_middle_of_the_answer(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"cannot pull 127\.0\.0\.1:1/x@.*pinging container registry"):
        await engine.pull("127.0.0.1:1/x@sha256:" + "1" * 64, "box", "secret", "sha256:" + "2" * 64)


async def test_the_end_of_a_log(engine: Engine, fake: FakePodman) -> None:
    container = await launch_one(engine, make_launch(fake.add_image()))
    fake.log(container, *(f"line {number}" for number in range(100)))
    fake.log(container, "Ünglück", stream=2)
    assert await engine.log_tail(container, 3) == ["line 98", "line 99", "Ünglück"]
    with pytest.raises(EngineError, match="no container"):
        await engine.log_tail("0" * 64, 3)


async def test_a_dead_service_is_told_from_a_dead_call(engine: Engine, fake: FakePodman, tmp_path: Path) -> None:
    fake.down()
    with pytest.raises(EngineDown, match="no socket at") as caught:
        await engine.observe()
    assert "podman.socket" in caught.value.hint
    fake.up()
    fake.drop("GET containers/json", times=9)  # a call of the look before may still come, and a look is asked again
    with pytest.raises(EngineDown, match="closed the connection"):
        await engine.observe()
    fake.refusals.clear()
    assert (await engine.observe()).instances == ()


async def test_looking_is_not_behind_slow_stops(engine: Engine, fake: FakePodman) -> None:
    image = fake.add_image()
    fake.behave(Behaviour(stop_delay=3))
    containers = [await launch_one(engine, make_launch(image, slot=slot)) for slot in range(1, 11)]
    stops = asyncio.gather(*(engine.stop(container, 5) for container in containers))
    await until(lambda: _some_stopping(engine))
    await engine.observe()
    assert not stops.done()
    await stops


async def _some_stopping(engine: Engine) -> bool:
    return any(instance.state is InstanceState.STOPPING for instance in (await engine.observe()).instances)


async def test_a_podman_of_another_time_is_refused(fake: FakePodman, tmp_path: Path, news: News) -> None:
    fake.version = "3.0.1"
    with pytest.raises(EngineError, match=r"cannot use Podman 3\.0\.1") as refused:
        await Engine.connect(fake.socket, data=tmp_path, box=BOX, on_news=news)
    assert (refused.value.code, "4.3 or newer" in refused.value.hint) == ("engine.too_old", True)


async def test_connecting_to_nothing_says_so(tmp_path: Path, news: News) -> None:
    with pytest.raises(EngineDown, match="no socket at") as caught:
        await Engine.connect(str(tmp_path / "none.sock"), data=tmp_path, box=BOX, on_news=news)
    assert caught.value.hint
    (tmp_path / "file.sock").write_text("")
    with pytest.raises(EngineDown, match="is not a socket"):
        await Engine.connect(f"unix://{tmp_path}/file.sock", data=tmp_path, box=BOX, on_news=news)


async def test_containers_outlive_the_engine(engine: Engine, fake: FakePodman, tmp_path: Path, news: News) -> None:
    container = await launch_one(engine, make_launch(fake.add_image()))
    await engine.close()
    again = await Engine.connect(fake.socket, data=tmp_path, box=BOX, on_news=news)
    try:
        assert (await look(again, container)).running
    finally:
        await again.close()


async def test_health_of_a_running_instance_is_merged_in(engine: Engine, fake: FakePodman, news: News) -> None:
    fake.behave(Behaviour(statuses={"/healthz": 204}))
    container = await launch_one(engine, make_launch(fake.add_image()))
    assert (await look(engine, container)).health is HealthState.UNKNOWN
    engine.watch({container: Health(http="/healthz")})
    await until(lambda: _healthy(engine, container))
    assert (await look(engine, container)).health_detail == "GET /healthz: 204"


async def _healthy(engine: Engine, container: str) -> bool:
    return (await look(engine, container)).healthy
