"""Parting: which lines of a batch are refused, at what price, and when that is not believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from minipaas.model.logs import Line, Stream
from minipaas.telemetry import limits
from minipaas.telemetry.shipping.answer import Answer
from minipaas.telemetry.shipping.parting import Parting
from tests.telemetry.logs.conmon import START, source

SOURCE = source()


def lines(count: int) -> list[Line]:
    return [Line(START, number, Stream.STDOUT, b"x", SOURCE) for number in range(count)]


def play(parting: Parting, bad: Callable[[Line], bool]) -> tuple[int, list[int]]:
    """Against a destination that refuses a request for one bad line; how often it was asked, and what it took."""
    asked, took = 0, []
    while (some := parting.next()) is not None:
        asked += 1
        refused = any(map(bad, some))
        took += [] if refused else [line.at for line in some]
        parting.note(some, Answer(split=refused, why="bad" if refused else ""))
    return asked, took


def test_all_good() -> None:
    parting = Parting(lines(100), proven=False)
    assert play(parting, lambda line: False) == (1, list(range(100)))
    assert (parting.refused, parting.doubtful, parting.taken) == (0, False, True)


def test_one_bad_line_is_found_wherever_it_stands() -> None:
    for bad in (0, 1, 2500, 4999):
        parting = Parting(lines(5000), proven=False)
        asked, took = play(parting, lambda line, bad=bad: line.at == bad)  # type: ignore[misc]
        assert took == [number for number in range(5000) if number != bad]
        assert (parting.refused, parting.why, parting.doubtful) == (1, "bad", False)
        assert asked <= 27


def test_many_bad_lines_cost_a_bounded_number_of_requests() -> None:
    parting = Parting(lines(5000), proven=True)
    asked, took = play(parting, lambda line: line.at % 10 == 3)
    assert asked <= 2 * limits.SHIP_SPLITS + 1
    assert parting.refused + len(took) == 5000


def test_who_refuses_everything_is_not_believed() -> None:
    for proven in (False, True):
        parting = Parting(lines(5000), proven=proven)
        assert play(parting, lambda line: True) == (limits.SHIP_DOUBTS, [])
        assert parting.doubtful


def test_one_line_alone_is_believed_of_who_took_others() -> None:
    for proven in (False, True):
        parting = Parting(lines(1), proven=proven)
        play(parting, lambda line: True)
        assert (parting.refused, parting.doubtful) == (1, not proven)


def test_what_is_said_of_lines_is_believed() -> None:
    parting = Parting(lines(3), proven=False)
    some: Sequence[Line] | None = parting.next()
    assert some is not None
    parting.note(some, Answer(refused=3, why="too old"))
    assert parting.next() is None
    assert (parting.refused, parting.doubtful, parting.taken) == (3, False, False)


def test_what_comes_again_is_sent_again() -> None:
    all_of_it = lines(3)
    parting = Parting(all_of_it, proven=False)
    parting.next()
    parting.note(all_of_it, Answer(again=tuple(all_of_it[1:]), again_why="busy"))
    assert parting.next() == tuple(all_of_it[1:])
    assert parting.next() is None
