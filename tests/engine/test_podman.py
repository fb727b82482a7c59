"""The engine on a real Podman; and that the fake tells the same story."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from kit.podman import PrivatePodman

from minipaas.engine import limits
from minipaas.engine.calls import Calls
from minipaas.engine.engine import Engine
from minipaas.engine.hook import hook_name
from minipaas.engine.images import Images
from minipaas.engine.stats import Stats
from minipaas.model.errors import Deadline, EngineError, Invalid
from minipaas.model.launch import Launch, network_name, volume_name
from minipaas.model.observed import HealthState, Instance, InstanceState
from minipaas.model.spec import Health, Published
from minipaas.model.units import Duration
from minipaas.model.usage import Usage
from tests.engine import conftest
from tests.engine.conftest import BOX, News, launch_one, look, until
from tests.fakepodman import Behaviour, FakePodman

pytestmark = pytest.mark.e2e

APP = f"engine-{os.getpid()}"
"""aardvark-dns is one for all rootful Podmans of a host and knows networks by name: ours must be like no other."""
NETWORK = network_name(APP)
DATA = volume_name(APP, "data")

CONTAINERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
CMD ["sh", "-c", "mkdir -p /tmp/www; echo well > /tmp/www/healthz; echo started; exec httpd -f -p 8080 -h /tmp/www"]
"""


@pytest.fixture(scope="module")
def podman() -> Iterator[PrivatePodman]:
    if os.geteuid() != 0:
        pytest.fail("these tests start containers on a private Podman: run them as root")
    with PrivatePodman() as started:
        yield started


@pytest.fixture(scope="module")
def image(podman: PrivatePodman, tmp_path_factory: pytest.TempPathFactory) -> str:
    context = tmp_path_factory.mktemp("context")
    shutil.copy("/bin/busybox", context / "busybox")
    (context / "Containerfile").write_text(CONTAINERFILE)
    with Images(podman.url) as images:
        return images.build(context, "Containerfile", "localhost/minipaas-test:1", 0)


@pytest.fixture
async def engine(podman: PrivatePodman, tmp_path: Path, news: News) -> AsyncIterator[Engine]:
    connected = await Engine.connect(podman.url, data=tmp_path, box=BOX, on_news=news)
    yield connected
    for instance in (await connected.observe()).instances:
        await connected.remove(instance.id, instance.name)
    seen = await connected.observe()
    for volume in seen.volumes:
        await connected.remove_volume(volume)
    await connected.remove_network(APP)
    await connected.close()


def make_launch(image: str, **changes: object) -> Launch:
    return conftest.make_launch(image, **{"app": APP, **changes})


def sh(image: str, script: str, **changes: object) -> Launch:
    return make_launch(image, command=("sh", "-c", script), **changes)


async def ended(engine: Engine, container: str) -> Instance:
    async def check() -> bool:
        return (await look(engine, container)).state is InstanceState.EXITED

    await until(check)
    return await look(engine, container)


async def healthy(engine: Engine, container: str, health: Health | None) -> Instance:
    engine.watch({container: health})

    async def check() -> bool:
        return (await look(engine, container)).healthy

    await until(check)
    return await look(engine, container)


async def test_a_service_from_start_to_end(engine: Engine, image: str, tmp_path: Path) -> None:
    launch = make_launch(image, memory=64 * 1024**2, cpus=0.5, volumes={DATA: "/data"})
    await engine.ensure_volume(DATA, APP)
    container = await launch_one(engine, launch)
    seen = await healthy(engine, container, Health(http="/healthz"))
    assert seen.health_detail == "GET /healthz: 200"
    assert await engine.log_tail(container, 10) == ["started"]
    assert (tmp_path / "scratch" / launch.name / "tmp/www/healthz").read_text() == "well\n"
    sighting = await engine.observe()
    assert image in sighting.images
    assert (sighting.networks, sighting.volumes) == ({NETWORK}, {DATA})
    await engine.stop(container, 5)
    seen = await look(engine, container)
    assert (seen.state, seen.exit_code, seen.health) == (InstanceState.EXITED, 143, HealthState.UNKNOWN)
    await engine.start(container)
    await healthy(engine, container, Health(tcp=True))
    await engine.remove(container, launch.name)
    assert (await engine.observe()).instances == ()


