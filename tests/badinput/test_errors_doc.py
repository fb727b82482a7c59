"""docs/errors.md against the program: every code that there is, with its status and exit code, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minipaas.model.errors import KINDS
from minipaas.surface.cli.main import exit_code
from minipaas.surface.problems import STATUS, STATUS_BY_CODE, status_of
from tests.badinput.codes import found

DOC = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
ROWS = [
    match.groups()
    for match in re.finditer(r"^\| `([a-z_.]+)` \| (\w+) \| (\d+) \| (\d) \| (.+) \| (.+) \|$", DOC, re.M)
]


def test_every_code_is_told_and_no_other() -> None:
    told = [(kind, code) for code, kind, *_ in ROWS]
    assert len(told) == len(set(told))
    assert sorted(set(told) ^ found()) == [], "in one of both only"


@pytest.mark.parametrize(("code", "kind", "status", "exit_", "meaning", "mend"), ROWS, ids=[row[0] for row in ROWS])
def test_a_row(code: str, kind: str, status: str, exit_: str, meaning: str, mend: str) -> None:
    error = KINDS[kind]("cannot do it: so it is", code=code)
    assert (int(status), int(exit_)) == (status_of(error), exit_code(error))
    assert meaning.strip()
    assert mend.strip()


def test_the_kinds() -> None:
    table = re.findall(r"^\| (\w+) \| (\d+) \| (\d) \| .+ \|$", DOC, re.M)
    assert table == [(kind, str(STATUS[kind]), str(exit_code(cls("x")))) for kind, cls in KINDS.items()]


def test_a_status_of_its_own_belongs_to_a_code_that_there_is() -> None:
    assert set(STATUS_BY_CODE) <= {code for _, code in found()}
