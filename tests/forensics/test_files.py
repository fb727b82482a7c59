"""What an instance has written: what is asked for, what is kept, what is left out and named."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from minipaas.forensics import files, limits
from minipaas.model.capsule import FileChange, Touched
from minipaas.model.errors import EngineError, Refused

ADDED, MODIFIED, REMOVED = Touched.ADDED, Touched.MODIFIED, Touched.REMOVED


class Container:
    """What Podman gives for each path: members by name, sizes that may be a lie."""

    def __init__(self, **archives: list[tarfile.TarInfo]) -> None:
        self.archives = {f"/{name.replace('__', '/')}": members for name, members in archives.items()}
        self.asked: list[str] = []

    @contextlib.contextmanager
    def tar(self, container: str, path: str) -> Iterator[tarfile.TarFile]:
        self.asked.append(path)
        if path not in self.archives:
            raise EngineError(f"cannot read {path}: not there", code="engine.missing")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for member in self.archives[path]:
                tar.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
        out.seek(0)
        with tarfile.open(fileobj=out, mode="r|") as tar:
            yield tar


def member(name: str, size: int = 1, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size if kind == tarfile.REGTYPE else 0
    info.type = kind
    info.linkname = link
    return info


def kept(path: Path) -> list[str]:
    plain = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return tar.getnames()


def changes(**found: Touched) -> list[FileChange]:
    return [FileChange(f"/{name.replace('__', '/')}", what) for name, what in sorted(found.items())]


@pytest.mark.parametrize(
    ("found", "own"),
    [
        (changes(etc=MODIFIED, etc__hosts=ADDED, run=MODIFIED, run__x=ADDED), []),
        (changes(var=MODIFIED, var__lib=MODIFIED, var__lib__x=ADDED), ["/var/lib/x"]),
        (changes(srv=MODIFIED), ["/srv"]),
        (changes(etc=MODIFIED, etc__passwd=MODIFIED), ["/etc/passwd"]),
        (changes(etc=ADDED, etc__passwd=ADDED, var=ADDED, var__tmp=ADDED, tmp=ADDED), []),
        (changes(etc=ADDED, etc__passwd=ADDED, etc__new=ADDED), ["/etc", "/etc/new"]),
        (changes(bin__sh=REMOVED), ["/bin/sh"]),
        (changes(tmpfile=ADDED), ["/tmpfile"]),
    ],
)
def test_what_counts_as_its_own(found: list[FileChange], own: list[str]) -> None:
    assert [one.path for one in files.own(found)] == own


def test_what_podman_may_have_written_is_marked() -> None:
    """It adds a line for a numeric user; whoever else may have changed these files stays in sight."""
    found = changes(etc=MODIFIED, etc__group=MODIFIED, etc__passwd=MODIFIED, etc__shadow=MODIFIED)
    assert [(one.path, one.podmans) for one in files.own(found)] == [
        ("/etc/group", True),
        ("/etc/passwd", True),
        ("/etc/shadow", False),
    ]
    assert [one.podmans for one in files.own(changes(etc__passwd=REMOVED))] == [False]


def test_a_new_directory_stands_for_all_that_is_in_it() -> None:
    found = changes(a=ADDED, a__b=ADDED, a__b__c=ADDED, bin__x=REMOVED, etc__passwd=MODIFIED)
    assert files.tops(found) == ["/a", "/etc/passwd"]


def test_names_are_whole(tmp_path: Path) -> None:
    container = Container(
        tmp=[member("", kind=tarfile.DIRTYPE), member("/last"), member("/d/e"), member("/s", kind=tarfile.FIFOTYPE)],
        var__lib__x=[
            member("x", kind=tarfile.DIRTYPE),
            member("x/y"),
            member("x/z", kind=tarfile.LNKTYPE, link="x/y"),
            member("x/core.12"),
        ],
    )
    done = files.collect(container, "c", changes(var__lib__x=ADDED, var__lib__x__y=ADDED), tmp_path / "f")
    assert kept(tmp_path / "f") == [
        "tmp",
        "tmp/last",
        "tmp/d/e",
        "var/lib/x",
        "var/lib/x/y",
        "var/lib/x/z",
        "var/lib/x/core.12",
    ]
    assert done.cores == ["/var/lib/x/core.12"]
    assert done.missing == []
    assert container.asked == ["/tmp", "/var/tmp", "/var/lib/x"]


def test_of_a_directory_whose_mode_has_changed_only_that_is_kept(tmp_path: Path) -> None:
    container = Container(srv=[member("srv", kind=tarfile.DIRTYPE), member("srv/of-the-image")])
    files.collect(container, "c", changes(srv=MODIFIED), tmp_path / "f")
    assert kept(tmp_path / "f") == ["srv"]


def test_what_is_too_large_is_named_and_the_rest_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILES", 1000)
    container = Container(tmp=[member("", kind=tarfile.DIRTYPE), member("/a", 600), member("/b", 600), member("/c", 9)])
    done = files.collect(container, "c", [], tmp_path / "f")
    assert kept(tmp_path / "f") == ["tmp", "tmp/a", "tmp/c"]
    assert done.missing == ["/tmp/b: 600 B, too large to keep"]


def test_what_lies_in_scratch_is_listed_first_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILES", 1000)
    container = Container(
        tmp=[
            member("", kind=tarfile.DIRTYPE),
            member("/last", 5),
            member("/d", kind=tarfile.DIRTYPE),
            member("/d/large", 2000),
            member("/at", kind=tarfile.SYMTYPE, link="d"),
            member("/p", kind=tarfile.FIFOTYPE),
        ],
        etc__app=[member("app", 7)],
    )
    found = changes(bin__sh=REMOVED, etc__app=MODIFIED)
    done = files.collect(container, "c", found, tmp_path / "f")
    assert done.listed(found) == (
        FileChange("/tmp/last", ADDED, 5),
        FileChange("/tmp/d/large", ADDED, 2000),
        FileChange("/tmp/at", ADDED),
        FileChange("/bin/sh", REMOVED),
        FileChange("/etc/app", MODIFIED, 7),
    )


def test_a_volume_in_the_place_of_scratch_is_left_alone(tmp_path: Path) -> None:
    container = Container(tmp=[member("", kind=tarfile.DIRTYPE), member("/orders")])
    done = files.collect(container, "c", [], tmp_path / "f", volumes=("/tmp",))
    assert (kept(tmp_path / "f"), done.listed([])) == ([], ())


def test_there_is_a_bound_on_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS", 2)
    container = Container(tmp=[member("", kind=tarfile.DIRTYPE), member("/a"), member("/b"), member("/c")])
    done = files.collect(container, "c", [], tmp_path / "f")
    assert kept(tmp_path / "f") == ["tmp", "tmp/a"]
    assert any("more than 2 files" in one for one in done.missing)


def test_a_container_that_is_gone_leaves_an_empty_archive(tmp_path: Path) -> None:
    done = files.collect(Container(), "c", changes(a=ADDED), tmp_path / "f")
    assert (done.members, kept(tmp_path / "f")) == (0, [])


def packed(*members: tarfile.TarInfo, format: int = tarfile.PAX_FORMAT, more: bytes = b"") -> io.BytesIO:  # noqa: A002
    """An archive as somebody else might write it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for one in members:
            tar.addfile(one, io.BytesIO(bytes(one.size)) if one.isreg() else None)
    return io.BytesIO(zstandard.ZstdCompressor().compress(out.getvalue() + more))


