"""Times that authors give."""

from __future__ import annotations

import pytest

from minipaas.author.times import issue_time, parse_time, rfc3339
from minipaas.model.errors import Invalid


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("1700000000", 1_700_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("1970-01-01", 0),
    ],
)
def test_parse(text: str, seconds: int) -> None:
    assert parse_time(text, "--issued") == seconds


@pytest.mark.parametrize("text", ["", "tomorrow", "-5", "1969-12-31T00:00:00Z", "999999999999", "2023-13-01"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Invalid, match="cannot read --issued"):
        parse_time(text, "--issued")


def test_the_given_time_wins_over_the_environment_and_that_over_the_clock() -> None:
    environ = {"SOURCE_DATE_EPOCH": "5"}
    assert issue_time("7", environ, 9.9) == 7
    assert issue_time(None, environ, 9.9) == 5
    assert issue_time(None, {}, 9.9) == 9
    with pytest.raises(Invalid, match="SOURCE_DATE_EPOCH"):
        issue_time(None, {"SOURCE_DATE_EPOCH": "now"}, 9.9)


def test_rfc3339() -> None:
    assert rfc3339(1_700_000_000) == "2023-11-14T22:13:20Z"
