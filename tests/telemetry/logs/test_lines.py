"""Podman's log file as lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from minipaas.telemetry.logs.lines import cut, read, remark, span, stamp_of, time_of, words
from tests.telemetry.logs.conmon import START, source

AT = stamp_of(START)
LATER = stamp_of(START + 5)


def texts(data: bytes) -> list[tuple[str, bytes]]:
    return [(line.stream.value, line.text) for line in read(data, 0, source())]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"%s stdout F hello\n" % AT, [("stdout", b"hello")]),
        (b"%s stderr F \n" % AT, [("stderr", b"")]),
        (b"%s stdout F a\rb\x00\xff\n" % AT, [("stdout", b"a\rb\x00\xff")]),
        (b"%s stdout P one \n%s stdout F line\n" % (AT, LATER), [("stdout", b"one line")]),
        (
            b"%s stdout P one \n%s stderr F other\n%s stdout F line\n" % (AT, AT, AT),
            [("stdout", b"one line"), ("stderr", b"other")],
        ),
        (b"%s stdout P never ended\n" % AT, [("stdout", b"never ended")]),
        (b"not of conmon\n%s stdout F x\n" % AT, [("stdout", b"not of conmon"), ("stdout", b"x")]),
        (remark(START, "dropped 3 lines"), [("minipaas", b"dropped 3 lines")]),
        (b"%s stdout F cut o" % AT, [("stdout", b"cut o")]),
        (b"", []),
    ],
)
def test_lines(data: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert texts(data) == expected


def test_a_line_stands_where_its_first_piece_does() -> None:
    data = b"%s stdout F x\n%s stdout P one \n%s stdout F line\n" % (AT, AT, LATER)
    first, second = read(data, 1000, source())
    assert (first.at, second.at) == (1000, 1000 + len(AT) + len(b" stdout F x\n"))
    assert second.time == START


@given(some.integers(min_value=0, max_value=4_000_000_000_000_000_000))
def test_times_survive(time: int) -> None:
    assert time_of(stamp_of(time)) == time


@pytest.mark.parametrize("stamp", [b"", b"2026-11-24", b"2026-13-24T11:40:58.123456789+00:00", b"\xff" * 35])
def test_what_is_no_time(stamp: bytes) -> None:
    assert time_of(stamp) == 0


def test_another_time_zone() -> None:
    assert time_of(b"2026-11-24T12:40:58.000000001+01:00") == time_of(b"2026-11-24T11:40:58.000000001+00:00")


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"%s stdout F a\nrest" % AT, b"%s stdout F a\n" % AT),
        (b"%s stdout P a\n" % AT, b""),
        (b"%s stdout F a\n%s stdout P b\n%s stderr F c\n" % (AT, AT, AT), b"%s stdout F a\n" % AT),
        (b"%s stdout P a\n%s stdout F b\n" % (AT, AT), None),
        (b"no end", b""),
    ],
)
def test_cut_never_parts_a_line(data: bytes, whole: bytes | None) -> None:
    assert data[: cut(data)] == (data if whole is None else whole)


def test_words_are_small_ascii_without_heads() -> None:
    data = b"%s stdout F Hello_W\xc3\xb6rld-42\n%s stdout P time\n%s stdout F out\n" % (AT, AT, AT)
    assert words(data, source()).split() == ["hello", "w", "rld", "42", "timeout"]
    assert words(b"%s stdout F Hello\n" % AT, source()).split() == ["hello"]


def test_span_of_a_clock_that_was_set_back() -> None:
    data = b"%s stdout F a\n%s stdout F b\n" % (LATER, AT)
    assert span(data, 0) == (START, START + 5)
    assert span(b"nonsense\n", 7) == (7, 7)
