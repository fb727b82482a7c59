"""What an instance used is told of that very one, not of who stood in its slot before or after."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from minipaas.control.figures import figures_of
from minipaas.model.capsule import Figures, most_memory
from minipaas.model.metrics import Range
from minipaas.model.observed import Instance, InstanceState
from tests.telemetry.made import MIB, T0, Simulation, used


def instance(began: float, ended: float, *, oom_killed: bool = False) -> Instance:
    """Of the service and slot that the simulation fills."""
    return Instance(
        id="c0ffee",
        name="minipaas-shop-web-1",
        app="shop",
        service="web",
        release="sha256:1",
        fingerprint="",
        slot=1,
        generation=1,
        attempt=1,
        state=InstanceState.EXITED,
        created=began,
        started=began,
        finished=ended,
        oom_killed=oom_killed,
    )


async def figures(box: Simulation, one: Instance, *, peak: int | None = None, limit: int | None = None) -> Figures:
    series = await box.telemetry.app_series("shop", Range.HOUR)
    seen = [] if peak is None else [used(peak=peak)]
    found = figures_of(one, series, box.telemetry.sampled, seen, limit)
    assert found is not None
    return found


async def three_lives(tmp_path: Path) -> Simulation:
    """A large one for a minute, a small one for a minute, a large one again for a minute."""
    box = Simulation(tmp_path)
    for memory in (64, 8, 64):
        box.memory = memory * MIB
        await box.run(60)
    return box


async def test_who_stood_there_before_or_after_is_not_told_of(tmp_path: Path) -> None:
    box = await three_lives(tmp_path)
    for shift in (0, 3, 7):  # a sample is taken each ten seconds, whenever it began and ended
        found = await figures(box, instance(T0 + 60 + shift, T0 + 120 + shift))
        assert most_memory(found) == 8 * MIB
        assert 3 <= len(found.memory) <= 6
        assert None not in found.memory
        assert found.start >= T0 + 60
        assert len(found.memory) == len(found.cpu) == len(found.received) == len(found.written)
    await box.telemetry.close()


async def test_its_last_sample_counts_when_nobody_was_sampled_since(tmp_path: Path) -> None:
    box = Simulation(tmp_path)
    await box.run(60)
    box.memory = 96 * MIB
    await box.run(10)
    found = await figures(box, instance(T0, box.now + 1))
    assert most_memory(found) == 96 * MIB
    await box.telemetry.close()


async def test_the_kernels_own_count_beats_samples(tmp_path: Path) -> None:
    box = await three_lives(tmp_path)
    found = await figures(box, instance(T0 + 60, T0 + 120), peak=50 * MIB)
    assert (most_memory(found), found.reached) == (50 * MIB, False)
    await box.telemetry.close()


async def test_who_was_killed_at_its_limit_has_reached_it(tmp_path: Path) -> None:
    box = await three_lives(tmp_path)
    lived = instance(T0 + 60, T0 + 120, oom_killed=True)
    found = await figures(box, lived, peak=36 * MIB, limit=48 * MIB)
    assert (most_memory(found), found.reached) == (48 * MIB, True)
    short = replace(lived, started=T0 + 121.0, finished=T0 + 124.0)  # too short for a sample
    found = await figures(box, short, limit=48 * MIB)
    assert (found.memory, most_memory(found), found.reached) == ((), 48 * MIB, True)
    await box.telemetry.close()


async def test_what_nobody_knows_is_not_told(tmp_path: Path) -> None:
    box = await three_lives(tmp_path)
    series = await box.telemetry.app_series("shop", Range.HOUR)
    assert figures_of(instance(T0 + 121.0, T0 + 124.0), series, box.telemetry.sampled, [], None) is None
    await box.telemetry.close()


async def test_its_last_ten_minutes_are_told_and_no_more(tmp_path: Path) -> None:
    box = Simulation(tmp_path)
    await box.run(700)
    found = await figures(box, instance(T0, box.now + 1))
    assert len(found.memory) * found.step == 600
    assert found.start + 600 == pytest.approx(box.now, abs=found.step)
    await box.telemetry.close()
