"""Metrics on real Podman: what containers really use is what is shown, and it outlives a restart of the box."""

from __future__ import annotations

from typing import Any

from kit.box import Box, fetch, wait_for

from tests.e2e.hello import HOST, HelloBundles

MIB = 1024**2
BUSY = {"command": ["sh", "-c", "while :; do :; done"], "cpus": 0.3, "stop": "1s"}
LARGE = {"command": ["sh", "-c", "head -c 40000000 /dev/zero | tail | sleep 100000"], "memory": "128MiB", "stop": "1s"}
EATS = "echo 1000 >/proc/self/oom_score_adj; head -c 200000000 /dev/zero | tail"
"""More than it may have; the kernel takes the eater, never the shell that started it."""
GREEDY = {
    "command": ["sh", "-c", f"until [ -e /tmp/eat ]; do sleep 0.2; done; sh -c '{EATS}' >/dev/null; sleep 100000"],
    "memory": "24MiB",
    "stop": "1s",
}


def now(box: Box, service: str) -> Any:
    """What a service's instance uses now; None before it was seen."""
    for app in box.api("/metrics")["apps"]:
        for instance in app["instances"]:
            if instance["service"] == service:
                return instance
    return None


def series(box: Box, service: str) -> Any:
    found = box.api("/apps/hello/metrics?range=1h")["instances"]
    return next((one for one in found if one["service"] == service), None)


def test_what_containers_use_shows_within_seconds_and_stays(box: Box, hello: HelloBundles) -> None:
    box.cli("deploy", hello(web={"replicas": 1}, services={"busy": BUSY, "large": LARGE, "greedy": GREEDY}))
    box.cli("exec", "hello/greedy", "--", "touch", "/tmp/eat")
    for _ in range(20):
        assert box.get("/", host=HOST).status == 200

    busy = wait_for("its CPU shows", lambda: (seen := now(box, "busy")) and (seen["cpu"] or 0) > 0.15 and seen, 40)
    assert 0.15 < busy["cpu"] < 0.45
    large = wait_for(
        "its memory shows", lambda: (seen := now(box, "large")) and (seen["memory"] or 0) > 36 * MIB and seen, 40
    )
    assert large["memory"] < 80 * MIB
    assert large["peak"] >= large["memory"]
    web = now(box, "web")
    assert web["pids"] >= 1
    wait_for("the kill for memory shows", lambda: ooms(box), 40)

    text = fetch(box.page, "/metrics").text
    assert 'minipaas_instance_cpu_seconds_total{app="hello",service="busy",slot="1"}' in text
    assert 'code="200"' in text
    top = box.cli("top", "hello").out
    assert "busy #1" in top

    peak = max(value for value in series(box, "large")["peak"] if value)
    box.stop()
    box.start()
    wait_for("it is measured again", lambda: now(box, "busy"), 40)
    assert max(value for value in series(box, "large")["peak"] if value) == peak
    (app,) = box.api("/metrics")["apps"]
    assert app["history"][-1] != "unknown"


def ooms(box: Box) -> float:
    return sum(value or 0 for value in series(box, "greedy")["ooms"])
