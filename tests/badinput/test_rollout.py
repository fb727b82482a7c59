"""Releases that are in order and do not work: the box says why, and what served before goes on to serve."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.badinput.conftest import trust
from tests.badinput.live import LiveBox, Said, told
from tests.badinput.shop import forge
from tests.boxes import toml

HOOK = '[services.web.hooks]\nrelease = ["migrate"]\ntimeout = "{}"\n'


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[LiveBox]:
    """A box of one's own, on which `shop` 1.0 serves."""
    with LiveBox(tmp_path) as one:
        trust(one)
        assert one.deploy(forge(version="1.0", sequence=100).build())["state"] == "done"
        yield one


def bundle(mine: LiveBox, fake: str, extra: str = "", deadline: str = "60s") -> Path:
    """2.0, whose container behaves like that."""
    text = toml("shop", "2.0", fake=fake, extra=extra, deadline=deadline)
    if fake == "hangs=1":
        text = text.replace('timeout = "5s"', 'timeout = "1s"')
    file = mine.directory / "2.0.bundle"
    file.write_bytes(forge(version="2.0", sequence=200, app_toml=text).build())
    return file


BROKEN: dict[str, tuple[str, str, str, str]] = {
    "never healthy": (
        "status=503",
        "",
        "60s",
        "web #1 failed its health check (GET /: 503) before the switch",
    ),
    "never listens": (
        "refuses=1",
        "",
        "60s",
        "web #1 failed its health check (GET /: connection refused) before the switch",
    ),
    "never answers": ("hangs=1", "", "60s", "web #1 failed its health check (GET /: "),
    "dies": ("exit_code=7", "", "60s", "web #1 exited with code 7 (attempt 3) before the switch"),
    "not ready in time": ("start_delay=60", "", "300ms", "was not ready within 300ms"),
    "hook fails": ("exit_code=4", HOOK.format("30s"), "60s", "the release hook of web exited with code 4"),
    "hook hangs": (
        "exit_code=0 lifetime=60",
        HOOK.format("1s"),
        "60s",
        "cannot finish the release hook of web: not done within 1 s",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_release_that_does_not_work(mine: LiveBox, name: str) -> None:
    fake, extra, deadline, words = BROKEN[name]
    served = mine.get()
    before = {container: one.id for container, one in mine.fake.containers.items()}
    said: Said = mine.cli("deploy", bundle(mine, fake, extra, deadline))
    told(said, 1, f"cannot deploy shop 2.0: {words}" if "within 300ms" not in words else words)
    assert said.why.startswith("cannot deploy shop 2.0: ")
    assert said.hint.startswith("1.0 still serves; the steps: minipaas changes ")
    assert mine.get() == served == (200, "minipaas-shop-web-1-1")
    mine.until(lambda: mine.fake.running == ["minipaas-shop-web-1-1"])
    assert mine.fake.containers["minipaas-shop-web-1-1"].id == before["minipaas-shop-web-1-1"]
    app = mine.app()
    assert (app["serving"]["version"], app["change"]["state"]) == ("1.0", "failed")
    assert words in app["change"]["reason"]
    status = mine.cli("status", "shop")
    assert status.code == 0
    assert words in " ".join(status.out.split()), status.out
    assert mine.audit()[0]["action"] == "deploy"


def test_podman_that_dies_and_stays_away(mine: LiveBox) -> None:
    """The box answers, says why it cannot go on, and the app does not notice."""
    mine.fake.drop("containers/create", 1)
    said = mine.cli("deploy", bundle(mine, ""), "--no-wait")
    assert said.code == 0, said
    mine.fake.down()
    facts = mine.until(lambda: mine.ask("GET", "/api/v1/box").json["trouble"])
    assert str(facts).startswith("cannot ")
    assert mine.get() == (200, "minipaas-shop-web-1-1")
    status = mine.cli("status")
    assert status.code == 0
    assert "Podman" in status.out + status.err, status
    app = mine.app()
    assert (app["serving"]["version"], app["change"]["active"]) == ("1.0", True)
    assert mine.ask("GET", "/healthz").status == 200
    page = mine.ask("GET", "/", None, {"Accept": "text/html"})
    assert page.status == 200
    assert b"Podman" in page.body
    logs = mine.cli("logs", "shop")
    assert "Traceback" not in logs.err
    answer = mine.put(forge(version="3.0", sequence=300).build())
    assert answer.status == 202, "a new release is accepted, and waits for Podman too"
    assert (mine.data / "staging").exists()
    assert list((mine.data / "staging").iterdir()) == []


def test_a_container_that_podman_will_not_start(mine: LiveBox) -> None:
    said = mine.cli("deploy", bundle(mine, "fails_to_start=exec:-no-such-file"))
    told(said, 1, "cannot deploy shop 2.0: ", "exec:-no-such-file")
    assert mine.get() == (200, "minipaas-shop-web-1-1")


def test_a_published_port_that_another_program_has(mine: LiveBox) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = toml("radio", "1.0", routes="", extra=f'ports = ["127.0.0.1:{port}:80"]')
        file = mine.directory / "radio.bundle"
        file.write_bytes(forge("radio", "1.0", 1, app_toml=text).build())
        said = mine.cli("deploy", file)
    told(said, 1, "cannot deploy radio 1.0: ")
    assert "ddress already in use" in said.err
    assert mine.get() == (200, "minipaas-shop-web-1-1")
