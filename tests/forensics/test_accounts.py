"""/etc/passwd and /etc/group: whose change it is."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator

import pytest

from minipaas.forensics import accounts, limits
from minipaas.model.capsule import FileChange, Touched
from minipaas.model.errors import EngineError

MADE = 1_000.0
ROOT = "root:x:0:0:root:/root:/bin/bash\n"
PODMANS = "1234:*:1234:1234:container user:/:/bin/sh\n"
GROUP = "root:x:0:\n"
PODMANS_GROUP = "1234:x:1234:1234\n"


class Files:
    """Of a container, each with when it was written."""

    def __init__(self, **files: tuple[str, float]) -> None:
        self.files = {f"/etc/{name}": found for name, found in files.items()}

    @contextlib.contextmanager
    def tar(self, container: str, path: str) -> Iterator[tarfile.TarFile]:
        if path not in self.files:
            raise EngineError(f"cannot read {path}: not there", code="engine.missing")
        text, written = self.files[path]
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            info = tarfile.TarInfo(path.rpartition("/")[2])
            info.size, info.mtime = len(text), int(written)
            tar.addfile(info, io.BytesIO(text.encode()))
        out.seek(0)
        with tarfile.open(fileobj=out, mode="r|") as tar:
            yield tar


@pytest.mark.parametrize(
    ("text", "written", "podmans"),
    [
        (ROOT + PODMANS, MADE, True),
        (ROOT + PODMANS, MADE + 3600, False),
        (ROOT, MADE, False),
        (ROOT + PODMANS + "eve:x:0:0::/:/bin/sh\n", MADE, False),
        (ROOT + PODMANS.replace(":1234:1234:", ":0:0:"), MADE, False),
        ("", MADE, False),
        ("x" * (limits.ACCOUNTS + 1), MADE, False),
    ],
)
def test_whose_it_is(text: str, written: float, podmans: bool) -> None:
    change = FileChange("/etc/passwd", Touched.MODIFIED, podmans=True)
    (found,) = accounts.checked(Files(passwd=(text, written)), "c", MADE, [change])
    assert found.podmans is podmans


def test_groups_have_their_own_line_and_nothing_else_is_read() -> None:
    there = Files(group=(GROUP + PODMANS_GROUP, MADE))
    group = FileChange("/etc/group", Touched.MODIFIED, podmans=True)
    other = FileChange("/etc/shadow", Touched.MODIFIED)
    assert accounts.checked(there, "c", MADE, [group, other]) == [group, other]
    there = Files(group=(GROUP + "wheel:x:10:eve\n", MADE))
    (found,) = accounts.checked(there, "c", MADE, [group])
    assert not found.podmans


def test_what_cannot_be_read_stays_as_it_was_told() -> None:
    change = FileChange("/etc/passwd", Touched.MODIFIED, podmans=True)
    assert accounts.checked(Files(), "c", MADE, [change]) == [change]
