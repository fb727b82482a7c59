"""The life of an heir: a process that main has started, to serve for it until main has become the same program."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from typing import Any

from minipaas.model.errors import MinipaasError
from minipaas.process import end_by_itself
from minipaas.race import race
from minipaas.takeover import limits
from minipaas.takeover.channel import Beat, Channel, Confirmed, Drain, Drained, Failed, Go, Here, Ready, Routes
from minipaas.takeover.contracts import Heart
from minipaas.takeover.gifts import Giver
from minipaas.takeover.inheritance import Role
from minipaas.takeover.life import Life, first

log = logging.getLogger("minipaas")


class HeirLife(Life):
    """Takes over, serves, gives back."""

    role = Role.HEIR
    busy = "the process before still watches this one, or lets its connections end"

    async def _live(self) -> None:
        given = self._inheritance.channel
        if given is None:
            raise AssertionError("an heir without a channel")
        channel = await Channel.over(given)
        if self._inheritance.gifts is not None:
            self._listeners.giver = Giver(self._inheritance.gifts)
        if not await self._may_take(channel):
            return
        resumed = False
        while True:
            back = False
            try:
                async with self._open(self._next_ingress(), self._listeners, limits.FIRST_LOOK) as heart:
                    self._heart = heart
                    elder = Elder(channel)
                    if self._ingress is not None and not resumed:
                        self._ingress.elder = elder
                    self._opened()
                    end_by_itself()
                    channel.send(Ready())
                    back = await self._serve_for(heart, channel, elder)
            except* MinipaasError as group:
                error = first(group)
                channel.send(Failed(error.message, error.hint, error.code))
                raise
            finally:
                self._heart = None
            if not back or not await self._give_back(channel):
                break
            resumed = True
        await self._ended()

    async def _serve_for(self, heart: Heart, channel: Channel, elder: Elder) -> bool:
        """Serve until main wants the box back (True), or is gone, or this process is told to stop."""
        began = time.monotonic()
        if self.trial == 0:
            self._confirm(channel)
        while True:
            which, message = await race(
                stop=self._stop.wait(), message=channel.receive(), beat=asyncio.sleep(limits.BEAT)
            )
            if which == "stop" or isinstance(message, Here):
                return which == "message"
            if which == "message" and message is None:
                log.error("the process that watched this one has gone; stopping, to be started anew")
                return False
            if isinstance(message, Drained):
                elder.drained(message)
            if which != "beat":
                continue
            with contextlib.suppress(MinipaasError, TimeoutError):
                async with asyncio.timeout(limits.BEAT):
                    await heart.alive()
                    channel.send(Beat())
            if self.trial is not None and time.monotonic() - began >= self.trial:
                self._confirm(channel)

    def _confirm(self, channel: Channel) -> None:
        """This version has proved itself; nobody needs to keep what it says, as main will be another program soon."""
        self.trial = None
        if self._inheritance.errors >= 0:
            os.dup2(self._inheritance.errors, 2)
        self.confirmed()
        channel.send(Confirmed())

    async def _give_back(self, channel: Channel) -> bool:
        """Main is a new program, and wants the box. False: it has it, or is gone; True: it cannot take it now."""
        channel.send(Go())
        answer: Any = None
        while not isinstance(answer, Ready | Failed):
            which, answer = await race(stop=self._stop.wait(), answer=channel.receive())
            if which == "stop" or answer is None:
                return False
        if isinstance(answer, Failed):
            log.error("the box could not be given back: %s", answer.message)
            return True
        self._listeners.close()  # main has them all, and one that it closes is to be closed
        if self._ingress is not None:
            await race(stop=self._stop.wait(), drained=self._ingress.leave(self._settings.drain))
        return False


class Elder:
    """To an heir's ingress: main's, whose old connections still carry requests."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._asked: dict[int, asyncio.Future[bool]] = {}
        self._number = 0

    def set_app(self, app: str, entries: tuple[Any, ...], streams: tuple[Any, ...] = ()) -> None:
        """The routes of an app have changed."""
        self._channel.send(Routes(app, entries, streams))

    async def drain(self, instances: tuple[str, ...], timeout: float) -> bool:  # noqa: ASYNC109 - as the ingress's own
        """Wait until nothing is in flight to these instances there either."""
        self._number += 1
        number = self._number
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self._channel.send(Drain(number, instances, timeout))
        try:
            async with asyncio.timeout(timeout + limits.BEAT):
                quiet: bool = await answer
                return quiet
        except TimeoutError:
            return True  # it has become another program, and carries nothing any more
        finally:
            self._asked.pop(number, None)

    def drained(self, message: Drained) -> None:
        """It answers."""
        answer = self._asked.get(message.id)
        if answer is not None and not answer.done():
            answer.set_result(message.quiet)
