"""Destinations on loopback: they answer as the real ones do, keep what they took, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

Misbehave = Callable[[web.Request, bytes], web.StreamResponse | None]


class Receiver:
    """An HTTP server that goes away and comes back at the same port. `misbehaves`: what it answers instead, once each,
    the first first."""

    path = "/"

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.requests: list[tuple[web.Request, bytes]] = []
        self.misbehaves: list[Misbehave] = []
        self.slow = 0.0
        self._tls = tls
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://localhost:{self.port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/{any:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()  # aiohttp has taken the gzip off
        self.requests.append((request, body))
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.misbehaves:
            instead = self.misbehaves.pop(0)(request, body)
            if instead is not None:
                return instead
        if request.path != self.path or request.method != "POST":
            return web.json_response({"error": "no handler found"}, status=404)
        return self.take(request, body)

    def take(self, request: web.Request, body: bytes) -> web.StreamResponse:
        raise NotImplementedError

    def lines(self, instance: str | None = None) -> list[str]:
        """In the order in which they came."""
        raise NotImplementedError


class Elastic(Receiver):
    """`_bulk`: creates by id, 409 for what is there."""

    path = "/_bulk"

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}
        self.conflicts = 0
        self.judge: Callable[[dict[str, Any]], tuple[int, str]] = lambda document: (201, "")
        """Status and kind of error of a document."""

    def take(self, request: web.Request, body: bytes) -> web.StreamResponse:
        assert body.endswith(b"\n"), "the last line must end too"
        rows = [json.loads(row) for row in body.splitlines()]
        items = [
            self._create(action["create"], document) for action, document in zip(rows[::2], rows[1::2], strict=True)
        ]
        errors = any(item["status"] > 299 for item in items)
        return web.json_response({"errors": errors, "items": [{"create": item} for item in items]})

    def _create(self, action: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
        key = action["_index"], action["_id"]
        status, kind = self.judge(document)
        if key in self.documents:
            self.conflicts += 1
            status, kind = 409, "version_conflict_engine_exception"
        if status == 201:
            self.documents[key] = document
            return {"status": 201}
        return {"status": status, "error": {"type": kind, "reason": f"[{kind}] because"}}

    def lines(self, instance: str | None = None) -> list[str]:
        return [
            one["message"]
            for one in self.documents.values()
            if instance is None or one["service"]["node"]["name"] == instance
        ]


class Loki(Receiver):
    """Push: takes what is in order enough, and says 400 for the rest; what it has it does not take twice."""

    path = "/loki/api/v1/push"

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[tuple[tuple[str, str], ...], list[tuple[int, str]]] = {}
        self.longest = 256 * 1024
        self.tell_how_many = True

    def take(self, request: web.Request, body: bytes) -> web.StreamResponse:
        ignored = total = 0
        for stream in json.loads(body)["streams"]:
            kept = self.streams.setdefault(tuple(sorted(stream["stream"].items())), [])
            for time, text in stream["values"]:
                total += 1
                assert isinstance(time, str), "Loki wants a string"
                if len(text) > self.longest:
                    ignored += 1
                elif (int(time), text) not in kept[-3000:]:
                    kept.append((int(time), text))
        if ignored:
            said = "entry with timestamp 2026-11-24 ignored, reason: 'max entry size exceeded',\n"
            how_many = f"user 'fake', total ignored: {ignored} out of {total} for stream: {{}}"
            return web.Response(status=400, text=said + (how_many if self.tell_how_many else ""))
        return web.Response(status=204)

    def lines(self, instance: str | None = None) -> list[str]:
        return [
            text
            for labels, kept in self.streams.items()
            if instance in (None, dict(labels)["instance"])
            for _, text in kept
        ]


class Otlp(Receiver):
    """Logs as OpenTelemetry's own schema reads them (opentelemetry-proto)."""

    path = "/v1/logs"

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[dict[str, str], Any]] = []
        self.uids: Counter[str] = Counter()
        self.rejects = 0

    def take(self, request: web.Request, body: bytes) -> web.StreamResponse:
        from google.protobuf import json_format
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        if request.content_type == "application/json":
            said = json_format.Parse(body, ExportLogsServiceRequest())
        else:
            assert request.content_type == "application/x-protobuf"
            said = ExportLogsServiceRequest.FromString(body)
        for resource in said.resource_logs:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    uid = next(one.value.string_value for one in record.attributes if one.key == "log.record.uid")
                    self.uids[uid] += 1
                    if self.uids[uid] == 1:
                        self.records.append((attributes, record))
        if self.rejects:
            rejected, self.rejects = self.rejects, 0
            partial = {"rejectedLogRecords": str(rejected), "errorMessage": "too old"}
            return web.json_response({"partialSuccess": partial})
        return web.json_response({})

    def lines(self, instance: str | None = None) -> list[str]:
        return [
            record.body.string_value
            for attributes, record in self.records
            if instance in (None, attributes["service.instance.id"])
        ]


def answers(status: int, text: str = "", **headers: str) -> Misbehave:
    """That instead, and nothing is taken."""
    return lambda request, body: web.Response(
        status=status, text=text, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def breaks_off(receiver: Receiver) -> Misbehave:
    """It takes the lines, and the connection breaks in the middle of its answer."""

    def breaking(request: web.Request, body: bytes) -> web.StreamResponse:
        receiver.take(request, body)
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        request.transport.close()
        return web.Response()

    return breaking
