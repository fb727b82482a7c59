"""The bundle's bill of materials: CycloneDX 1.5 JSON, `sbom.cdx.json`.

What always holds: every image of the bundle is a component, and every package that its package databases record is
one, with a purl and with the image and services it is in; what could not be read is named in the properties. Nothing
is guessed: an image without a package database yields the image alone. The same images give the same bytes: the
serial number is derived from the content, and the only time in it is the bundle's own.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from minipaas.author.packages import Inventory, Package
from minipaas.author.times import rfc3339
from minipaas.author.version import own_version
from minipaas.model.difference import Package as Part
from minipaas.model.errors import Invalid
from minipaas.model.typed import to_json

_SERVICE = "minipaas:service"
_SERIAL = uuid.uuid5(uuid.NAMESPACE_URL, "urn:minipaas:sbom")


class ImageContent(Struct, frozen=True, kw_only=True):
    """One image with what was found in it."""

    config: str
    """Image id, `sha256:<hex>`."""
    manifest: str
    reference: str
    """What the author calls it: `localhost/shop:1.4.2`."""
    platform: str
    services: tuple[str, ...]
    inventory: Inventory

    @property
    def ref(self) -> str:
        """How the document refers to it."""
        return f"image:{self.config[7:19]}"


def cyclonedx(app: str, version: str, issued: int, images: Sequence[ImageContent], limit: int) -> bytes:
    """The document for a release. `issued`: Unix seconds; `limit`: bytes.

    A document that would be too long loses the packages' paths, sources and licenses, and says so. Raises Invalid when
    it still is.
    """
    for brief in (False, True):
        data = _document(app, version, issued, images, brief)
        if len(data) <= limit:
            return data
    raise Invalid(
        f"cannot write the bill of materials: {sum(len(x.inventory.packages) for x in images)} packages do not fit "
        f"into {limit // 1024**2} MiB",
        hint="leave development packages out of the images (npm ci --omit=dev), or split the app",
        code="author.sbom",
    )


class _Property(Struct):
    name: str = ""
    value: str = ""


class _Component(Struct):
    type: str = ""
    name: str = ""
    version: str = ""
    purl: str = ""
    properties: tuple[_Property, ...] = ()


class _Bill(Struct):
    components: tuple[_Component, ...] = ()


def packages_of(document: bytes) -> tuple[Part, ...]:
    """The packages and systems that a CycloneDX document lists, by service, sorted; other documents than ours too, as
    far as they say where a package is. Raises msgspec.MsgspecError for what is no such document."""
    found: set[Part] = set()
    for one in msgspec.json.decode(document, type=_Bill).components:
        if one.type == "operating-system":
            ecosystem = "os"
        elif one.purl.startswith("pkg:"):
            ecosystem = one.purl[4:].partition("/")[0]
        else:
            continue
        services = [entry.value for entry in one.properties if entry.name == _SERVICE] or [""]
        found.update(Part(ecosystem, one.name, one.version, service) for service in services)
    return tuple(sorted(found))


def _document(app: str, version: str, issued: int, images: Sequence[ImageContent], brief: bool) -> bytes:
    root = f"app:{app}@{version}"
    components: list[dict[str, Any]] = []
    dependencies: list[dict[str, Any]] = [{"ref": root, "dependsOn": sorted(image.ref for image in images)}]
    for image in sorted(images, key=lambda image: image.config):
        parts = [_package(image, number, package, brief) for number, package in enumerate(image.inventory.packages)]
        if (system := _system(image)) is not None:
            parts.insert(0, system)
        components += [_image(image), *parts]
        dependencies.append({"ref": image.ref, "dependsOn": [part["bom-ref"] for part in parts]})
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(issued),
            "lifecycles": [{"phase": "post-build"}],
            "tools": {"components": [{"type": "application", "name": "minipaas", "version": own_version()}]},
            "component": {"type": "application", "bom-ref": root, "name": app, "version": version},
        },
        "components": components,
        "dependencies": dependencies,
    }
    if brief:
        document["metadata"]["properties"] = [{"name": "minipaas:brief", "value": "paths and licenses are left out"}]
    serial = uuid.uuid5(_SERIAL, hashlib.sha256(to_json(document)).hexdigest())
    return to_json(document | {"serialNumber": f"urn:uuid:{serial}"})


def _image(image: ImageContent) -> dict[str, Any]:
    unread = [{"name": "minipaas:unread", "value": f"/{path}"} for path in image.inventory.unread]
    return {
        "type": "container",
        "bom-ref": image.ref,
        "name": image.reference,
        "version": image.config,
        "hashes": [{"alg": "SHA-256", "content": image.manifest.removeprefix("sha256:")}],
        "properties": [
            *_services(image),
            {"name": "minipaas:manifest", "value": image.manifest},
            {"name": "minipaas:platform", "value": image.platform},
            *unread,
        ],
    }


def _system(image: ImageContent) -> dict[str, Any] | None:
    system = image.inventory.os
    if system is None:
        return None
    component = {
        "type": "operating-system",
        "bom-ref": f"os:{image.config[7:19]}",
        "name": system.id,
        "description": system.name,
        "properties": _where(image),
    }
    return component | ({"version": system.version} if system.version else {})


def _package(image: ImageContent, number: int, package: Package, brief: bool) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"{image.config[7:19]}:{number}",
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "properties": _where(image),
    }
    if brief:
        return component
    component["properties"].append({"name": "minipaas:path", "value": f"/{package.path}"})
    if package.source:
        component["properties"].append({"name": "minipaas:source", "value": package.source})
    if package.license:
        component["licenses"] = [{"license": {"name": package.license}}]
    return component


def _where(image: ImageContent) -> list[dict[str, str]]:
    return [{"name": "minipaas:image", "value": image.ref}, *_services(image)]


def _services(image: ImageContent) -> list[dict[str, str]]:
    return [{"name": _SERVICE, "value": service} for service in sorted(image.services)]
