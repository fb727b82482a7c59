"""Why an instance ended, and which ends are the same."""

from __future__ import annotations

import pytest

from minipaas.forensics.cause import cause_of, group_of, signal_name
from minipaas.model.capsule import Cause
from minipaas.model.observed import Instance, InstanceState


def instance(code: int, *, oom: bool = False) -> Instance:
    return Instance(
        id="0" * 64,
        name="minipaas-shop-web-1",
        app="shop",
        service="web",
        release="sha256:1",
        fingerprint="f",
        slot=1,
        generation=1,
        attempt=1,
        state=InstanceState.EXITED,
        exit_code=code,
        oom_killed=oom,
    )


@pytest.mark.parametrize(
    ("one", "stopped", "expected"),
    [
        (instance(3), "", (Cause.EXIT, "", "exit code 3")),
        (instance(0), "", (Cause.EXIT, "", "exit code 0")),
        (instance(139), "", (Cause.SIGNAL, "SIGSEGV", "ended by SIGSEGV")),
        (
            instance(137, oom=True),
            "",
            (Cause.MEMORY, "SIGKILL", "the kernel killed it: it wanted more memory than its limit"),
        ),
        (instance(143), "failed its health check: 500", (Cause.HEALTH, "", "failed its health check: 500")),
    ],
)
def test_cause(one: Instance, stopped: str, expected: tuple[Cause, str, str]) -> None:
    assert cause_of(one, stopped) == expected


@pytest.mark.parametrize(("code", "name"), [(1, ""), (128, ""), (134, "SIGABRT"), (190, "signal 62"), (255, "")])
def test_signals_as_shells_count_them(code: int, name: str) -> None:
    assert signal_name(code) == name


LINES = ["2026-11-24T08:00:01Z ERROR 42 worker 0x7f3a: cannot open 'a.txt'", "exit"]


@pytest.mark.parametrize(
    "other",
    [
        ["2026-11-25T09:30:59Z ERROR 43 worker 0x55ee: cannot open 'b.txt'", "exit"],
        ["something before", *LINES[:1], "", *LINES[1:]][1:],
        ["2026-11-24T08:00:01Z ERROR 42 worker 0x7f3a: cannot open 'a.txt'", "  exit  "],
    ],
)
def test_equal_failures(other: list[str]) -> None:
    assert group_of("shop", "web", Cause.EXIT, 1, LINES) == group_of("shop", "web", Cause.EXIT, 1, other)


@pytest.mark.parametrize(
    "other",
    [
        ("other", "web", Cause.EXIT, 1, LINES),
        ("shop", "db", Cause.EXIT, 1, LINES),
        ("shop", "web", Cause.MEMORY, 1, LINES),
        ("shop", "web", Cause.EXIT, 2, LINES),
        ("shop", "web", Cause.EXIT, 1, ["another reason"]),
    ],
)
def test_different_failures(other: tuple[str, str, Cause, int, list[str]]) -> None:
    assert group_of("shop", "web", Cause.EXIT, 1, LINES) != group_of(*other)


def test_how_a_hang_was_ended_makes_no_difference() -> None:
    assert group_of("shop", "web", Cause.HEALTH, 137, LINES) == group_of("shop", "web", Cause.HEALTH, 143, LINES)


def test_how_often_it_said_the_same_makes_no_difference() -> None:
    once, often = ["GET /1: 200"], [f"GET /{number}: 200" for number in range(9)]
    assert group_of("shop", "web", Cause.SIGNAL, 137, once) == group_of("shop", "web", Cause.SIGNAL, 137, often)
    assert group_of("shop", "web", Cause.SIGNAL, 137, [*often, "bye"]) != group_of(
        "shop", "web", Cause.SIGNAL, 137, often
    )
