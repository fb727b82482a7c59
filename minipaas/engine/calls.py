"""Control calls: a session in two bounded lanes of threads, every call with a deadline, every failure explained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from minipaas.engine import limits
from minipaas.engine.session import Params, Session, too_long
from minipaas.model.errors import EngineDown, EngineError

T = TypeVar("T")


def lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces as lines without their ends; a line longer than `limits.MAX_LINE` is cut into several."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        *whole, rest = rest.split(b"\n")
        yield from whole
        if len(rest) > limits.MAX_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest


class Calls:
    """Session calls from the event loop. Quick calls and slow ones (stop, pull) queue in lanes of their own."""

    def __init__(self, socket: str) -> None:
        self.session = Session(socket)
        self._quick = ThreadPoolExecutor(limits.QUICK_LANE, thread_name_prefix="podman")
        self._slow = ThreadPoolExecutor(limits.SLOW_LANE, thread_name_prefix="podman-slow")
        self._quick_turn = asyncio.Semaphore(limits.QUICK_LANE)
        self._slow_turn = asyncio.Semaphore(limits.SLOW_LANE)
        self._closed = False

    async def close(self) -> None:
        """Stop taking calls; threads end with the calls under way."""
        self._closed = True
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._slow.shutdown(wait=False, cancel_futures=True)
        self.session.close()

    async def run(self, what: str, work: Callable[[], T], timeout: float, *, slow: bool = False) -> T:  # noqa: ASYNC109
        """Do `work` in a thread. The deadline counts from its turn, and each one before it has a deadline too.

        Raises Deadline, EngineDown after `close`, and what `work` raises.
        """
        if self._closed:
            raise EngineDown(f"cannot {what}: minipaas is stopping", code="engine.closed")
        loop = asyncio.get_running_loop()
        async with self._slow_turn if slow else self._quick_turn:
            future = loop.run_in_executor(self._slow if slow else self._quick, work)
            try:
                # The socket's own time-out fires first; this one is for a body that trickles. (Not wait_for: in Python
                # 3.11 that swallows a cancellation which comes together with the result, and nobody ends then.)
                async with asyncio.timeout(timeout + 5):
                    return await future
            except TimeoutError:
                raise too_long(what, timeout) from None

    async def call(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = limits.CALL,  # noqa: ASYNC109
        accept: frozenset[int] = frozenset(),
        slow: bool = False,
    ) -> tuple[int, bytes]:
        """`Session.call` in a lane."""

        def work() -> tuple[int, bytes]:
            return self.session.call(
                what, method, path, params=params, json=json, headers=headers, timeout=timeout, accept=accept
            )

        return await self.run(what, work, timeout, slow=slow)

    async def get(self, what: str, path: str, kind: type[T], *, params: Params | None = None) -> T:
        """GET, decoded as `kind`. Raises EngineError also for an answer that is not of that shape."""
        _, body = await self.call(what, "GET", path, params=params)
        return decode(what, body, kind)

    async def get_list(self, what: str, path: str, item: type[T], *, params: Params | None = None) -> list[T]:
        """GET of a list; Go's `null` is an empty one."""
        _, body = await self.call(what, "GET", path, params=params)
        try:
            found: list[T] | None = msgspec.json.decode(body, type=list[item] | None)  # type: ignore[valid-type]
        except msgspec.MsgspecError as error:
            raise senseless(what, error) from None
        return found or []


def decode(what: str, body: bytes, kind: type[T]) -> T:
    """JSON of Podman as a struct. Raises EngineError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise senseless(what, error) from None


def senseless(what: str, error: msgspec.MsgspecError) -> EngineError:
    """The error for an answer that is not of the documented shape."""
    return EngineError(f"cannot {what}: Podman's answer makes no sense: {error}", code="engine.answer")
