"""OpenTelemetry's logs over HTTP, as JSON.

Source: https://opentelemetry.io/docs/specs/otlp/ and its logs data model. JSON and not Protobuf, because both are
stable and every collector takes both on one port, and compressed they weigh nearly the same; Protobuf would cost the
binary a library that nothing else here needs. Text that is not UTF-8 goes out as bytes: all of it survives.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from minipaas.model.logs import Level, Line, Source
from minipaas.telemetry.shipping.answer import Answer, NotSent, told
from minipaas.telemetry.shipping.origin import Origin, level_told, short

_SEVERITY = {Level.TRACE: 1, Level.DEBUG: 5, Level.INFO: 9, Level.WARN: 13, Level.ERROR: 17, Level.FATAL: 21}
_encode = msgspec.json.Encoder().encode


class _Partial(Struct, rename="camel"):
    rejected_log_records: int | str = 0
    error_message: str = ""


class _Answered(Struct, rename="camel"):
    partial_success: _Partial | None = None


_decoder = msgspec.json.Decoder(_Answered)


class Otlp:
    """`clock`: nanoseconds since 1970."""

    path = "/v1/logs"
    media = "application/json"

    def __init__(self, origin: Origin, clock: Callable[[], int] = time.time_ns) -> None:
        self._origin = origin
        self._clock = clock

    def encode(self, lines: Iterable[Line]) -> bytes:
        """One ExportLogsServiceRequest; a resource is a container."""
        now = str(self._clock())
        resources: dict[str, tuple[Source, list[msgspec.Raw]]] = {}
        for line in lines:
            key = line.source.container
            if key not in resources:
                resources[key] = line.source, []
            resources[key][1].append(msgspec.Raw(_encode(self._record(line, now))))  # not all at the end
        return _encode(
            {
                "resourceLogs": [
                    {
                        "resource": {"attributes": self._resource(source)},
                        "scopeLogs": [{"scope": {"name": "minipaas"}, "logRecords": records}],
                    }
                    for source, records in resources.values()
                ]
            }
        )

    def _resource(self, source: Source) -> list[dict[str, object]]:
        told_of = {
            "host.name": self._origin.host,
            "service.namespace": source.app,
            "service.name": source.service,
            "service.instance.id": source.instance,
            "service.version": short(source.release),
            "container.id": source.container,
            "minipaas.box": self._origin.box,
        }
        return [_attribute(key, value) for key, value in told_of.items() if value]

    def _record(self, line: Line, now: str) -> dict[str, object]:
        record: dict[str, object] = {
            "timeUnixNano": str(line.time),
            "observedTimeUnixNano": now,
            "body": _body(line.text.removesuffix(b"\r")),
            "attributes": [
                _attribute("log.iostream", line.stream.value),
                _attribute("log.record.uid", self._origin.id_of(line)),
            ],
        }
        level = level_told(line)
        if level is not None:
            record |= {"severityNumber": _SEVERITY[level], "severityText": level.value.upper()}
        return record

    def judge(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """It may have rejected some, and says how many."""
        try:
            partial = (_decoder.decode(body) if body.strip() else _Answered()).partial_success
            rejected = int(partial.rejected_log_records) if partial is not None else 0
        except (msgspec.MsgspecError, ValueError):
            raise NotSent("it answers with something that is not OTLP; is that address right?") from None
        return Answer(refused=min(rejected, len(lines)), why=told(partial.error_message) if partial else "")

    def refusal(self, body: bytes, lines: Sequence[Line]) -> Answer | None:
        """It says nothing of lines there."""
        return None


def _attribute(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


def _body(text: bytes) -> dict[str, str]:
    try:
        return {"stringValue": text.decode()}
    except UnicodeDecodeError:
        return {"bytesValue": base64.b64encode(text).decode()}
