"""A scene that was exported on one machine and is opened on another, which has nothing but a Podman."""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.box import Author, Box, Program, wait_for
from kit.podman import PrivatePodman

from tests.e2e.hello import HelloBundles

LAST = "one step too far"


@pytest.fixture(scope="module")
def laptop() -> Iterator[PrivatePodman]:
    """Another machine's Podman: no box, no image."""
    with PrivatePodman() as one:
        yield one


class Scene:
    """An exported scene, and a minipaas elsewhere."""

    def __init__(self, small: Path, whole: Path, key: Path, bundle: Path, program: Program) -> None:
        self.small, self.whole, self.key, self.bundle, self.program = small, whole, key, bundle, program

    def open(self, file: Path, *words: str | Path, check: bool = True) -> Any:
        return self.program.run("crash", "open", file, *words, check=check, MINIPAAS_HOST="unix:///nowhere")


def killed(box: Box, podman: PrivatePodman, times: int) -> str:
    """An instance is killed, for so many times now; the group of all of them, once it is counted."""
    running = wait_for("somebody who runs", lambda: [one for one in instances(box) if one["state"] == "running"])
    name = running[0]["name"]
    (box.data / "scratch" / name / "tmp/last").write_text(LAST)
    podman.run("kill", "-s", "KILL", name)

    def counted() -> str:
        groups = box.cli("crashes", "--json").json["groups"]
        assert len(groups) <= 1, "they are all the same"
        return str(groups[0]["id"]) if groups and groups[0]["count"] == times else ""

    return str(wait_for(f"{times} failures", counted))


def instances(box: Box) -> list[dict[str, Any]]:
    return list(box.app("hello")["services"][0]["instances"])


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, author: Author, hello: HelloBundles, laptop: PrivatePodman
) -> Scene:
    """One of a release that came after one that served well."""
    bundle = hello("1.1.0", sequence=2, web={"env": {"GREETING": "Good evening", "DOOR_KEY": "hunter2"}})
    place = tmp_path_factory.mktemp("scene")
    small, whole, key = place / "small.crash", place / "whole.crash", place / "box.pub"
    with PrivatePodman() as podman, Box(podman.directory / "box", Program(podman)) as box:
        box.cli("trust", "add", author.root)
        box.cli("deploy", hello())
        box.cli("deploy", bundle)
        for times in (1, 2, 3):
            group = killed(box, podman, times)
        key.write_text(box.cli("crash", "key").out)
        said = box.cli("crash", "export", group, "-o", small).out
        assert "is not in it" in said
        box.cli("crash", "export", group, "-o", whole, "--with-image")
        shown = box.cli("crash", "show", group).out
        assert "since 1.0.0, which served well" in shown
        assert "services.web.env.GREETING" in shown
        assert "hunter2" not in shown
    return Scene(small, whole, key, bundle, Program(laptop))


def left(podman: PrivatePodman) -> list[str]:
    """What a visit has left there."""
    return podman.run("ps", "-aq").split() + podman.run("images", "-aq").split()


def test_the_file_has_all_that_is_needed(scene: Scene, laptop: PrivatePodman) -> None:
    inside = "cat /tmp/last; echo; id -u; ls /sys/class/net; echo $GREETING; hostname"
    done = scene.open(scene.whole, "--key", scene.key, "--", "sh", "-c", inside)
    assert done.out.splitlines()[:4] == [LAST, "1000", "lo", "Good evening"]
    assert "DOOR_KEY" in done.err, "what is not in the file is said"
    given = scene.open(scene.whole, "--key", scene.key, "-e", "DOOR_KEY=1234", "--", "sh", "-c", "echo $DOOR_KEY")
    assert given.out == "1234\n"
    assert "hello/web: ended by SIGKILL" in done.err
    assert scene.open(scene.whole, "--key", scene.key, "--", "no-such-thing", check=False).code == 127
    command = shlex.join([*scene.program.command, "crash", "open", str(scene.whole), "--key", str(scene.key)])
    shell = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        env=scene.program.environment(TERM="xterm"),
        input=b"cat /tmp/last; exit 5\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (shell.returncode, LAST.encode() in shell.stdout) == (5, True), shell.stdout.decode()
    assert left(laptop) == []


def test_without_the_image_it_takes_the_bundle_or_podmans_own(
    scene: Scene, laptop: PrivatePodman, workshop: PrivatePodman
) -> None:
    assert scene.small.stat().st_size < 200_000 < scene.whole.stat().st_size
    none = scene.open(scene.small, "--key", scene.key, "--", "cat", "/tmp/last", check=False)
    assert (none.code, "--with-image" in none.err, "--bundle" in none.err) == (4, True, True)
    given = scene.open(scene.small, "--key", scene.key, "--bundle", scene.bundle, "--", "cat", "/tmp/last")
    assert given.out == LAST
    assert left(laptop) == []
    before = left(workshop)
    author = scene.program.run(
        "crash", "open", scene.small, "--key", scene.key, "--podman", workshop.url, "--", "cat", "/tmp/last"
    )
    assert author.out == LAST, "where it was built, the image is there"
    assert left(workshop) == before


def test_an_unknown_box_is_never_silently_believed(scene: Scene, author: Author, laptop: PrivatePodman) -> None:
    command = ("--", "cat", "/tmp/last")
    unknown = scene.open(scene.whole, *command, check=False)
    assert (unknown.code, unknown.out) == (3, "")
    assert "minipaas crash key" in unknown.err
    assert scene.open(scene.whole, "--key", author.public, *command, check=False).code == 3
    assert scene.open(scene.whole, "--yes", *command).out == LAST
    shown = scene.program.run("crash", "show", scene.whole).out
    assert "nobody here knows whose that is" in shown
    assert "the image is in the file" in shown


def test_a_killed_visit_leaves_nothing_for_long(scene: Scene, laptop: PrivatePodman) -> None:
    def begin() -> subprocess.Popen[bytes]:
        command = ["crash", "open", scene.whole, "--key", scene.key, "--", "sleep", "60"]
        visit = subprocess.Popen(
            [*scene.program.command, *command],
            env=scene.program.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for("the command in the scene", lambda: "sleep 60" in laptop.run("top", "-l", "args", check=False))
        return visit

    asked = begin()
    asked.send_signal(signal.SIGTERM)
    assert asked.wait(30) == 128 + signal.SIGTERM
    assert left(laptop) == []
    killed = begin()
    killed.kill()
    killed.wait(10)
    assert len(laptop.run("ps", "-q").split()) == 1
    living = begin()
    assert len(laptop.run("ps", "-q").split()) == 1, "the one who is killed has left nothing, and who is alive goes on"
    scene.open(scene.whole, "--key", scene.key, "--", "sh", "-c", ":")
    assert len(laptop.run("ps", "-q").split()) == 1
    living.terminate()
    living.wait(30)
    assert left(laptop) == []
