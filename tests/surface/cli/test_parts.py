"""What the program is made of, as `version --verbose` says it."""

from __future__ import annotations

import json
from importlib import metadata

import msgspec
import pytest

from minipaas.surface.cli.parts import UNKNOWN, from_environment, read_sbom

DOCUMENT = {
    "bomFormat": "CycloneDX",
    "components": [
        {"type": "platform", "name": "python", "version": "3.11.2", "purl": "pkg:generic/python@3.11.2"},
        {
            "type": "library",
            "name": "cryptography",
            "version": "50.0.2",
            "purl": "pkg:pypi/cryptography@50.0.2",
            "licenses": [{"expression": "Apache-2.0 OR BSD-3-Clause"}],
            "components": [
                {
                    "type": "library",
                    "name": "openssl",
                    "version": "4.0.3",
                    "purl": "pkg:generic/openssl@4.0.3",
                    "licenses": [{"license": {"id": "Apache-2.0"}}],
                },
                {"type": "file", "name": "lib/parts/x.so", "hashes": [{"alg": "SHA-256", "content": "00"}]},
            ],
        },
    ],
}


def test_from_the_sources_every_requirement_is_a_part_with_version_and_licence() -> None:
    found = {part.name: part for part in from_environment()}
    assert found["aiohttp"].version == metadata.version("aiohttp")
    assert found["multidict"].purl == f"pkg:pypi/multidict@{metadata.version('multidict')}"  # asked for by aiohttp
    assert found["htmx.org"].license == "0BSD"
    assert found["@xterm/xterm"].license == found["@xterm/addon-fit"].license == "MIT"
    assert found["@xterm/xterm"].purl.startswith("pkg:npm/%40xterm/xterm@")
    assert "pytest" not in found
    assert "minipaas" not in found
    assert not [part for part in found.values() if not part.version or UNKNOWN in (part.version, part.license)]


def test_the_document_of_the_binary_as_a_list() -> None:
    found = read_sbom(json.dumps(DOCUMENT).encode())
    assert [(part.name, part.license, part.source, part.inside) for part in found] == [
        ("python", UNKNOWN, "generic", ""),
        ("cryptography", "Apache-2.0 OR BSD-3-Clause", "pypi", ""),
        ("openssl", "Apache-2.0", "generic", "cryptography"),
    ]


@pytest.mark.parametrize("document", [b"", b"{}", b'{"components": [{}]}', b"[]"])
def test_what_is_no_such_document(document: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_sbom(document)


def test_version_verbose_lists_them(minipaas, box, views) -> None:
    box.answers["GET /api/v1/box"] = (200, views.box())
    lines = minipaas("version", "--verbose").out.splitlines()
    assert "form: from the sources" in lines
    assert [line for line in lines if line.startswith("aiohttp ") and "Apache-2.0" in line]
    told = json.loads(minipaas("version", "--verbose", "--json").out)
    assert told["form"] == "sources"
    assert {part["name"] for part in told["parts"]} >= {"python", "click", "uplot"}
    assert "parts" not in json.loads(minipaas("version", "--json").out)
