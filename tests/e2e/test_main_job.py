"""The main job: a signed bundle becomes a running, routed, visible app."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from kit.box import REPO, Author, Box, Program, fetch, wait_for
from kit.podman import PrivatePodman

from tests.e2e.books import block
from tests.e2e.hello import HOST, SLOW_START, HelloBundles
from tests.e2e.load import Load


def test_bundle_in_app_out(box: Box, hello: HelloBundles) -> None:
    done = box.cli("deploy", hello())
    assert "hello 1.0.0 serves" in done.out
    assert f"http://{HOST}:{box.ingress}" in done.out

    answer = box.get("/", host=HOST)
    assert answer.status == 200
    assert "Hello from version 1.0.0" in answer.text
    assert box.get("/", host="somebody.else").status == 404

    app = box.cli("status", "hello", "--json").json
    assert (app["state"], app["serving"]["version"]) == ("running", "1.0.0")
    assert [(one["name"], one["healthy"], one["replicas"]) for one in app["services"]] == [("web", 2, 2)]
    overview = box.cli("status").out
    assert "hello" in overview
    assert "1.0.0" in overview

    page = fetch(box.page, "/")
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "hello" in page.text
    assert "1.0.0" in fetch(box.page, "/apps/hello").text


def test_both_instances_answer(box: Box, hello: HelloBundles) -> None:
    box.cli("deploy", hello())
    names = {box.get("/cgi-bin/whoami", host=HOST).text.splitlines()[0] for _ in range(20)}
    assert len(names) == 2


def test_next_release_loses_no_request(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    box.cli("deploy", hello())
    before = set(podman.containers("hello"))
    with Load(box, HOST) as load:
        box.cli("deploy", hello("2.0.0", sequence=2, web=SLOW_START))
        wait_for("the old instances are gone", lambda: not before & set(podman.containers("hello")))
    assert load.failures == []
    assert load.count > 50
    assert load.versions[0] == "1.0.0"
    assert load.versions[-1] == "2.0.0"
    assert box.app("hello")["serving"]["version"] == "2.0.0"


def test_rollback_and_forward_again(box: Box, hello: HelloBundles) -> None:
    box.cli("deploy", hello())
    box.cli("deploy", hello("2.0.0", sequence=2))
    with Load(box, HOST) as load:
        done = box.cli("rollback", "hello")
    assert load.failures == []
    assert "1.0.0" in done.out
    assert "Hello from version 1.0.0" in box.get("/", host=HOST).text

    refused = box.cli("deploy", hello("1.5.0", sequence=1), check=False)
    assert refused.code == 3, "an older sequence stays refused after a rollback"
    box.cli("rollback", "hello", "--to", "2.0.0")
    assert "Hello from version 2.0.0" in box.get("/", host=HOST).text
    kinds = [row["kind"] for row in box.cli("changes", "hello", "--json").json["changes"]]
    assert kinds == ["rollback", "rollback", "deploy", "deploy"]


def test_remove_leaves_nothing_but_volumes(box: Box, hello: HelloBundles, podman: PrivatePodman) -> None:
    keep = {"replicas": 1, "volumes": {"data": "/data"}}
    box.cli("deploy", hello(web=keep))
    box.cli("remove", "hello", "--yes")
    assert box.get("/", host=HOST).status == 404
    assert podman.containers("hello") == {}
    assert "minipaas-hello" not in podman.run("network", "ls", "--format", "{{.Name}}")
    assert "minipaas-hello.data" in podman.run("volume", "ls", "--format", "{{.Name}}")
    assert box.cli("status", "hello", check=False).code == 4

    box.cli("deploy", hello("2.0.0", sequence=2, web=keep))
    box.cli("remove", "hello", "--volumes", "--yes")
    assert "minipaas-hello.data" not in podman.run("volume", "ls", "--format", "{{.Name}}")


def test_upload_with_nothing_but_curl(boxes: Callable[..., Box], author: Author, hello: HelloBundles) -> None:
    box = boxes()
    box.config.write_text(box.config.read_text().replace("[api]", "[api]\naccept_signed_uploads = true"))
    box.start()
    box.cli("trust", "add", author.root)
    upload = [f"http://127.0.0.1:{box.page}/api/v1/bundles"]
    ran = subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "60", "-T", str(hello()), *upload],
        capture_output=True,
        check=True,
        timeout=90,
    )
    accepted = json.loads(ran.stdout)
    assert (accepted["app"], accepted["version"]) == ("hello", "1.0.0")
    wait_for("the app serves", lambda: box.get("/", host=HOST).status == 200)


def test_tcp_without_a_token_only_reads(box: Box, hello: HelloBundles) -> None:
    url = f"http://127.0.0.1:{box.page}/api/v1/bundles"
    code_only = ["--silent", "--output", os.devnull, "--write-out", "%{http_code}", "--max-time", "60"]
    ran = subprocess.run(["curl", *code_only, "-T", str(hello()), url], capture_output=True, check=False, timeout=90)
    assert ran.stdout in (b"401", b"403")
    assert box.app("hello") is None
    assert fetch(box.page, "/api/v1/apps").status == 200


def test_a_site_stops_at_the_first_box_that_refuses(
    boxes: Callable[..., Box], program: Program, author: Author, hello: HelloBundles
) -> None:
    stranger, friend = boxes(), boxes()
    stranger.start()
    friend.start()
    friend.cli("trust", "add", author.root)
    done = program.run("deploy", hello(), "--to", stranger.url, "--to", friend.url, check=False)
    assert done.code == 3
    assert "not touched" in done.err
    assert friend.app("hello") is None


def test_exit_code_and_words_when_no_box_is_there(program: Program, hello: HelloBundles) -> None:
    done = program.run("status", "--to", "unix:///nowhere/minipaas.sock", check=False)
    assert done.code == 5
    assert done.err.startswith("cannot ") or "cannot " in done.err
    assert "Traceback" not in done.err


def test_stops_politely(box: Box, hello: HelloBundles) -> None:
    box.cli("deploy", hello())
    assert box.stop(signal.SIGTERM) == 0


def test_the_demo() -> None:
    assert [line.split()[0] for line in block("README.md", "two-commands").splitlines()] == [
        "scripts/demo",
        "scripts/test",
    ]
    ran = subprocess.run(
        [str(REPO / "scripts/demo"), "--once"], capture_output=True, text=True, timeout=900, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "guestbook 1.0.0 serves" in ran.stdout
    assert "the demo works" in ran.stdout


def test_the_box_may_open_as_many_descriptors_as_the_host_lets_it(box: Box) -> None:
    limits = Path(f"/proc/{box.pid}/limits").read_text()
    soft, hard = next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3:5]
    assert int(soft) == min(int(hard), 65536)
