"""The whole room in simulated time: what is kept, for how long, at which resolution, and over a restart."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from minipaas.model.metrics import Range, Seen, Series, Window
from tests.telemetry.made import MIB, T0, Simulation, place, reading, used


def known(series: Series) -> int:
    return sum(value is not None for value in series)


async def test_an_hour_in_steps_of_ten_seconds(tmp_path: Path) -> None:
    box = Simulation(tmp_path)
    await box.run(7200)
    shop = await box.telemetry.app_series("shop", Range.HOUR)
    assert (shop.step, shop.start) == (10, T0 + 3600)
    (web,) = shop.instances
    assert len(web.cpu) == 360
    assert known(web.cpu) == 360
    assert web.cpu[-1] == pytest.approx(0.5)
    (route,) = shop.routes
    assert (route.requests[-1], route.answers_2xx[-1], route.answers_5xx[-1]) == (20.0, 18.0, 2.0)
    host = await box.telemetry.host_series(Range.HOUR)
    assert (known(host.memory), host.cpu[-1]) == (360, 0.5)
    await box.telemetry.close()


async def test_a_day_in_minutes_and_a_month_in_quarters(tmp_path: Path) -> None:
    box = Simulation(tmp_path)
    await box.run(3 * 3600)
    box.cores = 1.0
    await box.run(3 * 3600)
    for span, points in ((Range.DAY, 6 * 60), (Range.MONTH, 6 * 4)):
        series = await box.telemetry.app_series("shop", span)
        cpu = series.instances[0].cpu
        # of the last step there is only what came up to the minute before
        assert points - 1 <= known(cpu) <= points
        assert (cpu[-points // 2 - 2], cpu[-3]) == (pytest.approx(0.5, rel=0.02), pytest.approx(1.0))
        assert series.routes[0].requests[-3] == pytest.approx(20.0)
    await box.telemetry.close()


async def test_the_past_of_an_app_in_as_many_columns_as_a_picture_needs(tmp_path: Path) -> None:
    """A bad minute, three hours ago, is the worst of its column in every window, also when only quarters are kept."""
    box = Simulation(tmp_path)
    box.telemetry.see({"shop": Seen.RUNNING})
    await box.run(600)
    box.telemetry.see({"shop": Seen.DOWN})
    await box.run(60)
    box.telemetry.see({"shop": Seen.RUNNING})
    bad = box.now - 30
    await box.run(3 * 3600)
    for window, step in ((Window.DAY, 600), (Window.WEEK, 3600), (Window.MONTH, 21_600)):
        until = -(-box.now // step) * step
        past = await box.telemetry.app_past("shop", window, until)
        assert past.step == step
        assert [at for at, seen in enumerate(past.seen) if seen is Seen.DOWN] == [int((bad - past.start) // step)]
        assert past.start + len(past.seen) * step >= box.now, "up to now, and not beyond"
        assert past.cpu[-1] == pytest.approx(0.5, rel=0.02)
        assert past.requests[-1] == pytest.approx(20.0, rel=0.02)
        assert past.errors[-1] == pytest.approx(2.0, rel=0.02)
    hour = await box.telemetry.app_past("shop", Window.HOUR, T0 + 900)
    assert hour.step == 60, "of this hour the seconds are no longer kept"
    assert Seen.DOWN in hour.seen
    await box.telemetry.close()


async def test_space_is_bounded_by_time(tmp_path: Path) -> None:
    """Two months, in which the hours at both ends are sampled as in life and the rest coarsely."""
    box = Simulation(tmp_path, ("shop", "blog"))
    await box.run(2 * 3600)
    sizes, rows = [], []
    for _ in range(4):
        await box.run(15 * 86_400, step=900.0)
        await box.run(2 * 3600)
        await box.telemetry.app_series("shop", Range.HOUR)
        sizes.append((tmp_path / "metrics.db").stat().st_size)
        with sqlite3.connect(tmp_path / "metrics.db") as db:
            rows.append(dict(db.execute("SELECT tier, count(*) FROM point GROUP BY tier")))
    # an app, another, and the machine; pruned every ten minutes
    assert rows[-1][0] <= 3 * (360 + 60 + 12)
    assert rows[-1][1] <= 3 * (1440 + 12)
    assert 3 * 2800 <= rows[-1][2] <= 3 * (2880 + 12)
    assert rows[-1] == rows[-2]
    assert sizes[-1] <= 1.05 * sizes[-2]
    await box.telemetry.close()


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
async def test_a_restart_loses_next_to_nothing(tmp_path: Path, clean: bool) -> None:
    box = Simulation(tmp_path)
    box.telemetry.see({"shop": Seen.DEGRADED})
    await box.run(900 + 450)
    if clean:
        await box.telemetry.close()
    first = box.telemetry
    box.now += 120
    box.open()
    await box.telemetry.load()
    box.telemetry.see({"shop": Seen.DEGRADED})
    await box.run(20 * 60)
    summary = box.telemetry.summary().apps[0]
    assert (summary.state, summary.since) == (Seen.DEGRADED, T0)
    assert known(summary.cpu) >= 38
    hour = (await box.telemetry.app_series("shop", Range.HOUR)).instances[0]
    lost = (900 + 450 + 20 * 60) // 10 - known(hour.memory)
    assert lost <= (0 if clean else 6), "what was not written yet: less than a minute"
    month = await box.telemetry.app_series("shop", Range.MONTH)
    cpu = [value for value in month.instances[0].cpu if value is not None]
    assert cpu == pytest.approx([0.5] * len(cpu), rel=0.03)
    assert len(cpu) >= 2, "the quarter in which it was down is there"
    await box.telemetry.close()
    await first.close()


async def test_a_step_that_was_under_way_counts_once(tmp_path: Path) -> None:
    """Stopped and started ten times within a quarter of an hour: its CPU time is what was used, not more."""
    box = Simulation(tmp_path)
    for _ in range(10):
        await box.run(60)
        await box.telemetry.close()
        box.open()
        await box.telemetry.load()
    await box.run(900)
    with_all = (await box.telemetry.app_series("shop", Range.DAY)).routes[0].requests
    assert max(value for value in with_all if value) == pytest.approx(20.0, rel=0.3)
    await box.telemetry.close()
    with sqlite3.connect(tmp_path / "metrics.db") as db:
        steps = [at for (at,) in db.execute("SELECT time FROM point WHERE tier = 1 AND app = 'shop' ORDER BY time")]
    assert steps == [int(T0) + 60 * number for number in range(len(steps))]


async def test_at_a_glance(tmp_path: Path) -> None:
    box = Simulation(tmp_path, ("blog", "shop"))
    assert box.telemetry.summary().apps == ()
    box.telemetry.see({"shop": Seen.RUNNING, "blog": Seen.DOWN})
    await box.run(15 * 60 + 20)
    summary = box.telemetry.summary()
    assert summary is box.telemetry.summary(), "made once a sample"
    assert summary.at == box.now
    assert summary.host is not None and summary.host.cpu == 0.5
    assert [app.app for app in summary.apps] == ["blog", "shop"]
    shop = summary.apps[1]
    assert (known(shop.cpu), known(shop.requests), shop.errors[-1]) == (15, 15, 2.0)
    assert shop.memory[-1] == 64 * MIB
    assert shop.p50 is not None and shop.p99 is not None
    assert 2.0 <= shop.p50 <= shop.p99 <= 4.0
    assert (shop.instances[0].cpu, shop.instances[0].memory) == (0.5, 64 * MIB)
    for number in range(4):
        box.telemetry.restarted(place(), box.now - 200 + 40 * number)
    shop = box.telemetry.summary().apps[1]
    assert (shop.restarts, shop.restart_gap, shop.restarts_since) == (4, 40.0, box.now - 200)
    box.telemetry.see({"shop": Seen.RUNNING})
    assert [app.app for app in box.telemetry.summary().apps] == ["shop"]
    await box.telemetry.close()


async def test_a_restart_shows_in_the_series(tmp_path: Path) -> None:
    box = Simulation(tmp_path)
    await box.run(60)
    box.telemetry.restarted(place(), box.now)
    await box.run(10)
    series = (await box.telemetry.app_series("shop", Range.HOUR)).instances[0]
    assert sum(value or 0 for value in series.restarts) == 1
    await box.telemetry.close()


async def test_a_clock_that_jumps(tmp_path: Path) -> None:
    """A box without a battery: back to 1970 and forward again."""
    box = Simulation(tmp_path)
    await box.run(600)
    here = box.now
    for there in (1000.0, here, here + 400 * 86_400, here):
        box.now = there
        await box.run(600)
        box.telemetry.see({"shop": Seen.RUNNING})
        assert box.telemetry.summary().apps[0].cpu
        assert known((await box.telemetry.app_series("shop", Range.HOUR)).instances[0].cpu) > 50
    await box.telemetry.close()


async def test_an_app_with_thousands_of_instances_is_cut_off(tmp_path: Path) -> None:
    box = Simulation(tmp_path)
    for second in (10.0, 20.0, 30.0):
        box.now = T0 + second
        many = {str(number): used(1.0) for number in range(3000)}
        places = {key: place(slot=int(key)) for key in many}
        await box.telemetry.take(many, places, [], reading(second), tick=second)
    await box.telemetry.close()
    assert (tmp_path / "metrics.db").stat().st_size < 200_000
