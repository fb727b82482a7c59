"""What happens to instances on a real Podman, while clients ask on: every request gets its right answer."""

from __future__ import annotations

import itertools
import time

from kit.box import Box, wait_for
from kit.podman import PrivatePodman

from tests.e2e.hello import HOST, HelloBundles
from tests.e2e.load import Load

STOP_FIRST = {"replicas": 1, "volumes": {"data": "/data"}}
_ANSWER = (
    "while read -r line && [ ${#line} -gt 1 ]; do :; done; "
    r'printf "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\nversion 1.0.0"'
)
AT_ONCE = {"command": ["sh", "-c", f"trap 'exit 0' TERM; nc -ll -p 8080 -e sh -c '{_ANSWER}' & wait"]}
"""Writes a whole answer at once: an answer that has begun cannot be given by another instance."""


def steps_of(box: Box) -> list[str]:
    """Titles of the steps of the last change of hello."""
    change = box.api("/changes?app=hello")["changes"][0]
    return [step["title"] for step in box.api(f"/changes/{change['id']}")["steps"]]


def test_a_service_that_is_stopped_first_is_replaced_unnoticed(box: Box, hello: HelloBundles) -> None:
    box.cli("deploy", hello(web=STOP_FIRST))
    with Load(box, HOST) as load:
        box.cli("deploy", hello("2.0.0", sequence=2, web=STOP_FIRST))
        told = steps_of(box)
        box.cli("rollback", "hello")
        box.cli("restart", "hello")
    assert load.failures == []
    assert load.versions == ["1.0.0", "2.0.0", "1.0.0"]
    assert told.index("hold the requests of web") < told.index("stop web #1 (replaced)") < told.index("switch to 2.0.0")


def test_a_release_that_cannot_take_over_costs_no_request_either(box: Box, hello: HelloBundles) -> None:
    box.cli("deploy", hello(web=STOP_FIRST))
    broken = STOP_FIRST | {"command": ["sh", "-c", "exit 7"]}
    with Load(box, HOST) as load:
        done = box.cli("deploy", hello("2.0.0", sequence=2, web=broken), check=False)
    assert done.code == 1
    assert load.failures == []
    assert load.versions == ["1.0.0"]


def test_instances_that_are_killed_every_second_cost_no_request(
    box: Box, hello: HelloBundles, podman: PrivatePodman
) -> None:
    box.cli("deploy", hello(web={"replicas": 3} | AT_ONCE))
    killed = 0
    with Load(box, HOST, threads=6, patience=60.0) as load:
        for turn in itertools.count():
            if killed == 15:
                break
            running = sorted(name for name, row in podman.containers("hello").items() if row["State"]["Running"])  # type: ignore[index]
            if running:
                podman.run("kill", "--signal", "KILL", running[turn % len(running)], check=False)
                killed += 1
            time.sleep(1)
        wait_for("all are back", lambda: box.app("hello")["services"][0]["healthy"] == 3, 120)
    assert load.failures == []
    assert load.count > 500
