"""Who fails leaves a capsule that says why, and is replaced all the same."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import zstandard

from minipaas.forensics.shelf import FILES, LOG
from minipaas.model.capsule import Capsule, CapsuleGroup, Cause, Touched
from tests.boxes import RunningBox, running_box, toml
from tests.fakepodman.behaviour import Behaviour
from tests.fakepodman.server import FakePodman


async def group(box: RunningBox, count: int = 1) -> tuple[CapsuleGroup, Capsule]:
    """The newest group once it has so many failures."""

    def look() -> CapsuleGroup | None:
        found = box.control.shelf.groups("shop")
        return found[0] if found and found[0].count >= count else None

    found = await box.until(look)
    assert isinstance(found, CapsuleGroup)
    return box.control.shelf.find(found.id)


def members(path: Path) -> dict[str, bytes]:
    """The regular files of an archive of a capsule."""
    plain = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isreg()}  # type: ignore[union-attr]


def in_pieces(log: Path, *lines: tuple[str, str, str]) -> None:
    """Stream, tag and text, as conmon writes what comes in pieces, and what has no end."""
    with log.open("ab") as file:
        for words in lines:
            file.write(f"2026-11-24T11:40:58.123456789+00:00 {' '.join(words)}\n".encode())


async def deployed(box: RunningBox, **more: object) -> str:
    await box.trust()
    await box.deploy(toml(**more))  # type: ignore[arg-type]
    (name,) = box.running()
    return name


async def test_a_capsule_says_why_without_the_container(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await deployed(box, extra='command = ["serve", "--fast"]\n')
        fake.log(name, "ready", "cannot open /var/lib/x: no space left")
        fake.write(name, "/tmp/last", b"the last thing it wrote")
        fake.write(name, "/var/lib/x/half", b"half a file")
        fake.write(name, "/core.7", b"\x7fELF")
        fake.crash(name, 139)
        found, capsule = await group(box)
        assert (found.count, found.app, found.service, found.kept) == (1, "shop", "web", (capsule.id,))
        assert (capsule.cause, capsule.exit_code, capsule.signal) == (Cause.SIGNAL, 139, "SIGSEGV")
        assert capsule.reason == "ended by SIGSEGV"
        assert capsule.version == "1.0"
        assert capsule.last_words[-1] == "cannot open /var/lib/x: no space left"
        assert [(one.path, one.what) for one in capsule.changes] == [
            ("/tmp/last", Touched.ADDED),
            ("/core.7", Touched.ADDED),
            ("/var/lib/x/half", Touched.ADDED),
        ]
        assert capsule.cores == ("/core.7",)
        assert capsule.probes[0].detail == "GET /: 200"
        assert capsule.host is not None and capsule.host.memory_total > 0
        assert [one.action for one in capsule.audit] == ["deploy", "trust.add"]
        assert capsule.missing == ()

        await box.until(lambda: box.running() and box.running() != [name])
        place = box.control.shelf.file(found, capsule.id, FILES)
        kept = members(place)
        assert kept["tmp/last"] == b"the last thing it wrote"
        assert kept["var/lib/x/half"] == b"half a file"
        assert capsule.files_size == place.stat().st_size
        assert "no space left" in box.control.shelf.file(found, capsule.id, LOG).read_text()


async def test_secrets_are_not_kept(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await deployed(box)
        fake.container(name).body["env"] = {
            "DB_PASSWORD": "hunter2",
            "URL": "postgres://shop:hunter2@db/shop",
            "LEVEL": "info",
        }
        fake.crash(name)
        _, capsule = await group(box)
        assert capsule.environment["LEVEL"] == "info"
        assert capsule.environment["URL"] == "postgres://…@db/shop"
        everything = b"".join(one.read_bytes() for one in (tmp_path / "data/crashes").rglob("*") if one.is_file())
        assert b"DB_PASSWORD" in everything
        assert b"hunter2" not in everything


async def test_equal_failures_are_one_group_and_cost_bounded_disk(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        await deployed(box)
        for number in range(1, 5):
            names = await box.until(box.running)
            assert isinstance(names, list)
            fake.log(names[0], f"request {number * 1111} failed at 0x{number:08x}")
            fake.crash(names[0], 3)
            found, capsule = await group(box, number)
            await box.until(lambda before=names: box.running() and box.running() != before)
        assert (found.count, len(found.kept)) == (4, 2)
        assert capsule.id == found.kept[-1]
        assert capsule.last_words[-1] == "request 4444 failed at 0x00000004"
        names = box.running()
        fake.log(names[0], "something else")
        fake.crash(names[0], 3)
        await box.until(lambda: len(box.control.shelf.groups("shop")) == 2)


async def test_what_hangs_is_looked_at_before_it_is_stopped(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await deployed(box)
        fake.change(name, Behaviour(status=500))
        _, capsule = await group(box)
        assert capsule.cause is Cause.HEALTH
        assert capsule.reason.startswith("failed its health check")
        assert not capsule.probes[-1].ok
        assert any("500" in probe.detail for probe in capsule.probes)
        assert capsule.alive is not None


async def test_none_is_counted_twice_over_a_restart(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await deployed(box)
        fake.crash(name)
        _, before = await group(box)
    async with running_box(fake, tmp_path) as box:
        await box.until(box.running)
        (name,) = box.running()
        fake.crash(name)
        found, _ = await group(box, 2)
        assert (found.count, found.kept[0]) == (2, before.id)


async def test_its_last_lines_are_those_that_the_box_keeps(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await deployed(box)
        fake.log(name, *(f"line {number}" for number in range(1500)))
        in_pieces(
            fake.container(name).log_file,
            ("stdout", "P", "one long "),
            ("stderr", "F", "meanwhile"),
            ("stdout", "F", "line"),
            ("stdout", "P", "no end"),
        )
        fake.crash(name, 3)
        found, capsule = await group(box)
        assert capsule.last_words[-4:] == ("line 1499", "one long line", "meanwhile", "no end")
        assert capsule.log_lines == 1000
        assert "line 1499\none long line\n" in box.control.shelf.file(found, capsule.id, LOG).read_text()
        assert capsule.missing == ()


async def test_podmans_tail_is_the_last_resort_and_said(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        fake.behave(Behaviour(hides_log=True))
        name = await deployed(box)
        fake.log(name, "the last word")
        fake.crash(name, 3)
        _, capsule = await group(box)
        assert capsule.last_words[-1] == "the last word"
        assert any("these lines are Podman's" in one for one in capsule.missing)


async def test_it_says_what_changed_since_it_served_well(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await deployed(box)
        fake.crash(name, 3)
        _, alone = await group(box)
        assert alone.since is not None
        assert (alone.since.release, alone.since.well) == ("", True)
        good = box.instances()[0].release
    machine = tmp_path / "data/machine.json"
    machine.write_text(machine.read_text().replace("4.3.1", "4.2.0"))
    async with running_box(fake, tmp_path) as box:
        changed = toml(version="2.0", replicas=2).replace("env = {", 'env = { DOOR = "hunter2",')
        await box.deploy(changed, version="2.0")
        (name, *_) = await box.until(lambda: box.running() if len(box.running()) == 2 else [])
        fake.log(name, "something else")
        fake.crash(name, 4)
        found = await box.until(lambda: [one for one in box.control.shelf.groups() if "code 4" in one.reason])
        since = box.control.shelf.find(found[0].id)[1].since
        assert since is not None
        assert (since.release, since.version, since.well) == (good, "1.0", True)
        settings = {one.key: (one.before, one.after) for one in since.settings}
        assert settings == {"services.web.env.DOOR": (None, None), "services.web.replicas": ("1", "2")}
        assert "hunter2" not in str(since)
    assert {one.what for one in since.machine} <= {"podman", "boot"}


async def test_a_scene_that_cannot_be_read_whole_says_so(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        name = await deployed(box)
        fake.refuse(r"GET .*/changes", times=9)
        fake.crash(name)
        _, capsule = await group(box)
        assert any(one.startswith("changed files: ") for one in capsule.missing)
        assert capsule.reason == "exit code 1"
