"""Elasticsearch's and OpenSearch's `_bulk`: two lines of JSON for each line of a log.

Source: https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk; fields by the Elastic Common Schema.
Each document has an id made of its place, and is created, never indexed over: what comes a second time is answered with
409, so at least once becomes once, also in data streams, which know nothing but `create`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from minipaas.model.logs import Line
from minipaas.telemetry.logs.lines import SECOND
from minipaas.telemetry.shipping.answer import Answer, NotSent, told
from minipaas.telemetry.shipping.origin import Origin, level_told, short, text_of

_NOT_THE_LINES_FAULT = ("index_not_found_exception", "invalid_index_name_exception", "security_exception")
_HERE = 200, 201, 409
_encode = msgspec.json.Encoder().encode


class _Error(Struct):
    type: str = ""
    reason: str = ""


class _Result(Struct):
    status: int
    error: _Error | str | None = None


class _Bulk(Struct):
    errors: bool
    items: list[dict[str, _Result]] = []


_decoder = msgspec.json.Decoder(_Bulk)


class Elasticsearch:
    """`index` may have `{app}` and `{day}` in it."""

    path = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
    media = "application/x-ndjson"

    def __init__(self, origin: Origin, index: str) -> None:
        self._origin = origin
        self._index = index

    def encode(self, lines: Iterable[Line]) -> bytes:
        """Action and document, by turns."""
        return b"\n".join(part for line in lines for part in self._parts(line)) + b"\n"

    def _parts(self, line: Line) -> Iterator[bytes]:
        seconds, rest = divmod(line.time, SECOND)
        moment = datetime.fromtimestamp(seconds, UTC)
        index = self._index
        if "{" in index:
            index = index.replace("{app}", line.source.app).replace("{day}", f"{moment:%Y.%m.%d}")
        yield _encode({"create": {"_index": index, "_id": self._origin.id_of(line)}})
        source, level = line.source, level_told(line)
        document: dict[str, object] = {
            "@timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z",
            "message": text_of(line),
            "event": {"sequence": line.at},
            "host": {"name": self._origin.host},
            "service": {"name": source.service, "node": {"name": source.instance}},
            "container": {"id": source.container},
            "minipaas": {
                "box": self._origin.box,
                "app": source.app,
                "release": short(source.release),
                "stream": line.stream.value,
            },
        }
        if level is not None:
            document["log"] = {"level": level.value}
        yield _encode(document)

    def judge(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """Item by item; those that are there already are well."""
        try:
            bulk = _decoder.decode(body)
        except msgspec.MsgspecError:
            raise NotSent("it answers with something that is no answer to _bulk; is that address right?") from None
        if not bulk.errors:
            return Answer()
        if len(bulk.items) != len(lines) or not all(bulk.items):
            raise NotSent(f"it answers for {len(bulk.items)} of {len(lines)} lines")
        again: list[Line] = []
        refused, why, again_why = 0, "", ""
        for line, item in zip(lines, bulk.items, strict=True):
            result = next(iter(item.values()))
            if result.status in _HERE:
                continue
            kind, reason = _words(result.error)
            said = told(f"{reason or kind or 'no reason given'} ({result.status})")
            if result.status in (400, 413, 422) and kind not in _NOT_THE_LINES_FAULT:
                refused += 1
                why = why or said
            else:
                again.append(line)
                again_why = again_why or said
        return Answer(again=tuple(again), refused=refused, why=why, again_why=again_why)

    def refusal(self, body: bytes, lines: Sequence[Line]) -> Answer | None:
        """It says nothing of lines there."""
        return None


def _words(error: _Error | str | None) -> tuple[str, str]:
    if isinstance(error, _Error):
        return error.type, error.reason
    return "", error or ""
