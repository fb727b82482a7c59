"""How a release was made: an in-toto Statement v1 with an SLSA v1 provenance predicate.

What always holds: the subjects are the images, by manifest digest; every input that was read is a resolved dependency
with its digest; the only time is the release's own `issued`, so equal inputs give equal bytes. It is the author's own
word, as trustworthy as the signature over the bundle that carries it (SLSA Build level 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from minipaas.author.source import Commit, Context
from minipaas.author.times import rfc3339
from minipaas.author.version import own_version
from minipaas.model.spec import AppSpec
from minipaas.model.typed import to_json

BUILD_TYPE = "https://minipaas.dev/bundle-build/v1"
BUILDER = "https://minipaas.dev/author"


class Inputs(Struct, frozen=True, kw_only=True):
    """Everything that went into a release. Digests are `sha256:<hex>`."""

    spec: AppSpec
    app_toml: str
    contexts: Mapping[str, Context]
    """By `build` value of app.toml."""
    bases: Mapping[str, str]
    """Base image reference -> local image id."""
    images: Mapping[str, str]
    """Service -> image id."""
    manifests: Mapping[str, str]
    """Service -> manifest digest."""
    commit: Commit | None
    podman: str
    issued: int


def statement(inputs: Inputs) -> bytes:
    """The statement as canonical JSON."""
    subjects = [_named(f"service/{name}", digest) for name, digest in sorted(inputs.manifests.items())]
    when = rfc3339(inputs.issued)
    return to_json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": _external(inputs),
                    "internalParameters": {"images": dict(inputs.images)},
                    "resolvedDependencies": _dependencies(inputs),
                },
                "runDetails": {
                    "builder": {
                        "id": BUILDER,
                        "version": {"minipaas": own_version(), "podman": inputs.podman},
                    },
                    "metadata": {"startedOn": when, "finishedOn": when},
                },
            },
        }
    )


def _external(inputs: Inputs) -> dict[str, Any]:
    """What the author decided."""
    services = {
        name: {"build": service.build} if service.build is not None else {"image": service.image}
        for name, service in inputs.spec.services.items()
    }
    return {
        "app": inputs.spec.app.name,
        "version": inputs.spec.app.version,
        "appToml": {"sha256": _hex(inputs.app_toml)},
        "services": services,
    }


def _dependencies(inputs: Inputs) -> Sequence[dict[str, Any]]:
    found = [_named("app.toml", inputs.app_toml)]
    for build, context in sorted(inputs.contexts.items()):
        found.append(_named(f"context {build}", context.digest))
        found.append(_named(f"{context.containerfile.name} of {build}", context.containerfile_digest))
    found += [_named(f"base image {reference}", image) for reference, image in sorted(inputs.bases.items())]
    for name, service in sorted(inputs.spec.services.items()):
        if service.image is not None:
            found.append(_named(f"image {service.image}", inputs.images[name]))
    if inputs.commit is not None:
        commit = {"name": "git", "digest": {"gitCommit": inputs.commit.id}}
        found.append(commit | {"annotations": {"dirty": inputs.commit.dirty}})
    return list({str(item): item for item in found}.values())


def _named(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": _hex(digest)}}


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
