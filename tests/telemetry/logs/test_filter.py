"""What a line must be like to be found, and what the index is asked."""

from __future__ import annotations

import pytest

from minipaas.model.logs import Level, Line, Stream, Wanted
from minipaas.telemetry.logs.filter import Filter
from tests.telemetry.logs.conmon import source


def line(text: str, **values: object) -> Line:
    usual: dict[str, object] = {"time": 100, "at": 7, "stream": Stream.STDOUT, "source": source()}
    return Line(text=text.encode(), **{**usual, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "text", "found"),
    [
        ("timeout", "a Timeout happened", True),
        ("time", "a timeout", True),
        ("time", "runtime", False),
        ("*time", "runtime", True),
        ("out of mem", "killed: out of memory", True),
        ("out of mem", "out  of memory", False),
        ("=42", "n=421", True),
        ("a-b", "x a-b", True),
        ("时间", "超时间隔", True),
        ("é", "café", True),
        ("time", "run-time and runtime", True),
        ("time", "runtime time", True),
    ],
)
def test_text(asked: str, text: str, found: bool) -> None:
    assert Filter(Wanted(text=asked)).fits(line(text)) is found


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ("", ""),
        ("Timeout", '("timeout"*)'),
        ("out of mem", '("out" AND "of" AND "mem"*)'),
        ("id=42 ", '("id" AND "42")'),
        ("a", ""),
        ("*time", ""),
        ("超时", ""),
        ('"; DROP', '("drop"*)'),
    ],
)
def test_what_the_index_is_asked(asked: str, match: str) -> None:
    assert Filter(Wanted(text=asked)).match == match


def test_the_other_conditions() -> None:
    assert not Filter(Wanted(since=101)).fits(line("x"))
    assert not Filter(Wanted(until=100)).fits(line("x"))
    assert Filter(Wanted(since=100, until=101)).fits(line("x"))
    assert not Filter(Wanted(stream=Stream.STDERR)).fits(line("x"))
    assert Filter(Wanted(stream=Stream.STDERR)).fits(line("dropped", stream=Stream.MINIPAAS)), "that is never hidden"
    assert Filter(Wanted(level=Level.WARN)).fits(line('{"level":"error"}'))
    assert not Filter(Wanted(level=Level.WARN)).fits(line('{"level":"info"}'))
    assert not Filter(Wanted(before=line("x").order)).fits(line("x"))
    assert Filter(Wanted(before=line("x", at=8).order)).fits(line("x"))


def test_whose_lines() -> None:
    assert Filter(Wanted(service="web")).of_source(source())
    assert not Filter(Wanted(service="worker")).of_source(source())
    assert Filter(Wanted(instance="shop-web-c1")).of_source(source())
    assert Filter(Wanted(instance="minipaas-shop-web-c1")).of_source(source()), "as status and Podman name it"
    assert not Filter(Wanted(instance="web-c1")).of_source(source())
    assert not Filter(Wanted(releases=frozenset({"sha256:2"}))).of_source(source())
