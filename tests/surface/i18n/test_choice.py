"""Which language a reader gets."""

from __future__ import annotations

import pytest

from minipaas.surface.i18n import choose


@pytest.mark.parametrize(
    ("asked", "cookie", "accept", "language"),
    [
        (None, None, "", "en"),
        (None, None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, None, "en-GB,zh;q=0.9", "en"),
        (None, None, "fr,de;q=0.9", "en"),
        (None, None, "fr, zh-Hant-TW;q=0.3, en;q=0.2", "zh"),
        (None, None, "zh;q=0, en", "en"),
        (None, None, "zh;q=0", "en"),
        (None, None, "zh;q=nonsense", "en"),
        (None, "zh", "en", "zh"),
        (None, "xx", "zh", "zh"),
        ("en", "zh", "zh", "en"),
        ("../../etc", None, "zh", "zh"),
        (None, None, "," * 100_000 + "zh", "en"),
    ],
)
def test_choice(asked: str | None, cookie: str | None, accept: str, language: str) -> None:
    assert choose(asked, cookie, accept) == language
