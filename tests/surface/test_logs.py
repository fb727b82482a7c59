"""Logs over the API and on the page: who may see them, and what is found."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from minipaas.model.observed import Observed
from minipaas.surface.wire import Logs
from minipaas.surface.wire_logs import LogLines
from tests.registry.made import release, serve
from tests.surface.small import SmallBox, instance


async def ask(box: SmallBox, query: str = "") -> Logs:
    async with await box.remote("read") as session, session.get(f"/api/v1/apps/shop/logs{query}") as response:
        assert response.status == 200, await response.text()
        return msgspec.json.decode(await response.read(), type=Logs)


async def texts(box: SmallBox, query: str = "") -> list[str]:
    return [line.text for line in (await ask(box, query)).lines]


@pytest.fixture
async def written(box: SmallBox) -> SmallBox:
    """Two services have written."""
    await serve(box.registry, release(1))
    web = instance(release=release(1).digest)
    worker = instance(service="worker")
    box.control.observed = Observed(boot="b", instances=(web, worker))
    await box.wrote("starting", "GET /cart took 3 ms", one=web)
    await box.wrote("a warning from below", one=web, stream="stderr")
    await box.wrote('{"level": "error", "msg": "queue timeout"}', '{"level": "info", "msg": "job done"}', one=worker)
    return box


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 5),
        ("?tail=2", 2),
        ("?service=web", 3),
        ("?service=worker", 2),
        ("?instance=shop-worker-1-1", 2),
        ("?stream=stderr", 1),
        ("?level=warn", 1),
        ("?level=info", 2),
        (f"?release={release(1).version}", 3),
        ("?text=time", 1),
        ("?text=imeout", 0),
        ("?text=*imeout", 1),
        ("?text=TOOK%203", 1),
        ("?text=GET%20/ca", 1),
        ("?until=1", 0),
        ("?since=1", 5),
        ("?since=99999999999", 0),
    ],
)
async def test_what_is_asked_for_is_found(written: SmallBox, query: str, found: int) -> None:
    assert len(await texts(written, query)) == found


async def test_a_line_says_whose_it_is(written: SmallBox) -> None:
    first = (await ask(written, "?service=web")).lines[0]
    assert (first.text, first.instance, first.service, first.stream) == ("starting", "shop-web-1-1", "web", "stdout")
    assert (first.release, first.version) == (release(1).digest, release(1).version)
    assert first.time > 1_700_000_000
    assert (await ask(written, "?level=error")).lines[0].level == "error"


async def test_older_lines_are_had_page_by_page(written: SmallBox) -> None:
    seen: list[str] = []
    before = ""
    while True:
        page = await ask(written, f"?tail=2{before}")
        seen = [line.text for line in page.lines] + seen
        if not page.more:
            break
        before = f"&before={page.lines[0].id}"
    assert seen == await texts(written)


async def test_lines_of_an_instance_that_is_gone_are_found(written: SmallBox) -> None:
    written.control.logs.follow({})
    await written.control.logs.round()
    written.control.observed = Observed(boot="b")
    assert len(await texts(written)) == 5


@pytest.mark.parametrize(
    "query", ["?tail=0", "?tail=2001", "?service=../x", "?level=bad", "?since=x", "?before=1", "?text="]
)
async def test_what_cannot_be_asked(written: SmallBox, query: str) -> None:
    async with await written.remote("read") as session, session.get(f"/api/v1/apps/shop/logs{query}") as response:
        assert response.status == 400


async def test_an_end_before_the_beginning_is_told(written: SmallBox) -> None:
    async with await written.remote("read") as session:
        for path in ("/api/v1/apps/shop/logs", "/apps/shop/logs"):
            async with session.get(f"{path}?since=20&until=10") as response:
                assert response.status == 422
                assert "the end is not after the beginning" in await response.text()


async def test_no_such_app_or_release(box: SmallBox) -> None:
    async with await box.remote("read") as session:
        for path in ("/api/v1/apps/none/logs", "/apps/none/logs"):
            async with session.get(path) as response:
                assert response.status == 404


async def test_bytes_that_are_no_text_are_told(box: SmallBox) -> None:
    box.control.observed = Observed(boot="b", instances=(instance(),))
    await box.wrote(b"caf\xc3\xa9 \xff\x00")
    assert await texts(box) == ["café \\xff\x00"]


@pytest.mark.parametrize("role", [None, "read"])
async def test_only_who_may_read_sees_logs(written: SmallBox, role: str | None) -> None:
    async with await written.remote(role) as session:
        for path in ("/api/v1/apps/shop/logs", "/apps/shop/logs"):
            async with session.get(path, allow_redirects=False) as response:
                assert (response.status == 200) is (role is not None)
                assert ("queue timeout" in await response.text()) is (role is not None)
        async with session.get("/apps/shop") as response:
            assert ("/apps/shop/logs" in await response.text()) is (role is not None)


async def page(box: SmallBox, query: str = "") -> tuple[int, str]:
    async with await box.remote("read") as session, session.get(f"/apps/shop/logs{query}") as response:
        return response.status, await response.text()


async def test_the_page_shows_the_last_lines_and_what_was_searched_for(written: SmallBox) -> None:
    status, text = await page(written)
    assert status == 200
    assert [word in text for word in ("starting", "queue timeout", "a warning from below")] == [True] * 3
    _, text = await page(written, "?text=took&service=&level=")
    assert "GET /cart took 3 ms" in text
    assert "queue timeout" not in text
    assert re.search(r'name="text" value="took"', text)


@pytest.mark.parametrize("query", ["?level=nonsense", "?service=%3Cb%3E"])
async def test_the_page_says_what_it_cannot_read(written: SmallBox, query: str) -> None:
    status, text = await page(written, query)
    assert status == 400
    assert "cannot read the query" in text


async def test_what_an_app_writes_is_text_on_the_page(box: SmallBox) -> None:
    box.control.observed = Observed(boot="b", instances=(instance(),))
    await box.wrote("<script>alert(1)</script>")
    _, text = await page(box)
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


class Follower:
    """Reads the WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.texts: list[str] = []
        self.ends: dict[str, int] = {}
        self.since = 0.0

    async def until(self, count: int) -> list[str]:
        """So many lines have come."""
        async with asyncio.timeout(60):
            while len(self.texts) < count:
                message = msgspec.json.decode(await self.socket.receive_str(), type=LogLines)
                self.texts += [line.text for line in message.lines]
                self.ends, self.since = message.ends, message.since
        return self.texts


