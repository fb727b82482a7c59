"""Control calls: podman-py in two bounded lanes of threads, every call with a deadline, every failure explained.

podman-py (with requests) is imported at the first call. Its session is used for raw libpod paths, because its objects
inspect every container of a list. Paths are relative to `/v4.0.0/libpod`: Podman 4 and 5 both speak that version.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from minipaas.engine import limits
from minipaas.engine.causes import dropped, explain, podman_text, unreachable
from minipaas.model.errors import Deadline, EngineDown, EngineError

API_VERSION = "4.0.0"
T = TypeVar("T")
Params = Mapping[str, str | int | bool]


def flags(params: Params | None) -> dict[str, str]:
    """Query values in Go's spelling."""
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in (params or {}).items()}


class Session:
    """Synchronous calls on one socket; safe to use from several threads."""

    def __init__(self, socket: str) -> None:
        self.socket = socket.removeprefix("unix://")
        self._client: Any = None
        self._lock = threading.Lock()

    def _api(self) -> Any:
        with self._lock:
            if self._client is None:
                from podman import PodmanClient

                lanes = limits.QUICK_LANE + limits.SLOW_LANE
                self._client = PodmanClient(
                    base_url=f"unix://{self.socket}", version=API_VERSION, timeout=limits.CALL, max_pool_size=lanes
                )
            return self._client.api

    def close(self) -> None:
        """Drop the pooled connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _send(self, what: str, method: str, path: str, timeout: float, **options: Any) -> Any:
        import requests
        from podman.errors import APIError

        try:
            # Both packages wrap one another's errors; what is underneath tells them apart.
            return self._api()._request(method, path, timeout=(limits.CALL, timeout), **options)
        except (APIError, requests.RequestException, OSError) as error:
            raise self.translate(what, timeout, error) from error

    def translate(self, what: str, timeout: float, error: BaseException) -> EngineError:
        """An exception of podman-py, requests or urllib3 as one of ours."""
        import requests

        chain = list(_chain(error))
        if any(isinstance(link, requests.Timeout | TimeoutError) for link in chain):
            return too_long(what, timeout)
        connected = not any("Unable to make connection" in str(link) for link in chain)
        return dropped(what) if connected else unreachable(self.socket)

    def call(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: object = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = limits.CALL,
        accept: frozenset[int] = frozenset(),
    ) -> tuple[int, bytes]:
        """Status and body; `timeout` is the longest silence. Raises EngineError for 4xx and 5xx not in `accept`."""
        headers = dict(headers or {})
        if json is not None:
            data = msgspec.json.encode(json)
            headers["Content-Type"] = "application/json"
        answer = self._send(what, method, path, timeout, params=flags(params), data=data, headers=headers, stream=True)
        try:
            body = self._body(what, answer, timeout)
        finally:
            answer.close()
        status = int(answer.status_code)
        if status >= 400 and status not in accept:
            raise explain(what, podman_text(body), status)
        return status, body

    def _body(self, what: str, answer: Any, timeout: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in self._chunks(what, answer, timeout):
            size += len(part)
            if size > limits.MAX_ANSWER:
                raise EngineError(f"cannot {what}: Podman's answer is larger than {limits.MAX_ANSWER} bytes")
            parts.append(part)
        return b"".join(parts)

    def _chunks(self, what: str, answer: Any, timeout: float) -> Iterator[bytes]:
        import requests

        try:
            yield from answer.iter_content(64 * 1024)
        except (requests.RequestException, OSError) as error:
            raise self.translate(what, timeout, error) from error

    def stream(
        self,
        what: str,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Iterator[bytes]:
        """The body in pieces as it comes; `timeout` is the longest silence. Raises as `call` does."""
        answer = self._send(
            what, method, path, timeout, params=flags(params), data=data, headers=dict(headers or {}), stream=True
        )
        try:
            if answer.status_code >= 400:
                raise explain(what, podman_text(self._body(what, answer, timeout)), int(answer.status_code))
            yield from self._chunks(what, answer, timeout)
        finally:
            answer.close()


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


def too_long(what: str, timeout: float) -> Deadline:
    """The error for a call that outlived its deadline."""
    hint = "Podman is slow or stuck; a full or failing disk is the usual cause"
    return Deadline(f"cannot {what}: Podman took longer than {timeout:g} s", hint=hint, code="engine.deadline")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, and the exceptions that urllib3 hides in `args`."""
    todo: list[BaseException] = [error]
    seen: set[int] = set()
    while todo:
        link = todo.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        near = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        todo += [other for other in near if isinstance(other, BaseException)]


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
                # The socket's own time-out fires first; this one is for a body that trickles.
                return await asyncio.wait_for(future, timeout + 5)
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
