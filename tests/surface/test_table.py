"""The table guards itself, and what is made from it is true."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from minipaas.surface.access import Access
from minipaas.surface.call import PATH_PATTERNS
from minipaas.surface.openapi import document
from minipaas.surface.reference import markdown
from minipaas.surface.rows.row import Row
from minipaas.surface.table import TABLE
from minipaas.surface.wire_box import Healthz
from tests.surface.small import SmallBox

GOOD: dict[str, object] = {
    "method": "GET",
    "path": "/api/v1/x",
    "access": Access.OPEN,
    "handler": len,
    "summary": "It does.",
    "response": Healthz,
}


@pytest.mark.parametrize(
    "wrong",
    [{"access": None}, {"access": "open"}, {"summary": ""}, {"method": "POST"}, {"method": "DELETE"}],
    ids=str,
)
def test_a_row_that_is_not_whole_cannot_be_made(wrong: dict[str, object]) -> None:
    Row(**GOOD)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Row(**GOOD | wrong)  # type: ignore[arg-type]


def test_a_row_without_access_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        Row(**{key: value for key, value in GOOD.items() if key != "access"})  # type: ignore[arg-type]


def test_every_part_of_a_path_has_a_pattern() -> None:
    assert {name for row in TABLE for name in row.path_names} <= PATH_PATTERNS.keys()


def test_every_link_in_the_reference_leads_somewhere() -> None:
    text = markdown()
    headings = {line.removeprefix("### ").lower() for line in text.splitlines() if line.startswith("### ")}
    links = [part.partition(")")[0] for part in text.split("](#")[1:]]
    assert links
    assert set(links) <= headings


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_every_reference_in_the_document_leads_somewhere() -> None:
    made = json.loads(json.dumps(document()))
    known = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}
    assert set(_references(made)) <= known
    ids = [operation["operationId"] for path in made["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


async def test_the_document_is_served_and_lists_every_row_of_the_api(box: SmallBox) -> None:
    async with await box.remote() as session, session.get("/api/v1/openapi.json") as response:
        served = await response.json()
    listed = {(method.upper(), path) for path, item in served["paths"].items() for method in item}
    assert listed == {(row.method, row.path) for row in TABLE if row.api}
    assert served["openapi"] == "3.1.0"
