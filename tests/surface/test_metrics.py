"""Metrics over the API, of a whole box (every room real, Podman made up)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from minipaas.model.metrics import AppSeries, HostSeries, Seen, Summary
from tests.boxes import RunningBox, running_box, toml
from tests.fakepodman.server import FakePodman

MIB = 1024**2


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[RunningBox]:
    async with FakePodman(tmp_path) as fake, running_box(fake, tmp_path) as box:
        await box.trust()
        yield box


async def read(box: RunningBox, path: str, kind: type) -> object:
    """As a stranger on TCP."""
    async with aiohttp.ClientSession(f"http://{at(box)}") as session, session.get(f"/api/v1{path}") as response:
        assert response.status == 200, await response.text()
        return msgspec.json.decode(await response.read(), type=kind)


def at(box: RunningBox) -> str:
    address, port = box.surface.addresses[0]
    return f"{address}:{port}"


async def deploy(box: RunningBox) -> None:
    """And wait until the box has looked at what it has done."""
    await box.deploy(toml())
    await box.until(lambda: [app.state for app in box.control.telemetry.summary().apps] == [Seen.RUNNING])


async def sample(box: RunningBox) -> None:
    """One sample now, instead of within ten seconds."""
    await box.control._sampler.sample()


async def test_the_summary_shows_what_an_app_uses_and_answers(started: RunningBox) -> None:
    await deploy(started)
    started.fake.use("minipaas-shop-web-1-1", cores=0.5, memory=64 * MIB, pids=3)
    await sample(started)

    async def sampled() -> Summary | None:
        await started.get()
        await asyncio.sleep(0.3)
        await sample(started)
        found: Summary = await read(started, "/metrics", Summary)  # type: ignore[assignment]
        return found if found.apps[0].instances[0].cpu == pytest.approx(0.5, rel=0.3) else None

    summary: Summary = await started.until(sampled)  # type: ignore[assignment]
    assert summary.host is not None
    assert 0 < summary.host.memory_used < summary.host.memory_total
    (shop,) = summary.apps
    assert (shop.app, shop.state, shop.restarts) == ("shop", Seen.RUNNING, 0)
    assert [len(row) for row in (shop.cpu, shop.memory, shop.requests, shop.errors)] == [60] * 4
    # it was seen running, and changing in the same half hour
    assert shop.history[-1] == Seen.CHANGING
    assert set(shop.history[:-2]) == {Seen.UNKNOWN}
    (web,) = shop.instances
    assert (web.service, web.slot, web.memory, web.pids) == ("web", 1, 64 * MIB, 3)
    assert shop.p50 is not None


async def test_series_of_an_app_and_of_the_machine(started: RunningBox) -> None:
    await deploy(started)
    await sample(started)
    await started.get()
    await sample(started)
    for span, points in (("1h", 360), ("24h", 1440), ("30d", 2880)):
        host: HostSeries = await read(started, f"/metrics/host?range={span}", HostSeries)  # type: ignore[assignment]
        assert len(host.memory) == points
        shop: AppSeries = await read(started, f"/apps/shop/metrics?range={span}", AppSeries)  # type: ignore[assignment]
        assert (shop.step, host.step) == (86_400 * 30 // 2880 if span == "30d" else host.step, shop.step)
    shop = await read(started, "/apps/shop/metrics", AppSeries)  # type: ignore[assignment]
    (web,) = shop.instances
    assert (web.service, web.slot) == ("web", 1)
    assert web.memory[-1] or web.memory[-2], "the last two steps hold the samples"
    (route,) = shop.routes
    assert (route.service, route.route) == ("web", "shop.local")
    assert sum(value for value in route.requests if value) > 0


async def test_an_app_that_is_not_there_has_no_series(started: RunningBox) -> None:
    async with aiohttp.ClientSession(f"http://{at(started)}") as session:
        async with session.get("/api/v1/apps/shop/metrics") as response:
            assert response.status == 404
        async with session.get("/api/v1/metrics/host?range=2h") as response:
            assert response.status == 400


async def test_prometheus_reads_what_is_exposed(started: RunningBox) -> None:
    await deploy(started)
    for _ in range(3):
        await started.get()
    await sample(started)
    async with aiohttp.ClientSession(f"http://{at(started)}") as session, session.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = await response.text()
    values = {
        (one.name, *sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    shop = (("app", "shop"), ("route", "shop.local"), ("service", "web"))
    answered = values["minipaas_ingress_requests_total", ("app", "shop"), ("code", "200"), *shop[1:]]
    assert answered >= 3
    assert values["minipaas_ingress_request_duration_seconds_count", *shop] == answered
    assert values["minipaas_app_state", ("app", "shop"), ("state", "running")] == 1
    slot = (("app", "shop"), ("service", "web"), ("slot", "1"))
    assert values["minipaas_instance_up", *slot] == 1
    assert values["minipaas_instance_memory_bytes", *slot] > 0
    assert values["minipaas_changes", ("kind", "deploy"), ("state", "done")] == 1
    assert ("minipaas_host_cpu_seconds_total", ("mode", "busy")) in values


async def test_a_box_that_was_started_anew_remembers(tmp_path: Path) -> None:
    async with FakePodman(tmp_path) as fake:
        async with running_box(fake, tmp_path) as box:
            await box.trust()
            await deploy(box)
            fake.use("minipaas-shop-web-1-1", memory=77 * MIB)
            await sample(box)
            before: Summary = await read(box, "/metrics", Summary)  # type: ignore[assignment]
        fake.use("minipaas-shop-web-1-1", memory=5 * MIB)
        async with running_box(fake, tmp_path) as box:
            await sample(box)
            series: AppSeries = await read(box, "/apps/shop/metrics", AppSeries)  # type: ignore[assignment]
            after: Summary = await read(box, "/metrics", Summary)  # type: ignore[assignment]
    assert 77 * MIB in [peak for peak in series.instances[0].peak if peak]
    assert (after.apps[0].state, after.apps[0].since) == (Seen.RUNNING, before.apps[0].since)
    assert after.apps[0].history[-2:] == before.apps[0].history[-2:] or Seen.CHANGING in after.apps[0].history[-2:]


async def test_a_crash_loop_is_told(started: RunningBox) -> None:
    await deploy(started)
    for generation in (1, 2):
        started.fake.crash(f"minipaas-shop-web-1-{generation}")
        await started.until(lambda: started.control.telemetry.summary().apps[0].restarts >= generation)  # noqa: B023
        await started.until(lambda: started.control.telemetry.summary().apps[0].state == Seen.RUNNING)
    (shop,) = (await read(started, "/metrics", Summary)).apps  # type: ignore[attr-defined]
    assert shop.restarts == 2
    assert shop.restarts_since is not None
    assert shop.history[-1] in (Seen.DOWN, Seen.DEGRADED)
