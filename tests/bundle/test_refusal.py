from __future__ import annotations

import re
from pathlib import Path

import pytest

import minipaas.bundle
from minipaas.bundle.limits import DEFAULT_LIMITS, MAX_BLOB
from minipaas.bundle.refusal import RULES, refuse

ROOM = Path(minipaas.bundle.__file__).parent
DOCS = (ROOM.parents[1] / "docs" / "bundle-format.md").read_text()


def test_the_documentation_lists_the_codes() -> None:
    table = DOCS.split("<!-- codes -->")[1].split("<!-- /codes -->")[0]
    assert re.findall(r"^\| `([a-z_.]+)` \| (.+) \|$", table, re.MULTILINE) == [
        (code, rule.meaning) for code, rule in RULES.items()
    ]


def test_every_rule_can_be_broken_and_every_refusal_has_a_rule() -> None:
    used = set()
    for module in ROOM.glob("*.py"):
        if module.name != "refusal.py":
            used |= set(re.findall(r'"((?:bundle|signature|root|release)\.[a-z_]+)"', module.read_text()))
    assert set(RULES) <= used
    assert used - set(RULES) <= {"bundle.no_file", "bundle.read"}


def test_the_documentation_lists_the_limits() -> None:
    assert "| file | 8 GiB |" in DOCS and DEFAULT_LIMITS.compressed == 8 << 30
    assert "| all blobs, uncompressed | 64 GiB |" in DOCS and DEFAULT_LIMITS.content == 64 << 30
    assert "| one blob | 4 GiB − 1 byte |" in DOCS and MAX_BLOB == (4 << 30) - 1
    assert "| blobs | 4,096 |" in DOCS and DEFAULT_LIMITS.blobs == 4096
    small = (DEFAULT_LIMITS.metadata_blobs, DEFAULT_LIMITS.metadata_each, DEFAULT_LIMITS.metadata_total)
    assert "| 1,024; 4 MiB; 32 MiB |" in DOCS and small == (1024, 4 << 20, 32 << 20)
    assert "| 32, 256 |" in DOCS and (DEFAULT_LIMITS.signatures, DEFAULT_LIMITS.roots) == (32, 256)


@pytest.mark.parametrize("code", RULES)
def test_refusals_say_what_why_and_what_next(code: str) -> None:
    error = refuse("shop.bundle", code, "so it is")
    assert error.message == "cannot accept shop.bundle: so it is"
    assert error.code == code and error.hint