HARDENED = """
grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/1/status
touch /intruder 2>/dev/null && echo rootfs writable
for d in /tmp /var/tmp /run /dev/shm /data; do
    touch $d/x && echo $d writable; grep " $d " /proc/mounts | cut -d" " -f4
done
ulimit -n
cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
true
"""


async def test_the_hardening_holds_inside(engine: Engine, image: str) -> None:
    launch = sh(image, HARDENED, port=None, memory=32 * 1024**2, volumes={DATA: "/data"})
    await engine.ensure_volume(DATA, APP)
    container = await launch_one(engine, launch)
    assert (await ended(engine, container)).exit_code == 0
    said = await engine.log_tail(container, 50)
    text = "\n".join(said)
    assert "CapEff:\t0000000000000000" in said
    assert "CapBnd:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said
    assert "rootfs writable" not in text
    for place in ("/tmp", "/var/tmp", "/run", "/dev/shm", "/data"):
        options = said[said.index(f"{place} writable") + 1]
        assert {"nosuid", "nodev"} <= set(options.split(","))
    assert str(engine.info.nofile) in said
    assert str(32 * 1024**2) in said


async def test_capabilities_that_were_asked_for(engine: Engine, image: str) -> None:
    script = "grep CapEff /proc/1/status"
    container = await launch_one(engine, sh(image, script, port=None, capabilities=("NET_BIND_SERVICE", "CAP_CHOWN")))
    await ended(engine, container)
    assert await engine.log_tail(container, 1) == ["CapEff:\t0000000000000401"]


async def test_services_find_each_other_by_name(engine: Engine, image: str) -> None:
    container = await launch_one(engine, make_launch(image))
    await healthy(engine, container, Health(http="/healthz"))
    other = await launch_one(engine, sh(image, "wget -qO- http://web:8080/healthz", service="worker", port=None))
    await ended(engine, other)
    assert await engine.log_tail(other, 3) == ["well"]


async def test_out_of_memory_is_told(engine: Engine, image: str) -> None:
    launch = sh(image, "exec tail /dev/zero", port=None, memory=16 * 1024**2)
    container = await launch_one(engine, launch)
    seen = await ended(engine, container)
    assert (seen.exit_code, seen.oom_killed) == (137, True)


async def test_zombies_are_reaped(engine: Engine, image: str) -> None:
    if not engine.info.init:
        pytest.skip("no catatonit on this host")
    script = "(sleep 0.1 & exec true) & sleep 1; grep -l 'State:.Z' /proc/[0-9]*/status | wc -l"
    container = await launch_one(engine, sh(image, script, port=None))
    await ended(engine, container)
    assert await engine.log_tail(container, 1) == ["0"]


async def test_a_log_cannot_fill_the_disk(engine: Engine, podman: PrivatePodman, image: str) -> None:
    script = "yes 0123456789012345678901234567890123456789 | head -c 90000000; echo; echo the end"
    container = await launch_one(engine, sh(image, script, port=None))
    await ended(engine, container)
    path = podman.run("inspect", "--format", "{{.HostConfig.LogConfig.Path}}", container).strip()
    assert Path(path).stat().st_size <= limits.LOG_SIZE + 1024**2  # noqa: ASYNC240
    assert (await engine.log_tail(container, 2))[-1] == "the end"


