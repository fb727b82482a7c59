"""All checks are asked at once, and none can keep the others or who asks."""

from __future__ import annotations

import threading

from minipaas.install.findings import Finding, Level, ask, bad, ok, together
from minipaas.model.errors import Unreachable


def fine(facts: str) -> Finding:
    return ok("fine", facts)


def hangs(facts: str) -> Finding:
    threading.Event().wait(30)
    return ok("hangs", facts)


def breaks(facts: str) -> Finding:
    raise ValueError("what is this?")


def knows_why(facts: str) -> Finding:
    raise Unreachable("cannot reach it: it is gone", hint="bring it back")


def does_not_apply(facts: str) -> Finding | None:
    return None


def broken(facts: str) -> Finding:
    return bad("broken", "it is", "mend it")


def test_every_answer_is_a_finding_in_the_order_of_the_table() -> None:
    found = ask([fine, hangs, breaks, knows_why, does_not_apply, broken], "facts", deadline=1.0)
    assert [(one.name, one.level) for one in found] == [
        ("fine", Level.OK),
        ("hangs", Level.WARN),
        ("breaks", Level.WARN),
        ("knows why", Level.BAD),
        ("broken", Level.BAD),
    ]
    assert "no answer within 1 s" in found[1].says
    assert "what is this?" in found[2].says
    assert (found[3].says, found[3].mend) == ("cannot reach it: it is gone", "bring it back")


def test_they_do_not_wait_for_each_other() -> None:
    met = threading.Barrier(3)
    told = together({str(number): lambda: met.wait(60) for number in range(3)})
    assert sorted(told.values()) == [0, 1, 2]


def test_one_that_does_not_answer_costs_no_more_than_the_deadline() -> None:
    over = threading.Event()
    told = together({"hangs": lambda: over.wait(60), "fine": lambda: True}, deadline=0.5)
    assert isinstance(told["hangs"], TimeoutError)
    over.set()
    assert told["fine"] is True
