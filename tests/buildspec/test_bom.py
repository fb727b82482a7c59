"""The binary's bill of materials."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any


def _components(of: Any) -> Iterator[dict[str, Any]]:
    for one in of.get("components", ()):
        yield one
        yield from _components(one)


def _document(dist: Path) -> Any:
    return json.loads((dist / "minipaas.cdx.json").read_text())


def test_every_program_and_library_of_the_tree_is_listed_with_its_digest(dist: Path) -> None:
    listed = {one["name"]: one["hashes"][0]["content"] for one in _components(_document(dist)) if one["type"] == "file"}
    there = {
        str(path.relative_to(dist / "program")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (dist / "program").rglob("*")
        if path.is_file() and path.read_bytes().startswith(b"\x7fELF")
    }
    assert len(there) > 50
    assert listed == there


def test_parts_come_with_version_and_licence(dist: Path) -> None:
    parts = {one["name"]: one for one in _components(_document(dist)) if one["type"] != "file"}
    openssl = subprocess.run(["dpkg-query", "-Wf", "${Version}", "libssl3"], capture_output=True, text=True, check=True)
    assert parts["libssl3"]["version"] == openssl.stdout
    assert [one["name"] for one in parts["libssl3"]["components"]] == [
        "lib/parts/libcrypto.so.3",
        "lib/parts/libssl.so.3",
    ]
    assert parts["aiohttp"]["version"] == metadata.version("aiohttp")
    assert "openssl" in {one["name"] for one in parts["cryptography"]["components"]}  # the wheel's own copy
    assert parts["htmx.org"]["purl"].startswith("pkg:npm/htmx.org@2.")
    assert parts["pyinstaller"]["licenses"] == [{"expression": "GPL-2.0-or-later WITH Bootloader-exception"}]
    ours = [one for one in _document(dist)["components"] if one["type"] != "file"]
    assert [one["name"] for one in ours if not one["version"] or not one["licenses"]] == []


def test_licence_texts_are_passed_on(dist: Path) -> None:
    texts = dist / "program/lib/licenses"
    assert "Apache License" in (texts / "deb-libssl3/copyright").read_text()
    assert list((texts / "pypi-uvloop").iterdir())


def test_references_are_unique_and_lead_somewhere(dist: Path) -> None:
    document = _document(dist)
    refs = [one["bom-ref"] for one in _components(document) if "bom-ref" in one]
    assert len(refs) == len(set(refs))
    known = {*refs, document["metadata"]["component"]["bom-ref"]}
    assert {ref for row in document["dependencies"] for ref in (row["ref"], *row["dependsOn"])} <= known


def test_the_program_lists_what_the_document_lists(dist: Path) -> None:
    shown = subprocess.run(
        [dist / "minipaas", "version", "--verbose", "--json"], capture_output=True, text=True, timeout=60, check=True
    )
    told = json.loads(shown.stdout)
    expected = [one["name"] for one in _components(_document(dist)) if one["type"] != "file"]
    assert sorted(part["name"] for part in told["parts"]) == sorted(expected)
    assert told["form"] == "file"