async def test_health_by_command(engine: Engine, image: str) -> None:
    container = await launch_one(engine, make_launch(image))
    await healthy(engine, container, Health(command=("test", "-e", "/tmp/www/healthz")))
    engine.watch(
        {container: Health(command=("sh", "-c", "echo no; exit 4"), interval=Duration(0.1), grace=Duration(0))}
    )

    async def unhealthy() -> bool:
        return (await look(engine, container)).health is HealthState.UNHEALTHY

    await until(unhealthy)
    assert (await look(engine, container)).health_detail == "sh -c echo no; exit 4: exit code 4: no"


async def test_nobody_listens_inside(engine: Engine, image: str) -> None:
    container = await launch_one(engine, sh(image, "sleep 100"))
    engine.watch({container: Health(http="/", interval=Duration(0.1), timeout=Duration(0.5), grace=Duration(0))})

    async def unhealthy() -> bool:
        return (await look(engine, container)).health is HealthState.UNHEALTHY

    await until(unhealthy)


async def test_hooks(engine: Engine, image: str) -> None:
    await engine.ensure_network(APP)
    result = await engine.run_hook(sh(image, "for i in 1 2 3; do echo line $i; done; exit 7"), 3, 30)
    assert (result.exit_code, result.output_tail) == (7, "line 1\nline 2\nline 3")
    with pytest.raises(Deadline, match=r"not done within 0\.5 s: begun"):
        await engine.run_hook(sh(image, "echo begun; sleep 100"), 4, 0.5)
    assert await engine.find(hook_name(APP, "web", 3)) is None
    assert await engine.find(hook_name(APP, "web", 4)) is None


async def test_an_end_from_outside_is_news(engine: Engine, podman: PrivatePodman, image: str, news: News) -> None:
    container = await launch_one(engine, make_launch(image))
    await healthy(engine, container, None)
    podman.run("kill", container)
    await news.next()
    assert (await ended(engine, container)).exit_code == 137


async def test_a_service_restart_of_podman_is_survived(
    engine: Engine, podman: PrivatePodman, image: str, news: News
) -> None:
    container = await launch_one(engine, make_launch(image))
    podman.stop()
    podman.start()
    assert (await healthy(engine, container, Health(http="/healthz"))).running
    before = news.count
    podman.run("kill", container)

    async def told() -> bool:
        return news.count > before

    await until(told)


