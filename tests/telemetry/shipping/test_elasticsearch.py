"""Elasticsearch: what a document looks like, and what an answer means."""

from __future__ import annotations

import json

import msgspec
import pytest

from minipaas.model.logs import Line, Stream
from minipaas.telemetry.shipping.answer import Answer, NotSent
from minipaas.telemetry.shipping.elasticsearch import Elasticsearch
from minipaas.telemetry.shipping.origin import Origin
from tests.telemetry.logs.conmon import START, source

ORIGIN = Origin("0123456789abcdef", "edge1")
FORM = Elasticsearch(ORIGIN, "minipaas")


def line(text: bytes = b"x", at: int = 7) -> Line:
    return Line(START + 1, at, Stream.STDOUT, text, source("c1", release="sha256:0123456789abcdef"))


def test_a_document() -> None:
    action, document = map(json.loads, FORM.encode([line(b'{"level":"warn"}')]).splitlines())
    assert action == {"create": {"_index": "minipaas", "_id": f"0123456789ab-c1-{START + 1:x}-7"}}
    assert document == {
        "@timestamp": "2026-11-24T10:40:58.000000001Z",
        "message": '{"level":"warn"}',
        "event": {"sequence": 7},
        "host": {"name": "edge1"},
        "service": {"name": "web", "node": {"name": "shop-web-c1"}},
        "container": {"id": "c1"},
        "minipaas": {"box": "0123456789abcdef", "app": "shop", "release": "0123456789ab", "stream": "stdout"},
        "log": {"level": "warn"},
    }


def test_the_index_of_an_app_and_a_day() -> None:
    action = json.loads(Elasticsearch(ORIGIN, "edge-{app}-{day}").encode([line()]).splitlines()[0])
    assert action["create"]["_index"] == "edge-shop-2026.11.24"


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert json.loads(FORM.encode([line(b"\xff\x00\r")]).splitlines()[1])["message"] == "\ufffd\x00"


@pytest.mark.parametrize(
    ("status", "kind", "again", "refused"),
    [
        (201, "", False, 0),
        (409, "version_conflict_engine_exception", False, 0),
        (429, "es_rejected_execution_exception", True, 0),
        (503, "unavailable_shards_exception", True, 0),
        (500, "", True, 0),
        (404, "index_not_found_exception", True, 0),
        (403, "cluster_block_exception", True, 0),
        (400, "invalid_index_name_exception", True, 0),
        (400, "document_parsing_exception", False, 1),
        (400, "mapper_parsing_exception", False, 1),
        (400, "illegal_argument_exception", False, 1),
        (413, "", False, 1),
    ],
)
def test_an_item(status: int, kind: str, again: bool, refused: int) -> None:
    item = {"status": status} | ({"error": {"type": kind, "reason": "so it is"}} if kind else {})
    lines = [line(), line(at=8)]
    body = msgspec.json.encode({"errors": True, "items": [{"create": {"status": 201}}, {"create": item}]})
    answer = FORM.judge(body, lines)
    assert (answer.again, answer.refused) == ((lines[1],) if again else (), refused)
    if kind and (again or refused):
        assert (answer.again_why or answer.why) == f"so it is ({status})"


def test_all_well() -> None:
    assert FORM.judge(b'{"errors": false}', [line()]) == Answer()


@pytest.mark.parametrize(
    "body", [b"", b"<html>hello</html>", b"{}", b'{"errors": true, "items": []}', b'{"errors": true, "items": [{}]}']
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(NotSent):
        FORM.judge(body, [line()])
