"""A few of the inputs that `scripts/fuzz` makes by the million."""

from __future__ import annotations

import pytest
from fuzz import fuzz
from fuzzing.conversation import Conversation


def test_nothing_is_found_among_a_few_thousand(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz(8000, 10_000_000, quiet=True) == 0, capsys.readouterr().err


def test_a_finding_is_shown_with_the_number_that_makes_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(seed: int) -> None:
        if seed == 7:
            raise RecursionError("too deep")

    monkeypatch.setattr("fuzz.INGRESS", {"heads": (broken, 10)})
    assert fuzz(10) == 1
    said = capsys.readouterr()
    assert "heads, input 7:" in said.err and "RecursionError: too deep" in said.err
    assert "10 inputs" in said.out and "findings 1" in said.out


def test_the_same_number_is_the_same_conversation() -> None:
    one, two = Conversation(5), Conversation(5)
    one.run()
    two.run()
    assert [bytes(a.wire.sent) for a in one.instances] == [bytes(b.wire.sent) for b in two.instances]
