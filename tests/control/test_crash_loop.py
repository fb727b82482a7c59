"""A crash loop, through a whole box: it is counted to the last one, and costs no more than a few crashes."""

from __future__ import annotations

import time
from pathlib import Path

from minipaas.model.capsule import CapsuleGroup
from tests.boxes import RunningBox, running_box, toml
from tests.fakepodman.server import FakePodman

CRASHES = 500
EACH = 50
SERVICES = ("web", "more")
"""So many crash at once that not all wait for their turn: some are only counted."""
MORE = f"""
[services.more]
image = "x"
port = 8080
replicas = {EACH}
stop = "1s"
health = {{ http = "/", interval = "100ms", timeout = "1s", grace = "500ms", retries = 2 }}
"""
WRITTEN = 64 * 1024
ROOM = 2 * len(SERVICES) * 32 * 1024
"""On disk: the first and the latest of each service, however many there were."""


def on_disk(data: Path) -> int:
    return sum(one.stat().st_size for one in (data / "crashes").rglob("*") if one.is_file())


async def all_running(box: RunningBox) -> list[str]:
    found = await box.until(lambda: box.running() if len(box.running()) == len(SERVICES) * EACH else [])
    assert isinstance(found, list)
    return found


async def counted(box: RunningBox, count: int) -> dict[str, CapsuleGroup]:
    """By service, once there are so many failures in all."""

    def look() -> dict[str, CapsuleGroup]:
        groups = box.control.shelf.groups()
        assert len(groups) <= len(SERVICES)
        return {one.service: one for one in groups} if sum(one.count for one in groups) == count else {}

    found = await box.until(look)
    assert isinstance(found, dict)
    return found


async def test_five_hundred_crashes(fake: FakePodman, tmp_path: Path) -> None:
    async with running_box(fake, tmp_path) as box:
        await box.trust()
        app = toml(replicas=EACH, extra=MORE).replace(
            '"100ms", timeout', '"5s", timeout'
        )  # else it is probes that take long
        await box.deploy(app, services=SERVICES)
        count = 0
        first: dict[str, str] = {}
        while count < CRASHES:
            for name in await all_running(box):
                count += 1
                fake.container(name).started = time.time() - 3600  # each is a first failure again: nobody waits
                fake.log(name, f"request {count} failed at 0x{count:08x}")
                fake.write(name, "/var/lib/order", count.to_bytes(4) * (WRITTEN // 4))
                fake.crash(name, 3)
            groups = await counted(box, count)
            first = first or {service: group.kept[0] for service, group in groups.items()}
            assert {service: (len(group.kept), group.kept[0]) for service, group in groups.items()} == {
                service: (2, first[service]) for service in SERVICES
            }
            assert on_disk(tmp_path / "data") < ROOM
        for group in groups.values():
            _, latest = box.control.shelf.find(group.id)
            assert int(latest.last_words[-1].split()[1]) > CRASHES - len(SERVICES) * EACH
            assert group.count == CRASHES / len(SERVICES)
        await all_running(box)
    async with running_box(fake, tmp_path) as box:
        assert await counted(box, CRASHES) == groups, "none is counted twice"
