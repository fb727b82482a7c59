"""Compose's variables."""

from __future__ import annotations

import pytest

from minipaas.author.interpolate import Interpolation, parse_env
from minipaas.author.limits import LIMITS
from minipaas.model.errors import Invalid

VARIABLES = {"A": "1", "EMPTY": "", "B": "$A"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$A-${A}", "1-1"),
        ("$$A costs $$5", "$A costs $5"),
        ("${X:-d}", "d"),
        ("${X-d}", "d"),
        ("${A:-d}", "1"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${A:+yes}${X:+no}", "yes"),
        ("${EMPTY+yes}${EMPTY:+no}", "yes"),
        ("${X:-a${Y:-b${A}}}c", "ab1c"),
        ("${X:-}", ""),
        ("$B", "$A"),
        ("${A:?must}", "1"),
        ("$X.", "."),
    ],
)
def test_text(text: str, expected: str) -> None:
    assert Interpolation(VARIABLES, "c.yaml").text(text) == expected


def test_it_remembers_what_was_used_and_what_had_no_value() -> None:
    some = Interpolation(VARIABLES, "c.yaml")
    some.walk({"k": ["$A", "${X}", "${Y:-d}"], "n": 3})
    assert (some.used, some.unset) == ({"A"}, {"X"})


@pytest.mark.parametrize("text", ["${", "${}", "${A", "$(date)", "${A!}", "100$", "${1}", "${X:-${Y}"])
def test_a_bad_expression_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(Invalid, match="interpolation") as caught:
        Interpolation(VARIABLES, "c.yaml").text(text)
    assert "$$" in caught.value.hint


def test_a_required_variable_says_why() -> None:
    with pytest.raises(Invalid, match="PW must be set: ask the owner"):
        Interpolation({}, "c.yaml").text("${PW:?ask the owner}")


def test_an_alias_bomb_ends_at_the_limit() -> None:
    bomb: list[object] = ["x"]
    for _ in range(30):
        bomb = [bomb, bomb]
    with pytest.raises(Invalid, match=str(LIMITS.compose_nodes)):
        Interpolation({}, "c.yaml").walk(bomb)


def test_env_file() -> None:
    text = """
# a comment
PLAIN=value # with a comment
HASH=a#b
export EXPORTED=1
SINGLE='a # $b "c"'   # comment
DOUBLE="line\\nnext \\"q\\""
EMPTY=
BARE
SPACED = x y
not a variable
"""
    assert parse_env(text) == {
        "PLAIN": "value",
        "HASH": "a#b",
        "EXPORTED": "1",
        "SINGLE": 'a # $b "c"',
        "DOUBLE": 'line\nnext "q"',
        "EMPTY": "",
        "BARE": None,
        "SPACED": "x y",
    }
