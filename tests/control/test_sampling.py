"""Samples of a whole box: taken by itself, and whatever goes wrong costs one of them and nothing else."""

from __future__ import annotations

import asyncio
import logging

import pytest

from minipaas.control.control import Control
from minipaas.model.metrics import AppSeries, Range
from tests.boxes import RunningBox, toml


def at(control: Control) -> float:
    return control.telemetry.summary().at


async def test_a_box_measures_by_itself(started: RunningBox) -> None:
    await started.until(lambda: at(started.control) > 0)
    summary = started.control.telemetry.summary()
    assert summary.host is not None


async def test_while_podman_is_away_the_machine_and_the_routes_are_still_measured(
    started: RunningBox, caplog: pytest.LogCaptureFixture
) -> None:
    await started.deploy(toml())
    sampler = started.control._sampler
    await sampler.sample()
    started.fake.down()
    await started.get()
    with caplog.at_level(logging.WARNING, "minipaas.control.sampling"):
        before = at(started.control)
        await asyncio.sleep(0.01)
        for _ in range(3):
            await sampler.sample()
    assert at(started.control) > before
    told = [record for record in caplog.records if "cannot read what containers use" in record.getMessage()]
    assert len(told) == 1, "the same trouble is told once"
    series: AppSeries = await started.control.telemetry.app_series("shop", Range.HOUR)
    assert sum(value or 0 for value in series.routes[0].requests) > 0
    started.fake.up()
    await sampler.sample()
    assert started.control.telemetry.summary().apps[0].instances
