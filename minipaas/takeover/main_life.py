"""The life of main: the process that the service manager, or a person, has started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Coroutine
from typing import Any

from minipaas.model.errors import MinipaasError
from minipaas.race import race
from minipaas.takeover import limits
from minipaas.takeover.becoming import Becomes, after
from minipaas.takeover.channel import Channel, Confirmed, Drain, Drained, Failed, Go, Here, Message, Ready, Routes
from minipaas.takeover.contracts import Heart, Wish
from minipaas.takeover.heir import Heir
from minipaas.takeover.inheritance import Role
from minipaas.takeover.life import Life, first
from minipaas.takeover.notify import notify, reloading

log = logging.getLogger("minipaas")

LEAVING = "the process before still lets its connections end"


class MainLife(Life):
    """Serves, or watches over the heir that serves for it, or takes the box back from it as a new program."""

    role = Role.MAIN
    busy = ""

    async def _live(self) -> Becomes | None:
        given = self._inheritance.channel
        channel = await Channel.over(given) if given is not None else None
        self.busy = LEAVING if channel is not None else ""
        resumed, tries = False, 0
        while True:
            if channel is not None and not await self._may_take(channel):
                if self._stop.is_set():
                    break
                channel, self.busy = None, ""  # the process that served for us has gone
                self._task(self._reap(), "takeover: the process before")
            wish: Wish | None = None
            heir: Heir | None = None
            try:
                patience = self._first_look if channel is None and not resumed else limits.FIRST_LOOK
                async with self._open(self._next_ingress(), self._listeners, patience) as heart:
                    self._heart, tries = heart, 0
                    self._opened()
                    if channel is not None:
                        channel.send(Ready())
                        self._task(self._see_off(channel), "takeover: the process before")
                        channel = None
                    notify("READY=1")
                    wish, heir = await self._until_wish(heart)
            except* MinipaasError as group:
                if channel is None and not resumed:
                    raise
                tries += 1
                await self._cannot(first(group), channel, wish, heir)
                heir = None
            finally:
                self._heart = None
            if self._stop.is_set():
                break
            if wish is None or heir is None:
                pause = limits.AGAIN[min(tries, len(limits.AGAIN)) - 1]
                await race(stop=self._stop.wait(), pause=asyncio.sleep(pause))
            else:
                becomes = await self._hand_over(wish, heir)
                if becomes is not None:
                    return becomes
                resumed = True
            if self._stop.is_set():
                break
        await self._ended()
        return None

    async def _cannot(
        self, error: MinipaasError, channel: Channel | None, wish: Wish | None, heir: Heir | None
    ) -> None:
        """The box could not be opened, or ended badly; somebody else serves, or nobody does: it is tried again."""
        log.error("cannot serve: %s", error.message)
        self._not_opened()
        if channel is not None:
            channel.send(Failed(error.message, error.hint, error.code))
        if wish is not None and heir is not None:
            await heir.kill()
            wish.failed(error.message, [], served=False)
            self.busy = ""

    async def _until_wish(self, heart: Heart) -> tuple[Wish | None, Heir | None]:
        """Serve until stopped, or until the heir of a wish has said that it is there."""
        never = asyncio.Event()
        while True:
            trial = never.wait() if self.trial is None else asyncio.sleep(self.trial)
            which, wish = await race(stop=self._stop.wait(), wish=self._wishes.get(), trial=trial)
            if which == "trial":
                self.trial = None
                self.confirmed()
                continue
            heir = await self._heir_of(wish) if which == "wish" else None
            if self._stop.is_set():
                notify("STOPPING=1")
                log.info("stopping; the apps keep running")
                return None, None
            if heir is not None:
                await heart.rest(limits.UPLOADS)
                return wish, heir

    async def _heir_of(self, wish: Wish) -> Heir | None:
        """Start it, and wait until it is there; None: it is not, or we are told to stop."""
        reloading()
        heir: Heir | None = None
        try:
            with wish.step("start the new process"):
                heir = await Heir.start((*wish.command, *self._arguments), self._lock, self._listeners)
                which, _ = await race(stop=self._stop.wait(), here=heir.expect(Here, limits.START))
            if which == "here":
                return heir
            await heir.kill()
        except MinipaasError as error:
            if heir is not None:
                await heir.kill()
            wish.failed(error.message, list(heir.last_lines) if heir is not None else [], served=False)
            self.busy = ""
            notify("READY=1")
        return None

    async def _hand_over(self, wish: Wish, heir: Heir) -> Becomes | None:
        """From the closed registry to the program that this process becomes; None: it has to serve again, or to
        stop."""
        try:
            with wish.step("hand the box over"):
                wish.before()
                heir.channel.send(Go())
                which, _ = await race(stop=self._stop.wait(), ready=heir.expect(Ready, self._settings.ready))
                if which == "stop":
                    await heir.end()
                    return None
                wish.ready()
        except MinipaasError as error:
            await heir.kill()
            self._resume(wish, heir, error.message, served=False)
            return None
        notify("READY=1")
        self.busy = LEAVING
        return await self._watch(wish, heir)

    async def _watch(self, wish: Wish, heir: Heir) -> Becomes | None:
        """The heir serves: let what is under way here end, and see whether the heir lives. Then become what it is."""
        if self._ingress is None:
            raise AssertionError("nothing was served before the hand-over")
        self._heard = time.monotonic()
        draining = asyncio.create_task(self._ingress.leave(self._settings.drain), name="takeover: drain")
        confirmed, crashes = False, 0
        try:
            while not (confirmed and draining.done()):
                which, message = await self._news_of(heir, draining)
                if which == "stop":
                    await heir.end()
                    return None
                if which == "drained":
                    continue
                if which == "silence" or message is None or isinstance(message, Failed):
                    crashes += 1
                    await heir.kill()
                    reason = "it gave no sign of life any more" if which == "silence" else heir.why
                    log.error("the new process of minipaas has died: %s", reason)
                    if wish.trial and confirmed:
                        break  # it had proved itself: this process becomes it at once
                    reborn = await self._once_more(wish) if wish.trial and crashes < limits.CRASHES else None
                    if self._stop.is_set():
                        return None
                    if reborn is None:
                        self._resume(wish, heir, reason, served=True)
                        return None
                    heir = reborn
                self._heard = time.monotonic()
                confirmed = confirmed or isinstance(message, Confirmed)
                self._do_for(heir, message)
            return after(heir, (*wish.command, *self._arguments), self._lock, self._listeners)
        finally:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)

    async def _news_of(self, heir: Heir, draining: asyncio.Task[None]) -> tuple[str, Message | None]:
        waits: dict[str, Coroutine[Any, Any, Any]] = {
            "stop": self._stop.wait(),
            "message": heir.message(),
            "silence": asyncio.sleep(max(0.0, self._heard + limits.HUNG - time.monotonic())),
        }
        if not draining.done():
            waits["drained"] = asyncio.wait([draining])
        which, message = await race(**waits)
        return which, message if which == "message" else None

    def _do_for(self, heir: Heir, message: Message | None) -> None:
        """What connections that are still here have to know."""
        if isinstance(message, Routes) and self._ingress is not None:
            self._ingress.set_app(message.app, message.entries, message.streams)
        if isinstance(message, Drain):
            self._task(self._drain_for(heir, message), f"takeover: drain {message.id}")

    async def _drain_for(self, heir: Heir, wanted: Drain) -> None:
        if self._ingress is not None:
            heir.channel.send(Drained(wanted.id, await self._ingress.drain(wanted.instances, wanted.timeout)))

    async def _once_more(self, wish: Wish) -> Heir | None:
        """Start the version on trial again; whoever connects meanwhile waits. None: it is of no use."""
        heir: Heir | None = None
        try:
            wish.started()
            heir = await Heir.start((*wish.command, *self._arguments), self._lock, self._listeners)
            which, _ = await race(stop=self._stop.wait(), ready=self._let_take(heir))
            if which == "ready":
                return heir
            await heir.end()
        except MinipaasError as error:
            log.error("the new process of minipaas has died again: %s", error.message)
            if heir is not None:
                await heir.kill()
        return None

    async def _let_take(self, heir: Heir) -> None:
        await heir.expect(Here, limits.START)
        heir.channel.send(Go())
        await heir.expect(Ready, self._settings.ready)

    def _resume(self, wish: Wish, heir: Heir, reason: str, *, served: bool) -> None:
        """This process serves again."""
        self.busy = ""
        wish.failed(reason, list(heir.last_lines), served=served)

    # -- as a new program --------------------------------------------------------------------------------------------

    async def _see_off(self, channel: Channel) -> None:
        """The process that served for us lets its connections end, and goes."""
        while await channel.receive() is not None:
            pass
        channel.close()
        self.busy = ""
        await self._reap()

    async def _reap(self) -> None:
        """A child of the program that this process was before."""
        with contextlib.suppress(ChildProcessError):
            child = self._inheritance.child
            while child and os.waitpid(child, os.WNOHANG) == (0, 0):  # noqa: ASYNC110, ASYNC222 - it does not wait
                await asyncio.sleep(limits.GLANCE)