async def test_a_port_that_is_taken(engine: Engine, image: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        launch = make_launch(image, published=(Published("127.0.0.1", port, 8080, "tcp"),))
        with pytest.raises(EngineError, match="address already in use") as caught:
            await launch_one(engine, launch)
    assert caught.value.code == "engine.port_taken"


async def test_images(engine: Engine, podman: PrivatePodman, image: str, tmp_path: Path) -> None:
    with Images(podman.url) as images:
        facts = images.inspect("localhost/minipaas-test:1")
        assert facts is not None
        assert (facts.id, facts.platform) == (image, engine.info.platform)
        assert images.inspect("localhost/nothing:1") is None
        with images.export(image) as archive, tarfile.open(fileobj=archive, mode="r|") as tar:
            assert {"index.json", "oci-layout"} <= {member.name for member in tar}
        (tmp_path / "Containerfile").write_text("FROM localhost/minipaas-test:1\nRUN echo working; exit 3\n")
        told: list[str] = []
        with pytest.raises(Invalid, match=r"cannot build localhost/bad:1: .*exit status 3"):
            images.build(tmp_path, "Containerfile", "localhost/bad:1", 0, told.append)
        assert "working" in told
        (tmp_path / "Containerfile").write_text("FROM localhost/minipaas-test:1\nENV A=b\n")
        child = images.build(tmp_path, "Containerfile", "localhost/child:1", 0)
    podman.run("tag", child.removeprefix("sha256:"), "localhost/child:2")
    for _ in range(2):
        await engine.remove_image(child)
    seen = (await engine.observe()).images
    assert child not in seen
    assert image in seen


async def test_a_pull_from_loopback_with_a_credential(
    engine: Engine, podman: PrivatePodman, image: str, tmp_path: Path
) -> None:
    (tmp_path / "Containerfile").write_text("FROM localhost/minipaas-test:1\nENV A=pulled\n")
    with Images(podman.url) as images:
        child = images.build(tmp_path, "Containerfile", "localhost/pulled:1", 0)
        with images.export(child) as archive, tarfile.open(fileobj=archive, mode="r|") as tar:
            files = {member.name: file.read() for member in tar if (file := tar.extractfile(member)) is not None}
    await engine.remove_image(child)
    digest = json.loads(files["index.json"])["manifests"][0]["digest"]
    async with serve_registry(files, "box", "secret") as port:
        reference = f"127.0.0.1:{port}/pulled@{digest}"
        with pytest.raises(EngineError, match=r"(?i)unauthorized|authentication"):
            await engine.pull(reference, "box", "wrong", child)
        assert child not in (await engine.observe()).images
        await engine.pull(reference, "box", "secret", child)
        assert child in (await engine.observe()).images
    await engine.remove_image(child)
    assert child not in (await engine.observe()).images


@contextlib.asynccontextmanager
async def serve_registry(files: dict[str, bytes], user: str, password: str) -> AsyncIterator[int]:
    """An OCI layout as a registry that only reads (OCI distribution, pull)."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.headers.get("Authorization") != wanted:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="box"'})
        if request.path == "/v2/":
            return web.Response()
        data = files.get("blobs/" + request.path.rpartition("/")[2].replace(":", "/"))
        if data is None:
            return web.Response(status=404)
        kind = (
            "application/vnd.oci.image.manifest.v1+json"
            if "/manifests/" in request.path
            else "application/octet-stream"
        )
        return web.Response(body=data, content_type=kind)

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


# What goes wrong in the same way on both; the error's code.
Situation = Callable[[Engine, str], Awaitable[object]]


async def _network_in_use(engine: Engine, image: str) -> None:
    await launch_one(engine, make_launch(image))
    await engine.remove_network(APP)


async def _volume_in_use(engine: Engine, image: str) -> None:
    await engine.ensure_volume(DATA, APP)
    await launch_one(engine, make_launch(image, volumes={DATA: "/data"}))
    await engine.remove_volume(DATA)


async def _image_in_use(engine: Engine, image: str) -> None:
    await launch_one(engine, make_launch(image))
    await engine.remove_image(image)


async def _name_taken(engine: Engine, image: str) -> None:
    await launch_one(engine, make_launch(image))
    await engine.create(make_launch(image))


async def _no_network(engine: Engine, image: str) -> None:
    await engine.create(make_launch(image, app="nowhere"))


async def _lost_scratch(engine: Engine, image: str) -> None:
    await engine.ensure_network(APP)
    launch = make_launch(image)
    container = await engine.create(launch)
    engine._scratch.remove(launch.name)
    await engine.start(container)


SITUATIONS: list[tuple[str, Situation, str]] = [
    ("network in use", _network_in_use, "engine.in_use"),
    ("volume in use", _volume_in_use, "engine.in_use"),
    ("image in use", _image_in_use, "engine.in_use"),
    ("name taken", _name_taken, "engine.name_taken"),
    ("no such network", _no_network, "engine.failed"),
    ("scratch lost", _lost_scratch, "engine.failed"),
    ("start of nothing", lambda engine, _: engine.start("0" * 64), "engine.missing"),
    ("log of nothing", lambda engine, _: engine.log_tail("0" * 64, 1), "engine.missing"),
    ("inspect of nothing", lambda engine, _: engine.inspect("0" * 64), "engine.missing"),
    ("no such image", lambda engine, _: engine.create(make_launch("sha256:" + "0" * 64)), "engine.no_image"),
    ("pull from nowhere", lambda engine, _: engine.pull("127.0.0.1:1/x:1", "u", "p", "sha256:x"), "engine.failed"),
]


@pytest.mark.parametrize(("what", "situation", "code"), SITUATIONS, ids=[case[0] for case in SITUATIONS])
async def test_the_fake_fails_as_podman_does(
    engine: Engine, image: str, tmp_path: Path, news: News, what: str, situation: Situation, code: str
) -> None:
    with pytest.raises(EngineError) as real:
        await situation(engine, image)
    with FakePodman(tmp_path) as fake:
        copy = await Engine.connect(fake.socket, data=tmp_path / "fake", box=BOX, on_news=news)
        (tmp_path / "fake").mkdir()
        with pytest.raises(EngineError) as faked:
            await situation(copy, fake.add_image())
        await copy.close()
    assert (real.value.code, faked.value.code) == (code, code)


async def test_the_fake_shows_what_podman_shows(engine: Engine, image: str, tmp_path: Path, news: News) -> None:
    with FakePodman(tmp_path) as fake:
        (tmp_path / "fake").mkdir()
        copy = await Engine.connect(fake.socket, data=tmp_path / "fake", box=BOX, on_news=news)
        fake.behave(Behaviour(exit_code=3), service="ending")
        stories = []
        for one, its_image in ((engine, image), (copy, fake.add_image())):
            await launch_one(one, make_launch(its_image))
            await one.create(make_launch(its_image, slot=2))
            ending = await launch_one(one, sh(its_image, "exit 3", service="ending", port=None))
            await ended(one, ending)
            sighting = await one.observe()
            stories.append((tuple(map(_timeless, sighting.instances)), sighting.networks, sighting.volumes))
        await copy.close()
    assert stories[0] == stories[1]


def _timeless(instance: Instance) -> Instance:
    """Without what differs from run to run, but with whether it is there."""
    return msgspec.structs.replace(
        instance,
        id="",
        release="",
        created=float(instance.created > 0),
        started=None if instance.started is None else 1.0,
        finished=None if instance.finished is None else 1.0,
        backend=None if instance.backend is None else msgspec.structs.replace(instance.backend, instance="", port=1),
        inside=dict.fromkeys(instance.inside, 1),
    )


async def test_many_stops_at_once(engine: Engine, image: str) -> None:
    containers = await asyncio.gather(*(launch_one(engine, make_launch(image, slot=slot)) for slot in range(1, 5)))
    await asyncio.gather(*(engine.stop(container, 5) for container in containers))
    assert {instance.state for instance in (await engine.observe()).instances} == {InstanceState.EXITED}


async def test_the_kernel_and_podman_agree_on_what_a_container_uses(
    engine: Engine, podman: PrivatePodman, image: str, tmp_path: Path
) -> None:
    """Read from cgroup files as the engine does, and again as if they could not be read."""
    script = "head -c 20000000 /dev/zero | tail | sleep 1000 & while :; do :; done"
    container = await launch_one(engine, sh(image, script, memory=64 * 1024**2, cpus=0.5))
    await engine.observe()

    seen: list[Usage] = []

    async def busy() -> bool:
        await asyncio.sleep(0.5)
        seen[:] = [used for name, used in (await engine.usage()).items() if name == container]
        return bool(seen) and seen[0].cpu > 0.3 and seen[0].memory > 20e6

    await until(busy)
    (kernel,) = seen
    calls = Calls(podman.url)
    nowhere = Stats(calls, proc=tmp_path, cgroups=tmp_path)
    told = (await nowhere.read({container: 1}))[container]
    later = (await engine.usage())[container]
    await calls.close()
    assert kernel.cpu - 0.5 < told.cpu < later.cpu + 0.5
    assert kernel.memory < 60e6
    assert told.memory == pytest.approx(kernel.memory, rel=0.5)
    assert kernel.peak is not None and kernel.peak >= kernel.memory
    assert kernel.pids is not None and kernel.pids >= 3
    assert (kernel.ooms, told.ooms) == (0, None)
    assert kernel.received is not None and kernel.sent is not None
