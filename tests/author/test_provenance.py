"""The provenance statement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from minipaas.author.provenance import Inputs, statement
from minipaas.author.source import Commit, Context
from minipaas.model.spec import parse_app_toml

SPEC = parse_app_toml(
    b"""
    [app]
    name = "shop"
    version = "1.4"
    [services.web]
    build = "."
    env = { TOKEN = "secret-value" }
    [services.db]
    image = "localhost/db:1"
    """
)
INPUTS = Inputs(
    spec=SPEC,
    app_toml="sha256:" + "1" * 64,
    contexts={
        ".": Context(
            directory=Path("/home/me/shop"),
            containerfile=Path("/home/me/shop/Containerfile"),
            containerfile_digest="sha256:" + "2" * 64,
            digest="sha256:" + "3" * 64,
            files=("Containerfile",),
            bundles=(),
            copies_all=False,
            bases=("base",),
        )
    },
    bases={"base": "sha256:" + "4" * 64},
    images={"web": "sha256:" + "5" * 64, "db": "sha256:" + "6" * 64},
    manifests={"web": "sha256:" + "7" * 64, "db": "sha256:" + "8" * 64},
    commit=Commit(id="a" * 40, dirty=True),
    podman="4.3.1",
    issued=1_700_000_000,
)


def made(**changed: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(statement(msgspec.structs.replace(INPUTS, **changed)))
    return loaded


def test_it_is_an_slsa_statement_about_the_images() -> None:
    raw = made()
    assert raw["_type"] == "https://in-toto.io/Statement/v1"
    assert raw["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {x["name"]: x["digest"]["sha256"] for x in raw["subject"]} == {
        "service/web": "7" * 64,
        "service/db": "8" * 64,
    }
    metadata = raw["predicate"]["runDetails"]["metadata"]
    assert metadata == {"startedOn": "2023-11-14T22:13:20Z", "finishedOn": "2023-11-14T22:13:20Z"}
    assert raw["predicate"]["runDetails"]["builder"]["version"]["podman"] == "4.3.1"


def test_every_input_is_a_dependency_with_its_digest() -> None:
    found = {x["name"]: x["digest"] for x in made()["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert found == {
        "app.toml": {"sha256": "1" * 64},
        "Containerfile of .": {"sha256": "2" * 64},
        "context .": {"sha256": "3" * 64},
        "base image base": {"sha256": "4" * 64},
        "image localhost/db:1": {"sha256": "6" * 64},
        "git": {"gitCommit": "a" * 40},
    }


def test_dirt_is_said() -> None:
    git = made()["predicate"]["buildDefinition"]["resolvedDependencies"][-1]
    assert git["annotations"] == {"dirty": True}


def test_outside_git_nothing_is_claimed() -> None:
    names = [x["name"] for x in made(commit=None)["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert "git" not in names


def test_neither_environment_nor_paths_of_the_author_leak() -> None:
    text = statement(INPUTS).decode()
    assert "secret-value" not in text
    assert "/home/me" not in text