def sparse() -> tarfile.TarInfo:
    info = member("tmp/zeros")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)}
    return info


@pytest.mark.parametrize(
    "archive",
    [
        packed(member("../etc/passwd")),
        packed(member("/etc/passwd")),
        packed(member("dev/mem", kind=tarfile.CHRTYPE)),
        packed(member("tmp/disk", kind=tarfile.BLKTYPE)),
        packed(member("tmp/pipe", kind=tarfile.FIFOTYPE)),
        packed(member("tmp/own", kind=tarfile.LNKTYPE, link="../../etc/shadow")),
        packed(member("tmp/large", size=limits.FILES), more=bytes(limits.UNPACKED)),
        packed(sparse()),
        io.BytesIO(b"no zstd"),
        io.BytesIO(zstandard.ZstdCompressor().compress(b"no tar" * 200)),
    ],
    ids=["above", "absolute", "device", "disk", "pipe", "hard link", "bomb", "sparse", "no zstd", "no tar"],
)
def test_what_no_box_writes_is_not_unpacked(archive: io.BytesIO) -> None:
    archive.seek(0)
    with pytest.raises(Refused, match="cannot open the scene with its files") as caught:
        for piece in files.unpacked(archive):
            assert len(piece) < 1 << 20
    assert caught.value.code == "crash.unsafe"


def test_what_a_box_writes_is(tmp_path: Path) -> None:
    container = Container(tmp=[member("tmp", kind=tarfile.DIRTYPE), member("tmp/a", 70_000)])
    files.collect(container, "c", [], tmp_path / "files")
    with (tmp_path / "files").open("rb") as file:
        plain = b"".join(files.unpacked(file))
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        assert tar.getnames() == ["tmp", "tmp/a"]
