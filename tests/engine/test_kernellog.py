"""The kernel's log, read for what it says of a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.engine.kernellog import killed_for_memory

ID = "53d5a1f9dd25b21955b06e092e96960034fa8638f8f11f7b331e621480aed36f"
OTHER = ID.replace("53d5", "99d5")
# As Linux 6.18 has it.
RECORD = (
    "4,2015,27870916601,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=libpod-{id},mems_allowed=0,"
    "oom_memcg={memcg},task_memcg={memcg},task=python3,pid=8680,uid=1000\n"
)
PLACES = (
    "/libpod_parent/libpod-{id}",
    "/machine.slice/libpod-{id}.scope",
    "/machine.slice/libpod-{id}.scope/container",
)


@pytest.mark.parametrize("place", PLACES)
def test_who_was_killed_for_its_own_limit(tmp_path: Path, place: str) -> None:
    log = tmp_path / "kmsg"
    log.write_text("6,1,2,-;veth17: entered disabled state\n" + RECORD.format(id=ID, memcg=place.format(id=ID)))
    assert killed_for_memory(ID, log)
    assert not killed_for_memory(OTHER, log)


def test_a_host_without_memory_is_not_the_limit_of_a_container(tmp_path: Path) -> None:
    log = tmp_path / "kmsg"
    log.write_text(
        f"4,1,2,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
        f"task_memcg=/libpod_parent/libpod-{ID},task=python3,pid=8680,uid=1000\n"
    )
    assert not killed_for_memory(ID, log)


def test_a_log_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert not killed_for_memory(ID, tmp_path / "nothing")
