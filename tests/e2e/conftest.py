"""Real Podman, real boxes: one private Podman a session, and a fresh box a test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit.box import Author, Box, Program, prepare
from kit.podman import PodmanError, PrivatePodman

from tests.e2e.hello import HelloBundles

pytestmark = pytest.mark.e2e


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this directory is e2e."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.xdist_group("podman"))


def _podman() -> Iterator[PrivatePodman]:
    if os.geteuid() != 0:
        pytest.fail("these tests start containers on a private Podman: run them as root, or leave them out: --fast")
    try:
        with PrivatePodman() as started:
            yield started
    except PodmanError as error:
        pytest.fail(f"these tests need a working Podman: {error}")


@pytest.fixture(scope="session")
def podman() -> Iterator[PrivatePodman]:
    """The boxes' Podman; gone at the end, with everything in it."""
    yield from _podman()


@pytest.fixture(scope="session")
def workshop() -> Iterator[PrivatePodman]:
    """The author's Podman, another one: what a box runs has come to it in a bundle."""
    yield from _podman()


@pytest.fixture(scope="session")
def program(podman: PrivatePodman) -> Program:
    """The real command line, from the sources, on a box."""
    return Program(podman)


@pytest.fixture(scope="session")
def author(workshop: PrivatePodman) -> Author:
    """Who signs the bundles of these tests."""
    one = Author(workshop.directory / "author", Program(workshop))
    one.make_keys()
    return one


@pytest.fixture(scope="session")
def hello(workshop: PrivatePodman, author: Author) -> HelloBundles:
    """Bundles of hello."""
    prepare("hello", workshop)
    return HelloBundles(workshop.directory / "hello", author)


@pytest.fixture(scope="session")
def example(workshop: PrivatePodman, author: Author) -> Callable[[str], Path]:
    """The bundle of an example, as it is in the repository; made once."""
    made: dict[str, Path] = {}

    def bundle(name: str) -> Path:
        if name not in made:
            made[name] = author.build(prepare(name, workshop), name)
        return made[name]

    return bundle


@pytest.fixture
def boxes(program: Program, request: pytest.FixtureRequest) -> Iterator[Callable[..., Box]]:
    """Makes boxes; at the end they are stopped, and every container, network and volume is removed."""
    made: list[Box] = []
    base = program.podman.directory / "boxes"

    def make(**options: object) -> Box:
        number = len(list(base.iterdir())) if base.exists() else 0
        box = Box(base / f"{number}-{request.node.name[:40]}", program, **options)  # type: ignore[arg-type]
        made.append(box)
        return box

    yield make
    if getattr(request.node, "failed", False):
        for box in made:
            print(box.story())
    for box in made:
        with contextlib.suppress(Exception):
            box.stop()
    podman = program.podman
    podman.run("rm", "--all", "--force", "--time", "0", check=False)
    podman.run("network", "prune", "--force", check=False)
    podman.run("volume", "prune", "--force", check=False)
    podman.run("rmi", "--all", "--force", check=False)


@pytest.fixture
def box(boxes: Callable[..., Box], author: Author) -> Box:
    """A running box that trusts the author."""
    one = boxes()
    one.start()
    one.cli("trust", "add", author.root)
    return one


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know how the test ended."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