@contextlib.asynccontextmanager
async def following(box: SmallBox, query: str = "", **begin: object) -> AsyncIterator[Follower]:
    async with (
        await box.remote("read") as session,
        session.ws_connect(f"/api/v1/apps/shop/logs/live{query}") as socket,
    ):
        await socket.send_json(begin)
        yield Follower(socket)


async def test_following_begins_with_the_last_lines_and_goes_on(written: SmallBox) -> None:
    async with following(written, tail=2) as reader:
        assert await reader.until(2) == (await texts(written))[-2:]
        await written.wrote("one more")
        assert (await reader.until(3))[-1] == "one more"
        await written.wrote("of another service", one=instance(service="cron"))
        assert (await reader.until(4))[-1] == "of another service"


async def test_only_what_is_asked_for_is_followed(written: SmallBox) -> None:
    async with following(written, "?service=worker&text=job", tail=10) as reader:
        assert await reader.until(1) == ['{"level": "info", "msg": "job done"}']
        worker = instance(service="worker")
        await written.wrote("job in web")
        await written.wrote("nothing", "another job", one=worker)
        assert (await reader.until(2))[-1] == "another job"


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("gone", [False, True])
async def test_a_reader_that_comes_back_misses_nothing(written: SmallBox, stored: bool, gone: bool) -> None:
    async with following(written, tail=1) as reader:
        await reader.until(1)
    await written.wrote("while it was away", "and this")
    late = instance(service="late")
    await written.wrote("a short life", one=late)
    if stored:
        await written.control.logs.round(force=True)
    if gone:
        written.control.logs.follow({})
        await written.control.logs.round()
    async with following(written, ends=reader.ends, since=reader.since) as reader:
        assert sorted(await reader.until(3)) == ["a short life", "and this", "while it was away"]
        if not gone:
            await written.wrote("new")
            assert (await reader.until(4))[-1] == "new"


async def test_an_instance_that_goes_is_told_to_its_last_line(written: SmallBox) -> None:
    async with following(written, tail=1) as reader:
        await reader.until(1)
        await written.wrote("last words", one=instance(service="brief"))
        written.control.logs.follow({})
        await written.control.logs.round()
        assert (await reader.until(2))[-1] == "last words"


async def test_many_lines_come_in_pieces_and_in_order(written: SmallBox) -> None:
    async with following(written, tail=1) as reader:
        await reader.until(1)
        many = [f"number {number}" for number in range(3000)]
        await written.wrote(*many)
        assert (await reader.until(3001))[1:] == many


@pytest.mark.parametrize("role", [None])
async def test_only_who_may_read_follows(written: SmallBox, role: str | None) -> None:
    async with await written.remote(role) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/api/v1/apps/shop/logs/live")
    assert refused.value.status == 401


async def test_a_page_of_another_site_cannot_follow(written: SmallBox) -> None:
    async with await written.remote("read") as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/api/v1/apps/shop/logs/live", headers={"Origin": "http://evil.example"})
    assert refused.value.status == 403
