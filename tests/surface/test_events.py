"""What the API tells of an app's past, and to whom."""

from __future__ import annotations

import msgspec

from minipaas.registry.deaths import Death
from minipaas.surface.wire_history import EventKind, Events
from tests.registry.made import accept, digest, fail, release, serve
from tests.surface.small import SmallBox


async def get(box: SmallBox, query: str = "", role: str | None = None) -> Events:
    async with await box.remote(role) as session, session.get(f"/api/v1/apps/shop/events{query}") as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=Events)


async def history(box: SmallBox) -> None:
    """A release that serves, an instance that dies and is replaced, a release that fails."""
    await serve(box.registry, release(1))
    died = Death(
        app="shop",
        service="web",
        container="c",
        name="shop-web-1-1",
        release=digest("1"),
        at=300.0,
        detail="exit code 3",
    )
    await box.registry.record_deaths([died])
    step = await box.registry.begin_step(None, "shop", "StartInstance", "start web #1, attempt 2", 301.0)
    await box.registry.end_step(step, True, "", 302.0)
    await box.registry.audit(
        actor="token ci via page",
        action="hold",
        subject="shop 1.2",
        origin="tcp",
        result="held as 1",
        now=350.0,
        app="shop",
    )
    await fail(box.registry, await accept(box.registry, release(2), 400.0), 500.0)


async def test_all_of_it_in_order_for_who_may_read_the_audit(box: SmallBox) -> None:
    await history(box)
    found = (await get(box, role="read")).events
    assert [(one.kind, one.title, one.well) for one in found] == [
        (EventKind.ENDED, "the deploy of 1.2 failed", False),
        (EventKind.BEGAN, "the deploy of 1.2 begins", None),
        (EventKind.AUDIT, "shop 1.2 was uploaded and waits for a yes", None),
        (EventKind.UPKEEP, "start web #1, attempt 2", True),
        (EventKind.DEATH, "shop-web-1-1 died", False),
        (EventKind.ENDED, "the deploy of 1.1 is done", True),
        (EventKind.BEGAN, "the deploy of 1.1 begins", None),
    ]
    assert (found[4].detail, found[4].instance, found[3].step) == ("exit code 3", "shop-web-1-1", "StartInstance")


async def test_a_passer_by_sees_no_audit_and_no_log_lines(box: SmallBox) -> None:
    await history(box)
    found = (await get(box)).events
    assert EventKind.AUDIT not in {one.kind for one in found}
    assert len(found) == 6
    assert all("\n" not in one.detail for one in found)


async def test_pages(box: SmallBox) -> None:
    await history(box)
    first = await get(box, "?limit=4")
    second = await get(box, f"?limit=4&before={first.events[-1].id}")
    assert (first.more, second.more) == (True, False)
    assert [one.id for one in (*first.events, *second.events)] == [one.id for one in (await get(box)).events]


async def test_what_cannot_be_asked(box: SmallBox) -> None:
    async with await box.remote(None) as session:
        async with session.get("/api/v1/apps/shop/events") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "app.missing")
        async with session.get("/api/v1/apps/shop/events?before=yesterday") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "api.request")
