"""Loki: streams, their labels and their order, and what it says of lines that it ignores."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from minipaas.model.logs import Line, Stream
from minipaas.model.shipping import Kind
from minipaas.telemetry import limits
from minipaas.telemetry.shipping.loki import Loki
from minipaas.telemetry.shipping.origin import Origin
from tests.telemetry.logs.conmon import START, source
from tests.telemetry.shipping import receivers
from tests.telemetry.shipping.site import Site, config

FORM = Loki(Origin("0123456789abcdef", "edge1"))


def test_a_request() -> None:
    web, hook = source("c1", release="sha256:0123456789abcdef"), source("c2", release="")
    lines = [
        Line(START + 5, 90, Stream.STDOUT, b"later", web),
        Line(START, 200, Stream.STDOUT, b"the clock was set back", web),
        Line(START + 1, 40, Stream.STDERR, b"\xff", web),
        Line(START + 2, 0, Stream.STDOUT, b"migrated", hook),
    ]
    said = json.loads(FORM.encode(lines))
    labels = {"host": "edge1", "app": "shop", "service": "web", "instance": "shop-web-c1", "release": "0123456789ab"}
    assert said["streams"] == [
        {
            "stream": {**labels, "stream": "stdout"},
            "values": [[str(START), "the clock was set back"], [str(START + 5), "later"]],
        },
        {"stream": {**labels, "stream": "stderr"}, "values": [[str(START + 1), "\ufffd"]]},
        {
            "stream": {"host": "edge1", "app": "shop", "service": "web", "instance": "shop-web-c2", "stream": "stdout"},
            "values": [[str(START + 2), "migrated"]],
        },
    ]


@pytest.fixture
async def loki() -> AsyncIterator[receivers.Loki]:
    one = receivers.Loki()
    await one.start()
    yield one
    await one.stop()


@pytest.mark.parametrize("tells", [True, False])
async def test_what_it_ignores_is_counted_and_the_rest_is_there(
    tmp_path: Path, loki: receivers.Loki, tells: bool
) -> None:
    loki.longest, loki.tell_how_many = 100, tells
    texts = [f"line {number}" + ("x" * 200 if number in (3, 50) else "") for number in range(100)]
    async with Site(tmp_path, config(Kind.LOKI, loki.url, tenant="plant-7")).running() as site:
        site.write(*texts)
        state = await site.until_state(lambda one: one.refused and not one.behind_bytes)
    assert state.refused == 2
    assert "max entry size exceeded" in state.refused_why
    assert sorted(loki.lines()) == sorted(text for text in texts if len(text) < 100)
    assert loki.requests[0][0].headers["X-Scope-OrgID"] == "plant-7"
    assert tells == (len(loki.requests) == 1)


async def test_when_it_refuses_all_and_does_not_say_of_which_lines_nothing_is_passed_over(
    tmp_path: Path, loki: receivers.Loki
) -> None:
    loki.longest, loki.tell_how_many = 0, False
    texts = [f"line {number}" for number in range(1000)]
    async with Site(tmp_path, config(Kind.LOKI, loki.url)).running() as site:
        site.write(*texts)
        state = await site.until_state(lambda one: one.failing and one.retry_at)
        assert state.error.startswith("it refuses everything: entry with timestamp")
        loki.longest = 100
        state = await site.until_state(lambda one: one.lines == 1000)
    assert loki.lines() == texts
    assert (state.refused, state.failing) == (0, False)


async def test_many_that_are_refused_cost_few_requests(tmp_path: Path, loki: receivers.Loki) -> None:
    loki.longest, loki.tell_how_many = 100, False
    texts = [f"line {number}" + ("x" * 200 if number % 7 == 3 else "") for number in range(1000)]
    async with Site(tmp_path, config(Kind.LOKI, loki.url)).running() as site:
        site.write(*texts)
        state = await site.until_state(lambda one: one.refused and not one.behind_bytes)
    assert len(loki.requests) <= 2 * limits.SHIP_SPLITS + 2
    assert set(loki.lines()) == {text for text in texts if len(text) < 100}  # it takes what is good of what it refuses
    assert state.refused + state.lines == 1000


async def test_one_line_alone_that_is_refused(tmp_path: Path, loki: receivers.Loki) -> None:
    loki.longest, loki.tell_how_many = 100, False
    async with Site(tmp_path, config(Kind.LOKI, loki.url)).running() as site:
        site.write("good")
        await site.until_state(lambda one: one.lines == 1)
        site.write("x" * 200)
        state = await site.until_state(lambda one: one.refused)
    assert (state.refused, state.lines, state.failing) == (1, 1, False)
