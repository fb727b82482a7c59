"""What of an environment is kept."""

from __future__ import annotations

import pytest

from minipaas.forensics.limits import VARIABLES
from minipaas.forensics.secrets import HIDDEN, shown


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "db_passwd", "API_TOKEN", "SECRET_KEY_BASE", "AWS_ACCESS_KEY_ID", "SENTRY_DSN", "AUTH"]
)
def test_what_looks_like_a_secret_is_not(name: str) -> None:
    assert shown({name: "hunter2"}) == {name: HIDDEN}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("info", "info"),
        ("postgres://shop:hunter2@db:5432/shop?sslmode=off", "postgres://…@db:5432/shop?sslmode=off"),
        ("http://db/x@y", "http://db/x@y"),
        ("a http://u:p@h b http://t@i", "a http://…@h b http://…@i"),
    ],
)
def test_other_values_are(value: str, kept: str) -> None:
    assert shown({"VALUE": value}) == {"VALUE": kept}


def test_there_is_a_bound() -> None:
    assert len(shown({f"V{number}": "" for number in range(VARIABLES + 5)})) == VARIABLES
