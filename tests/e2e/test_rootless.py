"""The main job and the ways in, on the Podman of an ordinary user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.box import VENV_PROGRAM, Author, Box, Program, fetch, wait_for
from kit.podman import PodmanError
from kit.rootless import RootlessPodman

from tests.e2e.hello import HelloBundles
from tests.e2e.test_enter import Terminal, run


@pytest.fixture(scope="module")
def rootless() -> Iterator[RootlessPodman]:
    """One for this module."""
    try:
        with RootlessPodman() as started:
            yield started
    except PodmanError as error:
        pytest.fail(f"these tests need a rootless Podman: {error}")


@pytest.fixture(scope="module")
def entered(rootless: RootlessPodman, author: Author, hello: HelloBundles) -> Iterator[Box]:
    """A box of the same user, on which hello runs. Who types the commands is root, as in the other tests."""
    box = Box(rootless.directory / "box", Program(rootless, command=(*rootless.as_user, *VENV_PROGRAM)))
    rootless.own(box.directory)
    with box:
        box.program = Program(rootless)
        box.cli("trust", "add", author.root)
        box.cli("deploy", hello(web={"replicas": 1}))
        yield box


def test_it_serves(entered: Box) -> None:
    assert "without root" in entered.cli("doctor", check=False).out
    assert "Hello from version 1.0.0" in entered.get("/", host="hello.localhost").text


def test_exec_and_shell(entered: Box) -> None:
    done = run(entered, "exec", "hello", "--", "sh", "-c", "cat; echo oops >&2; exit 7", stdin=b"given\n")
    assert (done.code, done.out, done.err) == (7, "given\n", "oops\n")

    person = Terminal(entered, "shell", "hello", columns=100, rows=30)
    person.wait("[#$] ")
    person.type("stty size\n")
    person.wait("\n30 100")
    person.resize(71, 19)
    person.type("sleep 0.2; stty size\n")
    person.wait("\n19 71")
    person.type("echo wait; sleep 600\n")
    person.wait("\nwait")
    person.type("\x03")
    person.wait("[#$] ")
    person.type("exit 5\n")
    assert person.end() == 5


def test_files_go_in_and_come_out(entered: Box, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("from outside")
    entered.cli("cp", tmp_path / "new", "hello:/tmp/")
    assert entered.cli("exec", "hello", "--", "cat", "/tmp/new").out == "from outside"
    entered.cli("cp", "hello:/www", tmp_path)
    assert "Hello from" in (tmp_path / "www/index.html").read_text()


def test_tools_beside_it_and_a_port_that_nobody_published(entered: Box) -> None:
    tools = entered.cli("exec", "hello", "--toolbox", "--", "sh", "-c", "ps; cat /instance/www/index.html").out
    assert "httpd" in tools
    assert "Hello from" in tools
    person = Terminal(entered, "forward", "hello", "0:8080")
    port = int(person.wait(r"127\.0\.0\.1:(\d+) → hello-web-1-1:8080")[1])
    assert "Hello from" in fetch(port, "/").text
    person.type("\x03")
    assert person.end() == 130


def test_a_scene_is_kept_and_entered(entered: Box, rootless: RootlessPodman) -> None:
    entered.cli("exec", "hello", "--", "sh", "-c", "echo the last words > /tmp/last")
    rootless.run("kill", "minipaas-hello-web-1-1")
    crash = wait_for("its scene is kept", lambda: entered.cli("crashes", "hello", "--json").json["groups"])[0]["id"]
    opened = entered.cli("crash", "open", crash, "--", "cat", "/tmp/last")
    assert opened.out == "the last words\n"
