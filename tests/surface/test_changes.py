"""Following a change: every step, in order, once; also for a reader that comes back."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

import aiohttp
import msgspec
import pytest

from minipaas.model.change import Change
from minipaas.surface.handlers.changes import Cursor
from minipaas.surface.limits import Limits
from minipaas.surface.wire import ChangeDetail, EndEvent, StepEvent, StepView
from tests.registry.made import accept, fail, finish, release
from tests.surface.small import SmallBox, instance, small_box


class Event(msgspec.Struct):
    name: str = ""
    data: str = ""
    id: str = ""

    @property
    def told(self) -> tuple[str, str]:
        """(started or ended, title) of a step event."""
        step = msgspec.json.decode(self.data, type=StepEvent)
        return step.state, step.step.title


async def next_event(response: aiohttp.ClientResponse) -> Event:
    """The next event, comments and settings passed over."""
    event = Event()
    async with asyncio.timeout(60):
        while line := (await response.content.readline()).decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if not field and event.name:
                return event
            if field in ("event", "data", "id"):
                setattr(event, "name" if field == "event" else field, value)
    raise EOFError("the stream has ended")


async def step(box: SmallBox, change: Change, title: str) -> int:
    return await box.registry.begin_step(change.id, change.app, "StartInstance", title, 10.0)


async def test_the_story_of_a_change_is_told_to_its_end(box: SmallBox) -> None:
    change = await accept(box.registry, release(1))
    first = await step(box, change, "start web #1")
    async with await box.remote() as session, session.get(f"/api/v1/changes/{change.id}/events") as response:
        assert response.content_type == "text/event-stream"
        assert (await next_event(response)).told == ("started", "start web #1")
        await box.registry.end_step(first, True, "", 12.0)
        assert (await next_event(response)).told == ("ended", "start web #1")
        second = await step(box, change, "switch to 1.1")
        assert (await next_event(response)).told == ("started", "switch to 1.1")
        await box.registry.end_step(second, True, "", 13.0)
        assert (await next_event(response)).told == ("ended", "switch to 1.1")
        await finish(box.registry, change)
        last = await next_event(response)
        assert last.name == "end"
        end = msgspec.json.decode(last.data, type=EndEvent)
        assert (end.outcome, end.urls) == ("done", ("http://shop.local:8080/",))
        with pytest.raises(EOFError):
            await next_event(response)


async def test_a_change_that_has_ended_is_told_at_once(box: SmallBox) -> None:
    change = await accept(box.registry, release(1))
    await box.registry.end_step(await step(box, change, "start web #1"), False, "exit code 1", 12.0)
    await fail(box.registry, change)
    async with box.local() as session, session.get(f"/api/v1/changes/{change.id}/events") as response:
        told = [event async for event in _all(response)]
    assert [event.name for event in told] == ["step", "step", "end"]
    assert msgspec.json.decode(told[-1].data, type=EndEvent).reason == "web #1: exit code 1"


async def _all(response: aiohttp.ClientResponse):  # type: ignore[no-untyped-def]
    while True:
        try:
            yield await next_event(response)
        except EOFError:
            return


async def test_whoever_comes_back_misses_nothing_and_hears_nothing_twice(box: SmallBox) -> None:
    """Broken off after each event in turn, the two parts together are the whole story."""
    change = await accept(box.registry, release(1))
    rows = [await step(box, change, f"step {number}") for number in range(3)]
    for row in (rows[1], rows[0], rows[2]):  # ended in another order than begun
        await box.registry.end_step(row, True, "", 12.0)
    await finish(box.registry, change)
    url = f"/api/v1/changes/{change.id}/events"
    async with box.local() as session:
        async with session.get(url) as response:
            whole = [event async for event in _all(response)]
        assert len(whole) == 7
        for heard in range(7):
            headers = {"Last-Event-ID": whole[heard - 1].id} if heard else {}
            async with session.get(url, headers=headers) as response:
                rest = [event async for event in _all(response)]
            assert whole[:heard] + rest == whole


async def test_a_reader_that_broke_off_while_a_step_ran_hears_its_end(box: SmallBox) -> None:
    change = await accept(box.registry, release(1))
    slow, quick = await step(box, change, "slow"), await step(box, change, "quick")
    await box.registry.end_step(quick, True, "", 11.0)
    url = f"/api/v1/changes/{change.id}/events"
    async with box.local() as session:
        async with session.get(url) as response:
            heard = [await next_event(response) for _ in range(3)]
        await box.registry.end_step(slow, True, "", 12.0)
        await finish(box.registry, change)
        async with session.get(url, headers={"Last-Event-ID": heard[-1].id}) as response:
            rest = [event async for event in _all(response)]
    assert [event.told for event in rest[:-1]] == [("ended", "slow")]


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "1,2", "9" * 30, "1--2", "1\n2", "1-" * 100])
def test_what_is_no_cursor_of_ours_is_the_beginning(text: str) -> None:
    assert Cursor.parse(text) == Cursor()


@pytest.mark.parametrize("cursor", [Cursor(), Cursor(7), Cursor(7, (7,)), Cursor(9, (3, 5, 9))])
def test_a_cursor_survives_being_an_event_id(cursor: Cursor) -> None:
    assert Cursor.parse(str(cursor)) == cursor


def test_a_cursor_reads_from_the_oldest_open_step() -> None:
    assert Cursor(9, (3, 5)).after == 2
    assert Cursor(9).after == 9


def test_a_step_known_and_ended_is_no_news() -> None:
    view = StepView(id=4, kind="x", title="x", started=1, ended=2, ok=True, detail="")
    assert list(Cursor(4).advance(view)) == []


async def test_a_silent_stream_has_a_heartbeat(tmp_path: Path) -> None:
    async with small_box(tmp_path, limits=Limits(heartbeat=0.05)) as box:
        change = await accept(box.registry, release(1))
        async with box.local() as session, session.get(f"/api/v1/changes/{change.id}/events") as response:
            async with asyncio.timeout(60):
                while not (await response.content.readline()).startswith(b": "):
                    pass


async def test_closing_ends_the_streams(box: SmallBox) -> None:
    change = await accept(box.registry, release(1))
    async with (
        box.local() as session,
        session.get(f"/api/v1/changes/{change.id}/events") as one,
        session.get("/api/v1/events") as other,
    ):
        await next_event(other)
        async with asyncio.timeout(60):
            await box.surface.close()
            await asyncio.gather(one.read(), other.read())


async def test_there_are_only_so_many_streams_and_a_place_becomes_free(tmp_path: Path) -> None:
    async with small_box(tmp_path, limits=Limits(streams=1, heartbeat=0.05)) as box, box.local() as session:
        async with session.get("/api/v1/events") as first:
            await next_event(first)
            async with session.get("/api/v1/events") as second:
                assert second.status == 503
                assert second.headers["Retry-After"]
        async with asyncio.timeout(60):
            while True:  # the box notices at the next heartbeat that the first reader is gone
                async with session.get("/api/v1/events") as third:
                    if third.status == 200:
                        break


async def test_strangers_leave_places_for_those_with_a_role(tmp_path: Path) -> None:
    async with (
        small_box(tmp_path, limits=Limits(streams=2, open_streams=1)) as box,
        await box.remote() as stranger,
        box.local() as operator,
        stranger.get("/api/v1/events") as first,
    ):
        await next_event(first)
        async with stranger.get("/api/v1/events") as second:
            assert second.status == 503
        async with operator.get("/api/v1/events") as third:
            assert third.status == 200


async def test_a_token_for_less_leaves_places_for_administrators(tmp_path: Path) -> None:
    async with (
        small_box(tmp_path, limits=Limits(streams=2, kept_streams=1)) as box,
        await box.remote("read") as reader,
        await box.remote("admin") as admin,
        reader.get("/api/v1/events") as first,
    ):
        await next_event(first)
        async with reader.get("/api/v1/events") as second:
            assert second.status == 503
        async with admin.get("/api/v1/events") as third:
            assert third.status == 200


async def test_news_come_when_there_are_some_and_not_again(tmp_path: Path) -> None:
    async with small_box(tmp_path, limits=Limits(news_gap=0.01)) as box, box.local() as session:
        async with session.get("/api/v1/events") as response:
            first = await next_event(response)
            await accept(box.registry, release(1))
            second = await next_event(response)
        assert (first.name, second.name) == ("news", "news")
        assert int(second.id) > int(first.id)
        async with session.get(f"/api/v1/events?since={first.id}") as late:
            assert (await next_event(late)).id == second.id
        async with session.get("/api/v1/events", headers={"Last-Event-ID": second.id}) as current:
            await accept(box.registry, release(2))
            assert int((await next_event(current)).id) > int(second.id), "what was seen is not told again"


async def test_a_look_that_saw_something_else_is_news(tmp_path: Path) -> None:
    async with (
        small_box(tmp_path, limits=Limits(glance=0.02)) as box,
        box.local() as session,
        session.get("/api/v1/events") as response,
    ):
        first = await next_event(response)
        box.control.observed = msgspec.structs.replace(box.control.observed, instances=(instance(),))
        assert int((await next_event(response)).id) > int(first.id)


async def test_what_instances_wrote_is_only_for_those_who_may_read_logs(box: SmallBox) -> None:
    change = await accept(box.registry, release(1))
    detail = "exit code 1\nTraceback: password=hunter2"
    await box.registry.end_step(await step(box, change, "start web #1"), False, detail, 12.0)
    ended = msgspec.structs.replace(
        await box.registry.change(change.id), state="failed", ended=20.0, reason="web broke\npassword=hunter2"
    )
    await box.registry.save_change(msgspec.convert(msgspec.to_builtins(ended), Change))
    path = f"/api/v1/changes/{change.id}"
    for role, sees in ((None, False), ("read", True)):
        async with await box.remote(role) as session:
            for url in (path, f"{path}/events", "/api/v1/changes", "/apps/shop"):
                async with session.get(url) as response:
                    text = await response.text()
                assert response.status == 200
                if not sees:
                    assert "hunter2" not in text
            async with session.get(path) as response:
                told = msgspec.json.decode(await response.read(), type=ChangeDetail)
            assert ("hunter2" in told.change.reason, "hunter2" in told.steps[0].detail) == (sees, sees)
            assert told.change.reason.startswith("web broke")


@pytest.mark.parametrize("token", [False, True])
async def test_a_reader_that_is_gone_before_the_first_event_is_no_error_of_ours(
    box: SmallBox, caplog: pytest.LogCaptureFixture, token: bool
) -> None:
    change = await accept(box.registry, release(1))
    head = f"GET /api/v1/changes/{change.id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if token:
        secret = await box.registry.add_token("me", "read", 1.0, actor="test", origin="test")
        head += f"Authorization: Bearer {secret}\r\n"
    for _ in range(20):
        with socket.create_connection(box.surface.addresses[0]) as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.sendall(f"{head}\r\n".encode())
        await asyncio.sleep(0.01)
    async with await box.remote() as session, session.get("/healthz") as response:
        assert response.status == 200
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
