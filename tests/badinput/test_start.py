"""`minipaas serve` that cannot start: it says why, exits, and leaves everything as it was."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minipaas.control.lock import DataLock
from minipaas.registry.registry import Registry
from tests.badinput.conftest import trust
from tests.badinput.live import LiveBox, program, told
from tests.badinput.shop import forge
from tests.fakepodman.server import FakePodman

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may enter (pytest's own are private)."""
    made = Path(tempfile.mkdtemp(prefix="mp-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def settings(place: Path, text: str) -> Path:
    file = place / "config.toml"
    file.write_text(text)
    return file


def quiet(place: Path, podman: str) -> Path:
    """A configuration whose ports disturb nobody."""
    text = '[api]\nlisten = ["127.0.0.1:0"]\n[ingress]\nhttp = ["127.0.0.1:0"]\n'
    return settings(place, f'{text}[podman]\nsocket = "unix://{podman}"\n')


def files(place: Path) -> dict[str, str]:
    """What lies there."""
    return {
        str(file.relative_to(place)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(place.rglob("*"))
        if file.is_file()
    }


# -- config.toml -------------------------------------------------------------------------------------------------------

CONFIGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown key": ("[api]\nlisen = []", ("api.lisen: unknown key", "did you mean listen?")),
    "unknown table": ("[podmann]\nsocket = ''", ("podmann: unknown key", "did you mean podman?")),
    "a key like no other": ("[limits]\nzzz = 1", ("limits.zzz: unknown key", "valid keys here: bundle, keep_releases")),
    "not an address": ("[api]\nlisten = ['localhost']", ("'localhost' is not ADDRESS:PORT",)),
    "not a port": ("[ingress]\nhttp = ['0.0.0.0:http']", ("'0.0.0.0:http' is not ADDRESS:PORT",)),
    "no such port": ("[ingress]\nhttp = ['0.0.0.0:70000']", ("'0.0.0.0:70000' is not ADDRESS:PORT",)),
    "text for a list": ("[api]\nlisten = '127.0.0.1:7070'", ("api.listen: Expected `array`",)),
    "number for a flag": ("[api]\naccept_signed_uploads = 1", ("api.accept_signed_uploads: Expected `bool`",)),
    "not a socket": ("[podman]\nsocket = 'tcp://127.0.0.1:8080'", ("podman.socket must be unix:///path",)),
    "not a size": ("[limits]\nbundle = 'huge'", ("limits.bundle: 'huge' is not a size; write it like 512KiB",)),
    "not a duration": ("[limits]\nupload = '1 hour'", ("limits.upload: '1 hour' is not a duration",)),
    "no time": ("[limits]\nsilence = '0s'", ("limits.upload and limits.silence must be above 0",)),
    "no way back": ("[limits]\nkeep_releases = 1", ("limits.keep_releases must be at least 2",)),
    "not TOML": ("[api", ("config.toml",)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_is_wrong(box: LiveBox, tmp_path: Path, name: str) -> None:
    text, words = CONFIGS[name]
    said = box.cli("serve", "--config", settings(tmp_path, text), "--data", tmp_path / "data")
    told(said, 2, "cannot read", "config.toml", *words, hint="unknown" in words[0])
    assert not (tmp_path / "data").exists()


def test_a_configuration_that_is_not_there(box: LiveBox, tmp_path: Path) -> None:
    told(box.cli("serve", "--config", tmp_path / "none.toml"), 4, "there is no such file", hint=False)


@pytest.mark.parametrize("key", ["api", "ingress"])
def test_a_port_that_somebody_has(place: Path, key: str) -> None:
    with FakePodman(place) as fake, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        name = {"api": "listen", "ingress": "http"}[key]
        text = quiet(place, fake.socket).read_text().replace(f'{name} = ["127.0.0.1:0', f'{name} = ["127.0.0.1:{port}')
        said = program("serve", "--config", settings(place, text), "--data", place / "data")
        told(said, 3 if key == "api" else 1, f"cannot listen on 127.0.0.1:{port}: ")


# -- Podman ------------------------------------------------------------------------------------------------------------


def test_no_podman_socket(place: Path) -> None:
    said = program("serve", "--config", quiet(place, str(place / "none.sock")), "--data", place / "data")
    told(said, 1, f"cannot reach Podman: no socket at {place}/none.sock")
    assert "podman.socket in config.toml" in said.hint


def test_a_podman_socket_without_podman(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place / "dead.sock"))
    said = program("serve", "--config", quiet(place, str(place / "dead.sock")), "--data", place / "data")
    told(said, 1, f"cannot reach Podman: nobody answers on {place}/dead.sock")
    (place / "plain").write_text("x")
    said = program("serve", "--config", quiet(place, str(place / "plain")), "--data", place / "data")
    told(said, 1, f"cannot reach Podman: {place}/plain is not a socket")


def dropped() -> dict[str, object]:
    """How to start a program that may not do everything."""
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def own(path: Path) -> None:
    """Give it to the user of `dropped`."""
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def test_a_podman_socket_that_is_not_for_us(place: Path) -> None:
    data = place / "data"
    data.mkdir(mode=0o700)
    own(data)
    with FakePodman(place) as fake:
        Path(fake.socket).chmod(0o600 if os.geteuid() == 0 else 0)
        said = program(
            "serve", "--config", quiet(place, fake.socket), "--data", data, env={"HOME": str(data)}, **dropped()
        )
        told(said, 1, f"cannot reach Podman: no permission for {fake.socket}")
        assert "run minipaas as the user that owns the socket" in said.hint
        assert fake.containers == {}


# -- the data directory ------------------------------------------------------------------------------------------------


def test_a_data_directory_that_is_not_for_us(place: Path) -> None:
    data = place / "data"
    data.mkdir(mode=0o755 if os.geteuid() == 0 else 0o555)
    said = program("serve", "--config", quiet(place, "/nonexistent"), "--data", data, **dropped())
    told(said, 1, f"cannot use the data directory {data}: Permission denied")
    assert "minipaas serve --data DIR" in said.hint
    assert list(data.iterdir()) == []


def test_a_data_directory_that_is_none(place: Path) -> None:
    (place / "file").write_text("mine")
    said = program("serve", "--config", quiet(place, "/nonexistent"), "--data", place / "file" / "data")
    told(said, 1, "cannot use the data directory", "Not a directory")
    assert (place / "file").read_text() == "mine"


def test_a_data_directory_that_another_box_uses(place: Path) -> None:
    data = place / "data"
    lock = DataLock(data)
    try:
        before = files(data)
        said = program("serve", "--config", quiet(place, "/nonexistent"), "--data", data)
        told(said, 1, f"cannot start: another minipaas (pid {os.getpid()}) uses {data}")
        assert files(data) == before
    finally:
        lock.release()


# -- the registry ------------------------------------------------------------------------------------------------------


def newer(db: Path) -> None:
    with sqlite3.connect(db) as open_db:
        open_db.execute("PRAGMA user_version = 999")
    open_db.close()


def foreign(db: Path) -> None:
    db.unlink()
    with sqlite3.connect(db) as open_db:
        open_db.execute("CREATE TABLE song (title TEXT)")
    open_db.close()


def scribbled(db: Path) -> None:
    with db.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


def overwritten(db: Path) -> None:
    db.write_bytes(b"this is no database" * 1000)


REGISTRIES: dict[str, tuple[Callable[[Path], None], int, str, str]] = {
    "newer": (newer, 3, "its schema is version 999", "start the newer minipaas again"),
    "of another program": (foreign, 1, "it is a database of another program", "another data directory"),
    "scribbled over": (scribbled, 1, "it is damaged", "registry.db"),
    "overwritten": (overwritten, 1, "it is damaged", "registry.db"),
}


@pytest.mark.parametrize("name", REGISTRIES)
async def test_a_registry_that_cannot_be_used(place: Path, name: str) -> None:
    spoil, code, words, hint = REGISTRIES[name]
    data = place / "data"
    data.mkdir()
    await Registry.open(data / "registry.db").close()
    spoil(data / "registry.db")
    before = files(data)["registry.db"]
    with FakePodman(place) as fake:
        said = program("serve", "--config", quiet(place, fake.socket), "--data", data)
        told(said, code, f"the registry {data}/registry.db", words)
        assert hint in said.hint
        assert files(data)["registry.db"] == before, "it is left for who can read it"
        assert fake.containers == {}


def test_a_second_box_touches_nothing_of_the_first(place: Path) -> None:
    """Its directory is taken, so the second does not even look at Podman."""
    with LiveBox(place) as mine:
        trust(mine)
        assert mine.deploy(forge(version="1.0", sequence=100).build())["state"] == "done"
        lock = DataLock(mine.data)  # which the first holds when it is started by `serve`
        try:
            with mine.unchanged():
                calls = mine.fake.calls["GET info"]
                told(program("serve", "--config", quiet(place, mine.fake.socket), "--data", mine.data), 1, "another")
                assert mine.fake.calls["GET info"] == calls
        finally:
            lock.release()
