"""Which release a program is, and whether its author still allows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.install.layout import Version
from minipaas.model.errors import Refused
from minipaas.model.release import Floor
from minipaas.takeover.origins import NAME, Origin, Origins, refuse_below
from tests.registry.made import release

TARGET = Version(Path("/opt/minipaas/versions/1.0.0-0123456789ab"))


def test_programs_are_remembered_as_long_as_they_are_here(tmp_path: Path) -> None:
    origins = Origins(tmp_path)
    assert origins.of("1.0-a") is None
    origins.note("1.0-a", release(1, "minipaas"), ["1.0-a"])
    origins.note("2.0-b", release(2, "minipaas"), ["1.0-a", "2.0-b"])
    assert Origins(tmp_path).of("1.0-a") == Origin(release(1, "minipaas").digest, 1, 1)
    origins.note("3.0-c", release(3, "minipaas"), ["2.0-b", "3.0-c"])
    assert [origins.of(name) is not None for name in ("1.0-a", "2.0-b", "3.0-c")] == [False, True, True]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    (tmp_path / NAME).write_text("{")
    assert origins.of("3.0-c") is None


@pytest.mark.parametrize(
    ("epoch", "sequence", "floor", "allowed"),
    [
        (1, 5, Floor(epoch=1, sequence=9, min_sequence=5), True),
        (1, 4, Floor(epoch=1, sequence=9, min_sequence=5), False),
        (1, 9, Floor(epoch=2, sequence=1, min_sequence=0), False),
        (2, 1, Floor(epoch=2, sequence=9, min_sequence=0), True),
        (0, 0, Floor(epoch=1, sequence=9, min_sequence=0), True),
        (0, 0, Floor(epoch=1, sequence=9, min_sequence=1), False),
    ],
)
def test_what_the_author_no_longer_allows_is_not_gone_back_to(
    epoch: int, sequence: int, floor: Floor, allowed: bool
) -> None:
    origin = Origin("sha256:x", epoch, sequence) if epoch else None
    if allowed:
        refuse_below(TARGET, origin, {"minipaas": floor})
        return
    with pytest.raises(Refused, match=r"cannot go back to minipaas 1\.0\.0: it") as refused:
        refuse_below(TARGET, origin, {"minipaas": floor})
    assert refused.value.code == "release.below_floor"
    assert refused.value.hint.endswith(f"{TARGET.executable} install")


def test_a_box_that_never_took_a_bundle_of_minipaas_forbids_nothing() -> None:
    refuse_below(TARGET, None, {"shop": Floor(epoch=1, sequence=9, min_sequence=9)})
