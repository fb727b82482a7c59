"""An app's past on one axis: what came together, how much of it, and for whom."""

from __future__ import annotations

import re
import time

import msgspec
import pytest

from minipaas.model.lease import Ending, Entry, Lease
from minipaas.model.metrics import Seen
from minipaas.registry.deaths import Death
from minipaas.surface.timeline import Mark, bounded, joined
from minipaas.surface.wire_timeline import Lane, Timeline
from tests.registry.made import accept, digest, fail, release, serve
from tests.surface.small import SmallBox, instance
from tests.telemetry.made import place, used


async def get(box: SmallBox, query: str = "", role: str | None = "read") -> Timeline:
    async with await box.remote(role) as session, session.get(f"/api/v1/apps/shop/timeline{query}") as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Timeline)


async def page(box: SmallBox, query: str = "", role: str | None = "read", lang: str = "en") -> str:
    headers = {"Accept-Language": lang}
    async with await box.remote(role) as session, session.get(f"/apps/shop/timeline{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


def death(at: float, container: str = "c1") -> Death:
    return Death(
        app="shop",
        service="web",
        container=container,
        name="minipaas-shop-web-1-1",
        release=digest("1"),
        at=at,
        detail="exit code 3\nits last words",
    )


def lease(at: float) -> Lease:
    return Lease(
        id=f"{int(at * 65536):012x}",
        kind=Entry.SHELL,
        app="shop",
        service="web",
        instance="minipaas-shop-web-1-1",
        container="c1",
        actor="ann via socket",
        origin="socket",
        reason="why does it die",
        what="sh",
        started=at,
        until=at + 900,
        ended=at + 60,
        ending=Ending.DONE,
    )


async def a_bad_night(box: SmallBox, now: float) -> None:
    """A deploy, somebody inside, three deaths and their replacements, a deploy that fails."""
    await serve(box.registry, release(1), now - 3000)
    await box.control.access.kept.add(lease(now - 2000))
    for at in (1500, 1400, 1300):
        await box.registry.record_deaths([death(now - at, f"c{at}")])
        step = await box.registry.begin_step(None, "shop", "StartInstance", "start web #1, attempt 2", now - at + 1)
        await box.registry.end_step(step, True, "", now - at + 2)
    await fail(box.registry, await accept(box.registry, release(2), now - 600), now - 500)
    box.control.observed = msgspec.structs.replace(box.control.observed, instances=(instance(),))
    await box.wrote("dropped 7 lines (70 bytes) here: it writes too fast", stream="minipaas")


async def test_all_that_came_together_in_order_of_time(box: SmallBox) -> None:
    now = time.time()
    await a_bad_night(box, now)
    found = await get(box, "?range=1h")
    assert [(one.lane, one.title, one.well) for one in found.marks] == [
        (Lane.CHANGE, "the deploy of 1.1 is done", True),
        (Lane.ACCESS, "ann via socket had a shell in shop-web-1-1", None),
        *[
            (Lane.CRASH, "web failed", False),
            (Lane.RESTART, "start web #1, attempt 2", True),
        ]
        * 3,
        (Lane.CHANGE, "the deploy of 1.2 failed", False),
        (Lane.LOG, "dropped 7 lines (70 bytes) here: it writes too fast", False),
    ]
    change, access, crash = found.marks[:3]
    assert (change.until, change.change) == (pytest.approx(now - 2990), 1)
    assert (access.detail, access.until) == ("why does it die", pytest.approx(now - 1940))
    assert (crash.detail, crash.instance) == ("exit code 3", "shop-web-1-1")
    assert found.start <= now - 3300
    assert found.end >= now


async def test_a_passer_by_sees_neither_who_was_inside_nor_the_log(box: SmallBox) -> None:
    await a_bad_night(box, time.time())
    found = await get(box, role=None)
    assert {one.lane for one in found.marks} == {Lane.CHANGE, Lane.CRASH, Lane.RESTART}
    text = await page(box, role=None)
    assert "ann via socket" not in text
    assert "/logs?" not in text
    assert "sign-in?next=/apps/shop/timeline" in text


async def test_only_what_was_in_that_time(box: SmallBox) -> None:
    now = time.time()
    await a_bad_night(box, now)
    before = await get(box, f"?range=1h&until={int(now - 7200)}")
    assert before.marks == ()
    assert before.end <= now - 6300
    async with await box.remote("read") as session:
        async with session.get("/api/v1/apps/blog/timeline") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "app.missing")
        async with session.get("/api/v1/apps/shop/timeline?range=2h") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "api.request")


async def test_something_new_is_told_at_once(box: SmallBox) -> None:
    now = time.time()
    await serve(box.registry, release(1), now - 50)
    assert len((await get(box)).marks) == 1
    await box.registry.record_deaths([death(now - 10)])
    assert [one.lane for one in (await get(box)).marks] == [Lane.CHANGE, Lane.CRASH]


