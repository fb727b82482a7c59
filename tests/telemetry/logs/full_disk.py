"""What the logs do on a full disk, in a mount of its own: python -m tests.telemetry.logs.full_disk DIRECTORY"""

from __future__ import annotations

import sys
from pathlib import Path

from minipaas.model.logs import Wanted
from minipaas.telemetry.logs.intake import Bounds, Intake
from minipaas.telemetry.logs.reading import Reading
from tests.telemetry.full_disk import fill
from tests.telemetry.logs.conmon import Conmon, source


def main(disk: Path, elsewhere: Path) -> None:
    """Nothing fails, nothing is lost: what finds no room stays in Podman's file."""
    conmon = Conmon(elsewhere / "ctr.log")
    intake = Intake(disk / "logs", Bounds(quota=1 << 30, keep=1e9, rate=0))
    wanted = {"c1": (source(), str(conmon.path))}

    def lines() -> list[str]:
        found = Reading(disk / "logs" / "shop", intake.tails.values()).newest(Wanted(), 10_000)
        return [line.text.decode() for line in found.lines]

    intake.follow(wanted)
    conmon.write("before")
    intake.round(force=True)
    filler = fill(disk)
    many = [f"line {number}" for number in range(5000)]
    conmon.write(*many)
    intake.round(force=True)
    assert lines() == ["before", *many], "they can be read all the same"
    filler.unlink()
    assert intake.round(force=True).stored
    assert lines() == ["before", *many]
    intake.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
