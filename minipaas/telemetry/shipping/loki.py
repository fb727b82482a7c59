"""Loki's push: lines by stream, a stream being a set of labels.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs. Labels have few values: whatever is
different in each line stays in the line. Within a stream lines go out in the order of their times. What Loki has
already (same stream, time and text) it does not take twice. When it refuses single lines it takes the others, and
answers 400 all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from minipaas.model.logs import Line
from minipaas.telemetry.shipping.answer import Answer, told
from minipaas.telemetry.shipping.origin import Origin, short, text_of

_IGNORED = re.compile(rb"total ignored: (\d+) out of (\d+)")
_encode = msgspec.json.Encoder().encode


class Loki:
    """Labels: host, app, service, instance, stream, release."""

    path = "/loki/api/v1/push"
    media = "application/json"

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def encode(self, lines: Iterable[Line]) -> bytes:
        """One request."""
        streams: dict[tuple[str, str], tuple[dict[str, str], list[tuple[int, str]]]] = {}
        for line in lines:
            key = (line.source.container, line.stream)
            if key not in streams:
                streams[key] = self._labels(line), []
            streams[key][1].append((line.time, text_of(line)))
        return _encode(
            {
                "streams": [
                    {"stream": labels, "values": [(str(time), text) for time, text in sorted(of, key=_time)]}
                    for labels, of in streams.values()
                ]
            }
        )

    def _labels(self, line: Line) -> dict[str, str]:
        source = line.source
        labels = {
            "host": self._origin.host,
            "app": source.app,
            "service": source.service,
            "instance": source.instance,
            "stream": line.stream.value,
        }
        if source.release:
            labels["release"] = short(source.release)
        return labels

    def judge(self, body: bytes, lines: Sequence[Line]) -> Answer:
        """It took all."""
        return Answer()

    def refusal(self, body: bytes, lines: Sequence[Line]) -> Answer | None:
        """How many it ignored, where it says so."""
        match = _IGNORED.search(body)
        if match is None or not 0 < int(match[1]) <= int(match[2]) == len(lines):
            return None
        return Answer(refused=int(match[1]), why=told(body.decode(errors="replace")))


def _time(value: tuple[int, str]) -> int:
    return value[0]