async def test_a_crash_loop_is_a_few_marks_with_counts(box: SmallBox) -> None:
    now = time.time()
    await serve(box.registry, release(1), now - 80_000)
    await box.registry.record_deaths([death(now - 60_000 + 50 * number, f"c{number}") for number in range(900)])
    crashes = [one for one in (await get(box, "?range=24h")).marks if one.lane is Lane.CRASH]
    assert len(crashes) < 60
    assert sum(one.count for one in crashes) == 900
    several = [one for one in crashes if one.count > 1]  # the border of a stretch may have cut off a single one
    assert len(several) >= len(crashes) - 2
    assert all(one.title == f"{one.count} × web failed" for one in several)
    assert all(one.well is False for one in crashes)
    text = await page(box)
    assert len(re.findall("<circle|<path d=.M0-8", text)) < 120
    assert re.search(r'href="/apps/shop/timeline\?range=1h&amp;until=\d+"', text), "a number leads closer"


async def test_how_it_was_and_what_it_answered(box: SmallBox) -> None:
    now = time.time()
    await serve(box.registry, release(1), now - 500)
    telemetry = box.control.telemetry
    telemetry.see({"shop": Seen.DOWN})
    telemetry.see({"shop": Seen.RUNNING})
    for number in range(2):
        await telemetry.take({"c1": used(float(number))}, {"c1": place("shop")}, [], None, tick=1000.0 + 10 * number)
    past = (await get(box, "?range=1h")).past
    assert Seen.DOWN in past.seen, "the worst of the time before a sample"
    assert re.search(r"How it was: down at times within \d", await page(box, "?range=1h"))
    assert re.search(r"状态：\d+\D+ 内曾停止服务", await page(box, "?range=1h", lang="zh"))
    assert (past.step, len(past.seen)) == (30, pytest.approx((now - past.start) / 30, abs=2))
    assert max(value or 0 for value in past.cpu) == pytest.approx(0.1)


async def test_every_mark_leads_on(box: SmallBox) -> None:
    now = time.time()
    await a_bad_night(box, now)
    text = await page(box, "?range=1h")
    picture = text[text.index('id="timeline"') : text.index('id="happened"')]
    targets = set(re.findall(r'<a href="([^"]+)" class="(?:good|bad|busy|calm)', picture))
    assert {"/upload/changes/1", "/upload/changes/2"} <= targets
    assert any(re.fullmatch("/apps/shop/accesses/[0-9a-f]{12}", one) for one in targets)
    logs = [one for one in targets if one.startswith("/apps/shop/logs?service=web&amp;since=")]
    assert len(logs) >= 2
    async with await box.remote("read") as session:
        for target in targets:
            async with session.get(target.replace("&amp;", "&")) as answer:
                assert answer.status == 200, target


async def test_in_the_readers_language(box: SmallBox) -> None:
    await a_bad_night(box, time.time())
    text = await page(box, lang="zh")
    assert "启动 web #1" in text
    assert "web 失败" in text
    assert "web failed" not in text


async def test_an_address_that_makes_no_sense_is_the_last_day(box: SmallBox) -> None:
    await serve(box.registry, release(1), time.time() - 50)
    for query in ("?range=1y", "?until=yesterday", "?until=99999999999999999999"):
        assert 'aria-current="true">24 hours' in await page(box, query)


# -- few enough


def mark(at: float, title: str = "a", *, well: bool | None = None, count: int = 1, until: float | None = 0.0) -> Mark:
    return Mark(lane=Lane.CRASH, at=at, until=at if until == 0.0 else until, title=title, well=well, count=count)


def test_few_stay_as_they_are() -> None:
    few = [mark(3.0), mark(1.0), mark(1.0)]
    assert bounded(few, 10.0, 3) == sorted(few, key=lambda one: one.at)


def test_the_alike_become_one_before_the_different_do() -> None:
    many = [mark(float(number % 10), "ab"[number % 2]) for number in range(20)]
    found = bounded(many, 10.0, 4)
    assert [(one.title, one.count, one.at, one.until) for one in found] == [("a", 10, 0.0, 8.0), ("b", 10, 1.0, 9.0)]
    (one,) = bounded(many, 10.0, 1)
    assert one.count == 20
    assert one.title != "a"


def test_one_that_went_wrong_or_goes_on_counts() -> None:
    (one,) = joined([mark(1.0, well=True), mark(2.0, well=False, count=3)], lambda _: 0)
    assert (one.well, one.count, one.until) == (False, 4, 2.0)
    (one,) = joined([mark(1.0, well=True), mark(2.0, well=True, until=None)], lambda _: 0)
    assert (one.well, one.until) == (True, None)
