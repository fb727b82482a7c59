"""OTLP: read by the standard's own schema, and by a collector that others wrote (rotel)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import rotel
from google.protobuf import json_format
from kit.box import free_port
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from minipaas.model.logs import Line, Stream
from minipaas.model.shipping import Kind
from minipaas.telemetry.shipping.answer import Answer, NotSent
from minipaas.telemetry.shipping.origin import Origin
from minipaas.telemetry.shipping.otlp import Otlp
from tests.listening import listening
from tests.telemetry.logs.conmon import START, source
from tests.telemetry.shipping import receivers
from tests.telemetry.shipping.site import Site, config

FORM = Otlp(Origin("0123456789abcdef", "edge1"), clock=lambda: START + 5)


def line(text: bytes, container: str = "c1", stream: Stream = Stream.STDOUT, at: int = 7) -> Line:
    return Line(START, at, stream, text, source(container))


def test_a_request() -> None:
    lines = [
        line(b'{"level": "error", "msg": "no"}'),
        line(b"\xff\x00 binary", "c2"),
        line("ä\r".encode(), stream=Stream.STDERR, at=90),
    ]
    said = json_format.Parse(FORM.encode(lines), ExportLogsServiceRequest())
    first, second = said.resource_logs
    attributes = {one.key: one.value.string_value for one in first.resource.attributes}
    assert attributes == {
        "host.name": "edge1",
        "service.namespace": "shop",
        "service.name": "web",
        "service.instance.id": "shop-web-c1",
        "service.version": "1",
        "container.id": "c1",
        "minipaas.box": "0123456789abcdef",
    }
    error, later = first.scope_logs[0].log_records
    assert (error.time_unix_nano, error.observed_time_unix_nano) == (START, START + 5)
    assert (error.severity_number, error.severity_text) == (17, "ERROR")
    assert (later.body.string_value, later.severity_number) == ("ä", 0)
    assert {one.key: one.value.string_value for one in later.attributes} == {
        "log.iostream": "stderr",
        "log.record.uid": f"0123456789ab-c1-{START:x}-90",
    }
    assert second.scope_logs[0].log_records[0].body.bytes_value == b"\xff\x00 binary"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"partialSuccess": null}', b'{"partialSuccess": {}}'])
def test_it_took_all(body: bytes) -> None:
    assert FORM.judge(body, [line(b"x")]) == Answer()


def test_it_rejected_some() -> None:
    said = b'{"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "too\\nold"}}'
    assert FORM.judge(said, [line(b"x")] * 3) == Answer(refused=2, why="too old")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"partialSuccess": {"rejectedLogRecords": "many"}}'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(NotSent, match="not OTLP"):
        FORM.judge(body, [line(b"x")])


async def test_what_was_rejected_is_counted(tmp_path: Path) -> None:
    receiver = receivers.Otlp()
    receiver.rejects = 3
    await receiver.start()
    try:
        async with Site(tmp_path, config(Kind.OTLP, receiver.url)).running() as site:
            site.write(*(f"line {number}" for number in range(10)))
            state = await site.until_state(lambda one: one.refused)
    finally:
        await receiver.stop()
    assert (state.refused, state.refused_why) == (3, "too old")


@pytest.fixture
async def behind() -> AsyncIterator[receivers.Otlp]:
    """Where the collector sends what it got."""
    one = receivers.Otlp()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def collector(behind: receivers.Otlp, tmp_path: Path) -> AsyncIterator[str]:
    """Its URL."""
    ports = free_port(), free_port()
    program = shutil.which("rotel-agent", path=str(Path(rotel.__file__).parent))
    assert program is not None, "rotel is not here: pip install rotel"
    command = [program, "start", "--otlp-http-endpoint", f"127.0.0.1:{ports[0]}"]
    command += ["--otlp-grpc-endpoint", f"127.0.0.1:{ports[1]}", "--exporter", "otlp", "--batch-timeout", "100ms"]
    command += ["--otlp-exporter-endpoint", behind.url, "--otlp-exporter-protocol", "http"]
    async with listening(tmp_path, *command, ports=(ports[0],)):
        yield f"http://127.0.0.1:{ports[0]}"


async def test_through_a_real_collector(tmp_path: Path, collector: str, behind: receivers.Otlp) -> None:
    wanted = [f"line {number}" for number in range(2000)]
    async with Site(tmp_path, config(Kind.OTLP, collector)).running() as site:
        for begin in range(0, 2000, 500):
            site.write(*wanted[begin : begin + 500])
            await asyncio.sleep(0.1)
        site.write(b"\xff\xfe", "level=warn careful", container="c2", stream="stderr")
        await site.until(lambda: len(behind.records) == 2002)
        state = await site.until_state(lambda one: one.lines == 2002)
    assert sorted(behind.lines("shop-web-c1"), key=lambda one: int(one[5:])) == wanted
    binary, careful = [record for attributes, record in behind.records if attributes["container.id"] == "c2"]
    assert binary.body.bytes_value == b"\xff\xfe"
    assert (careful.severity_number, careful.severity_text) == (13, "WARN")
    assert not state.failing
