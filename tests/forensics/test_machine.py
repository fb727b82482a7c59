"""What the box ran on, and what of it is different now."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from minipaas.forensics import limits
from minipaas.forensics.machine import Machines, differences
from minipaas.model.capsule import Machine, MachineChange

MACHINE = Machine(
    minipaas="0.1.0", podman="4.3.1", runtime="crun", kernel="Linux 6.1", boot="a", memory=1 << 33, disk=1 << 38
)


def test_what_it_was_then(tmp_path: Path) -> None:
    newer = replace(MACHINE, kernel="Linux 6.6", boot="b")
    for now, machine in ((100.0, MACHINE), (200.0, MACHINE), (300.0, newer)):
        Machines(tmp_path).see(now, machine)
    found = Machines(tmp_path)
    assert found.at(99) is None
    assert found.at(100) == found.at(299) == MACHINE
    assert found.at(300) == found.at(1e10) == newer


def test_the_file_does_not_grow_for_ever_and_may_be_broken(tmp_path: Path) -> None:
    for number in range(limits.MACHINES + 10):
        Machines(tmp_path).see(float(number), replace(MACHINE, boot=str(number)))
    assert Machines(tmp_path).at(5) is None
    assert (tmp_path / "machine.json").stat().st_size < limits.MACHINES * 200
    (tmp_path / "machine.json").write_bytes(b"{")
    Machines(tmp_path).see(1.0, MACHINE)
    assert Machines(tmp_path).at(1) == MACHINE


def test_only_what_people_would_call_different() -> None:
    assert differences(MACHINE, replace(MACHINE, memory=MACHINE.memory + 4096)) == ()
    changed = differences(MACHINE, replace(MACHINE, podman="5.4.0", boot="b", memory=1 << 34))
    assert changed == (
        MachineChange(what="podman", before="4.3.1", after="5.4.0"),
        MachineChange(what="boot", before="", after=""),
        MachineChange(what="memory", before="8.0 GiB", after="16.0 GiB"),
    )
