"""What goes wrong in the field, on real Podman: the old release keeps serving, the reason is said, nothing hangs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from kit.box import Author, Box, BoxError, Program, fetch, wait_for
from kit.podman import PrivatePodman

from tests.e2e.hello import DIES, HOST, NEVER_HEALTHY, SLOW_START, HelloBundles
from tests.e2e.load import Load


def one_line(done_err: str) -> str:
    return " ".join(done_err.split())


CASES = {
    "never healthy": ({"web": NEVER_HEALTHY}, ["health", "cannot find the flux capacitor"]),
    "dies": ({"web": DIES}, ["exited with code 7", "about to die of a broken heart"]),
    "hook fails": (
        {"web": {"hooks": {"release": ["sh", "-c", "echo the table is locked; exit 3"]}}},
        ["hook", "the table is locked"],
    ),
    "hook hangs": (
        {"web": {"hooks": {"release": ["sh", "-c", "echo waiting for ever; sleep 1000"], "timeout": "3s"}}},
        ["hook", "not done within 3 s", "waiting for ever"],
    ),
    "too slow": (
        {"web": {"command": ["sh", "-c", "sleep 1000"]}, "rollout": {"deadline": "5s"}},
        ["was not ready within 5s"],
    ),
    "no such command": ({"web": {"command": ["no-such-program"]}}, ["exited with code 1", "No such file or directory"]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_old_release_keeps_serving(box: Box, hello: HelloBundles, podman: PrivatePodman, name: str) -> None:
    changes, words = CASES[name]
    box.cli("deploy", hello())
    before = {row["Id"] for row in podman.containers("hello").values()}
    with Load(box, HOST) as load:
        done = box.cli("deploy", hello("2.0.0", sequence=2, **changes), check=False)  # type: ignore[arg-type]
    assert done.code == 1, done
    assert "cannot deploy hello 2.0.0" in done.err
    for word in words:
        assert word in one_line(done.err), done.err
    assert "1.0.0 still serves" in one_line(done.err)
    assert load.failures == []
    assert set(load.versions) == {"1.0.0"}
    running = {row["Id"] for row in podman.containers("hello").values() if row["State"]["Running"]}  # type: ignore[index]
    assert running == before, "the old instances were not touched, and none of the new ones is left running"
    app = box.app("hello")
    assert (app["serving"]["version"], app["change"]["state"]) == ("1.0.0", "failed")

    box.cli("deploy", hello("3.0.0", sequence=3))
    assert "Hello from version 3.0.0" in box.get("/", host=HOST).text


def test_a_first_release_that_never_serves(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    done = box.cli("deploy", hello(web=NEVER_HEALTHY), check=False)
    assert done.code == 1
    assert "cannot find the flux capacitor" in done.err
    assert box.get("/", host=HOST).status in (404, 503)
    assert not [row for row in podman.containers("hello").values() if row["State"]["Running"]]  # type: ignore[index]
    assert podman.containers("hello"), "the scene of the failure is still there"


def test_a_hook_runs_once_before_the_switch_and_not_again(box: Box, hello: HelloBundles) -> None:
    count = ["sh", "-c", "echo run >>/data/hook; cat /data/hook"]
    web = {"hooks": {"release": count}, "volumes": {"data": "/data"}, "replicas": 1, "user": "0"}
    box.cli("deploy", hello(web=web))
    box.stop()
    box.start()
    box.cli("deploy", hello("2.0.0", sequence=2, web=web))
    change = box.api("/changes?app=hello")["changes"][0]
    steps = box.api(f"/changes/{change['id']}")["steps"]
    titles = [step["title"] for step in steps]
    hook = next(step for step in steps if "hook" in step["title"])
    assert hook["ok"] is True
    assert hook["detail"].count("run") in (0, 2)
    assert titles.index(hook["title"]) < next(i for i, title in enumerate(titles) if title.startswith("switch"))


def test_podman_dies_in_the_middle_of_a_deploy(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    box.cli("deploy", hello())
    try:
        box.cli("deploy", hello("2.0.0", sequence=2, web=SLOW_START), "--no-wait")
        wait_for("a new instance is up", lambda: len(podman.containers("hello")) > 2)
        podman.stop(signal.SIGKILL)
        assert box.get("/", host=HOST).status == 200, "the old release serves without Podman's service"
        time.sleep(2)
    finally:
        podman.start()
    wait_for("the change has ended", lambda: not box.app("hello")["change"]["active"], seconds=120)
    assert box.app("hello")["change"]["state"] == "done", box.app("hello")["change"]
    wait_for("everything is well", lambda: box.app("hello")["state"] == "running")
    assert "Hello from version 2.0.0" in box.get("/", host=HOST).text


def test_a_dead_instance_is_replaced_with_back_off(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    box.cli("deploy", hello())
    first = next(name for name in podman.containers("hello") if "-web-1-" in name)
    with Load(box, HOST) as load:
        podman.run("kill", first)
        wait_for("it is noticed", lambda: box.app("hello")["services"][0]["healthy"] < 2 or _attempts(box))
        wait_for("two instances are well again", lambda: box.app("hello")["services"][0]["healthy"] == 2)
    assert load.count > 0
    replaced = [one for one in box.app("hello")["services"][0]["instances"] if one["slot"] == 1 and one["well"]]
    assert [one["attempt"] for one in replaced] == [1]
    assert len(load.failures) <= 3, "at most the requests that were under way at the moment of death"
    assert first in podman.containers("hello"), "the dead instance is kept as a scene"


def _attempts(box: Box) -> bool:
    return any(one["attempt"] for one in box.app("hello")["services"][0]["instances"])


def test_a_lost_image_is_brought_back(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    box.cli("deploy", hello())
    image = box.app("hello")["services"][0]["image"].removeprefix("sha256:")
    box.stop()
    podman.run("rm", "--all", "--force", "--time", "0")
    podman.run("rmi", "--force", image)
    assert image not in podman.run("images", "-aq", "--no-trunc")
    box.start()
    wait_for("the app serves again", lambda: box.get("/", host=HOST).status == 200)
    assert image in podman.run("images", "-aq", "--no-trunc")


def test_a_volume_keeps_its_data_and_has_one_owner(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    web = {
        "command": ["sh", "-c", "echo born >>/data/log; cp /data/log /tmp/log; exec serve"],
        "volumes": {"data": "/data"},
        "replicas": 1,
        "user": "0",
    }
    box.cli("deploy", hello(web=web))
    box.cli("deploy", hello("2.0.0", sequence=2, web=web))
    running = [name for name, row in podman.containers("hello").items() if row["State"]["Running"]]  # type: ignore[index]
    assert len(running) == 1
    assert podman.run("exec", running[0], "cat", "/data/log").split() == ["born", "born"]


def test_a_failed_release_with_a_volume_brings_the_old_one_back(box: Box, hello: HelloBundles) -> None:
    web = {"volumes": {"data": "/data"}, "replicas": 1}
    box.cli("deploy", hello(web=web))
    done = box.cli("deploy", hello("2.0.0", sequence=2, web=web | NEVER_HEALTHY), check=False)
    assert done.code == 1
    assert "Hello from version 1.0.0" in box.get("/", host=HOST).text
    assert box.app("hello")["serving"]["version"] == "1.0.0"


def test_services_find_each_other_by_name(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    helper = {"command": ["sh", "-c", "while true; do sleep 1; done"], "depends_on": ["web"], "stop": "1s"}
    box.cli("deploy", hello(services={"helper": helper}))
    name = next(name for name in podman.containers("hello") if "-helper-" in name)
    assert "version 1.0.0" in podman.run("exec", name, "wget", "-q", "-O", "-", "http://web:8080/")


def test_hardened_as_seen_from_inside(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    box.cli("deploy", hello())
    seen = box.get("/cgi-bin/whoami", host=HOST).text
    assert "user: 1000" in seen
    assert "root file system: read-only" in seen
    assert "scratch at /tmp: writable" in seen
    facts = dict(line.split() for line in seen.splitlines() if line.startswith(("Cap", "NoNew")))
    assert facts == {"CapEff:": "0" * 16, "CapBnd:": "0" * 16, "NoNewPrivs:": "1"}
    name, row = next(iter(podman.containers("hello").items()))
    host = row["HostConfig"]
    assert host["Memory"] == 32 * 1024**2  # type: ignore[index]
    assert host["PidsLimit"] == 1024  # type: ignore[index]
    mounts = podman.run("exec", name, "cat", "/proc/mounts")
    table = {line.split()[1]: line.split() for line in mounts.splitlines()}
    assert table["/run"][2] == "tmpfs"
    assert table["/tmp"][2] != "tmpfs", "scratch is on disk, and outlives the process"
    assert "ro" in table["/"][3].split(",")


def test_a_command_can_be_the_health_check(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    check = {"command": ["sh", "-c", "echo asked; ! [ -e /tmp/sick ]"], "interval": "500ms", "retries": 2}
    box.cli("deploy", hello(web={"health": check, "replicas": 1}))
    first = next(iter(podman.containers("hello")))
    podman.run("exec", first, "touch", "/tmp/sick")
    wait_for("the sick one is replaced", lambda: _healthy_names(box) - {first})
    assert podman.containers("hello")[first]["State"]["Running"] is False  # type: ignore[index]


def _healthy_names(box: Box) -> set[str]:
    return {one["name"] for one in box.app("hello")["services"][0]["instances"] if one["health"] == "healthy"}


def test_published_only_on_loopback(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    box.cli("deploy", hello())
    for row in podman.containers("hello").values():
        for bindings in row["NetworkSettings"]["Ports"].values():  # type: ignore[index]
            assert [one["HostIp"] for one in bindings] == ["127.0.0.1"]


def test_capabilities_only_when_asked_for(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    box.cli("deploy", hello(web={"capabilities": ["NET_BIND_SERVICE"], "read_only": False, "user": "0"}))
    seen = box.get("/cgi-bin/whoami", host=HOST).text
    assert f"CapBnd: {1 << 10:016x}" in seen
    assert "root file system: writable" in seen


def test_two_apps_cannot_have_one_route(box: Box, hello: HelloBundles) -> None:
    box.cli("deploy", hello())
    done = box.cli("deploy", hello(name="other"), check=False)
    assert done.code == 3
    assert HOST in done.err
    assert box.app("other") is None


def test_a_port_that_another_app_has(box: Box, hello: HelloBundles) -> None:
    publish = {"replicas": 1, "ports": ["127.0.0.1:18732:8080"]}
    box.cli("deploy", hello(web=publish))
    done = box.cli("deploy", hello(name="other", web=publish | {"routes": ["other.localhost"]}), check=False)
    assert done.code == 3
    assert "18732" in done.err
    assert box.app("other") is None


def test_an_unknown_key_is_refused(box: Box, hello: HelloBundles, workshop: PrivatePodman) -> None:
    stranger = Author(workshop.directory / "stranger", Program(workshop))
    stranger.make_keys()
    done = box.cli("deploy", hello(author=stranger), check=False)
    assert done.code == 3
    assert box.app("hello") is None


def test_a_flipped_byte_changes_nothing(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    data = bytearray(hello().read_bytes())
    for place in (len(data) // 3, len(data) // 2, len(data) - 100):
        broken = podman.directory / "broken.bundle"
        damaged = bytearray(data)
        damaged[place] ^= 0x40
        broken.write_bytes(damaged)
        assert box.cli("deploy", broken, check=False).code in (2, 3), place
    assert box.app("hello") is None
    assert "minipaas" not in podman.run("ps", "-a", "--format", "{{.Names}}")


def test_without_podman_the_box_says_so(boxes: Callable[..., Box], podman: PrivatePodman) -> None:
    box = boxes()
    box.config.write_text(box.config.read_text().replace(podman.url, "unix:///nowhere/podman.sock"))
    with pytest.raises(BoxError) as raised:
        box.start()
    assert "/nowhere/podman.sock" in str(raised.value)
    assert "Traceback" not in str(raised.value)


def test_an_upload_cut_in_the_middle_changes_nothing(box: Box, hello: HelloBundles) -> None:
    import socket

    data = hello().read_bytes()
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(box.url.removeprefix("unix://"))
    head = f"PUT /api/v1/bundles HTTP/1.1\r\nHost: box\r\nContent-Length: {len(data)}\r\n\r\n"
    sock.sendall(head.encode() + data[: len(data) // 2])
    sock.close()
    wait_for("staging is empty again", lambda: not any((box.data / "staging").glob("*")))
    assert box.app("hello") is None
    box.cli("deploy", hello())
    assert fetch(box.page, "/healthz").status == 200
