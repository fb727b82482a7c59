"""Where logs are sent: over the API, on the page of the box, and in /metrics."""

from __future__ import annotations

import time

from msgspec.structs import replace

from minipaas.model.shipping import Kind, ShipState
from tests.surface.small import SmallBox

WELL = ShipState(
    name="search",
    kind=Kind.ELASTICSEARCH,
    url="https://search.lan:9200",
    failing=False,
    error="",
    error_at=None,
    retry_at=None,
    confirmed_at=time.time() - 5,
    newest=time.time() - 6,
    lines=1234,
    sent_bytes=99_000,
    behind_bytes=0,
    behind_since=None,
    refused=0,
    refused_why="",
    lost=0,
    lost_bytes=0,
    lost_at=None,
)
ILL = replace(
    WELL,
    name="far",
    kind=Kind.SYSLOG,
    url="tls://far.lan:6514",
    failing=True,
    error="nobody listens there",
    error_at=time.time(),
    retry_at=time.time() + 60,
    confirmed_at=None,
    behind_bytes=5 * 1024**2,
    behind_since=time.time() - 7200,
    refused=3,
    refused_why="<b>no</b>",
    lost=7,
    lost_bytes=700,
    lost_at=time.time() - 60,
)


class Two:
    """Destinations that are as they are."""

    async def states(self) -> tuple[ShipState, ...]:
        return WELL, ILL

    def losing(self) -> tuple[str, ...]:
        return ("far",)


async def test_the_api_tells_who_may_read_logs(box: SmallBox) -> None:
    box.control.shipping = Two()
    async with await box.remote("read") as session, session.get("/api/v1/shipping") as answer:
        told = (await answer.json())["destinations"]
    assert [(one["name"], one["failing"], one["lines"]) for one in told] == [
        ("search", False, 1234),
        ("far", True, 1234),
    ]
    async with await box.remote() as session, session.get("/api/v1/shipping") as answer:
        assert answer.status == 401


async def test_nowhere(box: SmallBox) -> None:
    async with box.local() as session, session.get("/api/v1/shipping") as answer:
        assert await answer.json() == {"destinations": []}
    async with box.local() as session, session.get("/box") as answer:
        assert 'id="shipping"' not in await answer.text()


async def test_the_page(box: SmallBox) -> None:
    box.control.shipping = Two()
    async with box.local() as session, session.get("/box") as answer:
        page = await answer.text()
    assert 'id="shipping-search"' in page
    assert "takes none: nobody listens there" in page
    assert "5.0 MiB" in page
    assert "3: &lt;b&gt;no&lt;/b&gt;" in page
    assert "7 lines made way before they were sent" in page
    async with await box.remote() as session, session.get("/box") as answer:
        assert "search.lan" not in await answer.text()


async def test_a_loss_is_said_of_the_box(box: SmallBox) -> None:
    box.control.shipping = Two()
    async with box.local() as session:
        async with session.get("/api/v1/apps") as answer:
            told = await answer.json()
        async with session.get("/") as answer:
            assert "Log lines made way before they were sent to far." in await answer.text()
    assert not told["well"]
    assert told["sentence"].endswith("Log lines made way before they were sent to far.")


async def test_metrics(box: SmallBox) -> None:
    box.control.shipping = Two()
    async with await box.remote() as session, session.get("/metrics") as answer:
        told = await answer.text()
    assert 'minipaas_shipping_up{destination="search"} 1.0' in told
    assert 'minipaas_shipping_up{destination="far"} 0.0' in told
    assert 'minipaas_shipping_lost_lines_total{destination="far"} 7.0' in told
    assert 'minipaas_shipping_behind_bytes{destination="far"} 5.24288e+06' in told
