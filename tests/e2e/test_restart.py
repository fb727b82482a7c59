"""A running app keeps serving when minipaas stops, restarts, crashes; and everything comes back after a reboot."""

from __future__ import annotations

import signal

import pytest
from kit.box import Box, fetch, free_port, wait_for
from kit.podman import PrivatePodman

from tests.e2e.hello import HOST, SLOW_START, HelloBundles


def lives(podman: PrivatePodman) -> dict[str, tuple[object, object, object]]:
    """What must not change: id, start time and process of every container."""
    return {
        name: (row["Id"], row["State"]["StartedAt"], row["State"]["Pid"])  # type: ignore[index]
        for name, row in podman.containers("hello").items()
    }


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_restart_touches_nothing(box: Box, hello: HelloBundles, podman: PrivatePodman, how: signal.Signals) -> None:
    port = free_port()
    box.cli("deploy", hello(web={"replicas": 1, "ports": [f"127.0.0.1:{port}:8080"]}))
    before = lives(podman)
    assert len(before) == 1

    box.stop(how)
    assert fetch(port, "/").status == 200, "the app serves on its own port without minipaas"
    box.start()
    wait_for("the app serves again", lambda: box.get("/", host=HOST).status == 200)
    wait_for("the box has looked at it", lambda: box.app("hello")["state"] == "running")
    assert lives(podman) == before
    assert [row["kind"] for row in box.api("/changes")["changes"]] == ["deploy"]


def test_killed_in_the_middle_of_a_deploy(box: Box, hello: HelloBundles) -> None:
    box.cli("deploy", hello())
    box.cli("deploy", hello("2.0.0", sequence=2, web=SLOW_START), "--no-wait")
    wait_for("the deploy has begun", lambda: box.app("hello")["change"]["active"])
    box.kill()
    box.start()
    assert box.get("/", host=HOST).status == 200
    wait_for("the deploy has ended", lambda: not box.app("hello")["change"]["active"])
    assert box.app("hello")["change"]["state"] == "done"
    assert "Hello from version 2.0.0" in box.get("/", host=HOST).text


def test_everything_comes_back_after_a_reboot(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    """A reboot, as the box sees it: nothing of minipaas runs, and all containers are stopped."""
    helper = {"command": ["sh", "-c", "while true; do sleep 1; done"], "volumes": {"data": "/data"}, "stop": "1s"}
    box.cli("deploy", hello(services={"helper": helper}))
    box.kill()
    podman.run("stop", "--all", "--time", "0")
    box.start()
    wait_for("the app serves again", lambda: box.get("/", host=HOST).status == 200)
    wait_for("all of it is well", lambda: box.app("hello")["state"] == "running")
    running = [row for row in podman.containers("hello").values() if row["State"]["Running"]]  # type: ignore[index]
    assert len(running) == 3


def test_a_second_box_on_the_same_data_is_refused(box: Box) -> None:
    done = box.program.run("serve", "--config", box.config, "--data", box.data, check=False, timeout=60)
    assert done.code != 0
    assert "cannot " in done.err
    assert "Traceback" not in done.err
    assert fetch(box.page, "/healthz").status == 200
