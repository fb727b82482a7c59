"""Changes: the list, one with its steps, and its steps as they happen."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aiohttp import web
from msgspec import Struct

from minipaas.surface import services, views
from minipaas.surface.call import Call
from minipaas.surface.sse import EventStream
from minipaas.surface.wire import ChangeDetail, Changes, EndEvent, StepEvent, StepView


async def listing(call: Call) -> Changes:
    """The newest first."""
    found = await call.registry.changes(call.query["app"], call.query["limit"])
    return Changes(changes=tuple([await views.change_view(call, change) for change in found]))


async def one(call: Call) -> ChangeDetail:
    """One change and its journal."""
    return await detail(call, call.number)


async def detail(call: Call, number: int) -> ChangeDetail:
    """Raises Missing."""
    change = await call.registry.change(number)
    steps = await call.registry.journal(number)
    return ChangeDetail(
        change=await views.change_view(call, change),
        steps=tuple(views.step_view(call, row) for row in steps),
        urls=await services.app_urls(call, change.app),
    )


class Cursor(Struct, frozen=True):
    """How far a reader has come: the newest step it knows, and the known ones whose end it has not heard of.

    As text it is the `id` of an event (`17` or `17-15-16`), so a reader that comes back says all there is to say.
    """

    newest: int = 0
    open: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """From `Last-Event-ID`; what is not one of ours means the beginning."""
        if not re.fullmatch(r"[0-9]{1,15}(-[0-9]{1,15}){0,64}", text):
            return cls()
        newest, *rest = map(int, text.split("-"))
        return cls(newest, tuple(sorted(step for step in set(rest) if step <= newest)))

    def __str__(self) -> str:
        return "-".join(map(str, (self.newest, *self.open)))

    @property
    def after(self) -> int:
        """Journal rows from here on can have something new."""
        return self.open[0] - 1 if self.open else self.newest

    def advance(self, step: StepView) -> Iterator[tuple[Cursor, StepEvent]]:
        """What a row of the journal means for this reader, each event with where the reader stands after it."""
        cursor = self
        if step.id > self.newest:
            cursor = Cursor(step.id, (*self.open, step.id))
            yield cursor, StepEvent(state="started", step=step)
        if step.id in cursor.open and step.ended is not None:
            rest = tuple(known for known in cursor.open if known != step.id)
            yield Cursor(cursor.newest, rest), StepEvent(state="ended", step=step)


async def events(call: Call) -> web.StreamResponse:
    """Follow a change to its end; resumes after `Last-Event-ID`."""
    number = call.number
    await call.registry.change(number)
    cursor = Cursor.parse(call.request.headers.get("Last-Event-ID", ""))
    async with EventStream.open(call) as stream:
        while stream.alive:
            version = call.context.news.current()
            change = await call.registry.change(number)
            for row in await call.registry.journal(number, cursor.after):
                for cursor, event in cursor.advance(views.step_view(call, row)):  # noqa: B020  advance is asked once
                    await stream.send("step", event, str(cursor))
            if not change.state.active:
                urls = await services.app_urls(call, change.app)
                view = await views.change_view(call, change)
                end = EndEvent(outcome=change.state, reason=view.reason, urls=urls, change=view)
                await stream.send("end", end, str(cursor))
                break
            await stream.wait(version)
    return stream.response
