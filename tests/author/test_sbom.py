"""The CycloneDX document."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from minipaas.author.packages import Inventory, OsRelease, Package
from minipaas.author.sbom import ImageContent, cyclonedx
from minipaas.model.errors import Invalid

LIMIT = 100_000
MUSL = Package(
    purl="pkg:apk/alpine/musl@1.2", name="musl", version="1.2", path="lib/apk/db/installed", license="MIT", source="m"
)
FULL = ImageContent(
    config="sha256:" + "c" * 64,
    manifest="sha256:" + "d" * 64,
    reference="localhost/shop:1",
    platform="linux/amd64",
    services=("web", "worker"),
    inventory=Inventory(
        os=OsRelease(id="alpine", version="3.20", name="Alpine Linux"),
        packages=(MUSL,),
        unread=("var/lib/rpm/Packages",),
    ),
)
BARE = ImageContent(
    config="sha256:" + "a" * 64,
    manifest="sha256:" + "b" * 64,
    reference="localhost/tool:1",
    platform="linux/amd64",
    services=("tool",),
    inventory=Inventory(os=None, packages=(), unread=()),
)


def document(*images: ImageContent, issued: int = 1_700_000_000) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(cyclonedx("shop", "1.0", issued, images, LIMIT))
    return loaded


def properties(component: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["name"], item["value"]) for item in component["properties"]]


def test_header() -> None:
    bom = document(FULL)
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    assert bom["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert bom["metadata"]["component"]["name"] == "shop"


def test_each_package_says_which_image_and_services_it_is_in() -> None:
    package = next(x for x in document(FULL, BARE)["components"] if x["type"] == "library")
    assert package["purl"] == MUSL.purl
    assert package["licenses"] == [{"license": {"name": "MIT"}}]
    assert ("minipaas:image", FULL.ref) in properties(package)
    assert [value for name, value in properties(package) if name == "minipaas:service"] == ["web", "worker"]
    assert ("minipaas:path", "/lib/apk/db/installed") in properties(package)


def test_an_image_without_packages_is_itself_and_nothing_else() -> None:
    assert [x["type"] for x in document(BARE)["components"]] == ["container"]


def test_the_operating_system_and_the_unread_are_named() -> None:
    image, system, _ = document(FULL)["components"]
    assert (system["type"], system["name"], system["version"]) == ("operating-system", "alpine", "3.20")
    assert ("minipaas:unread", "/var/lib/rpm/Packages") in properties(image)


def test_references_are_unique_and_all_lead_somewhere() -> None:
    bom = document(FULL, BARE)
    refs = [x["bom-ref"] for x in bom["components"]] + [bom["metadata"]["component"]["bom-ref"]]
    assert len(set(refs)) == len(refs)
    edges = [ref for row in bom["dependencies"] for ref in (row["ref"], *row["dependsOn"])]
    assert set(edges) == set(refs)


def test_equal_content_gives_equal_bytes_in_any_order_and_other_content_another_serial() -> None:
    assert cyclonedx("shop", "1.0", 5, (FULL, BARE), LIMIT) == cyclonedx("shop", "1.0", 5, (BARE, FULL), LIMIT)
    assert document(FULL)["serialNumber"] != document(BARE)["serialNumber"]


def test_a_long_list_loses_details_but_no_package() -> None:
    many = tuple(msgspec.structs.replace(MUSL, name=f"p{n}", purl=f"pkg:apk/alpine/p{n}@1") for n in range(200))
    image = msgspec.structs.replace(FULL, inventory=Inventory(os=None, packages=many, unread=()))
    full = cyclonedx("shop", "1.0", 5, [image], LIMIT)
    brief = json.loads(cyclonedx("shop", "1.0", 5, [image], len(full) - 1))
    assert len(brief["components"]) == 201
    assert "licenses" not in brief["components"][1]
    assert brief["metadata"]["properties"][0]["name"] == "minipaas:brief"
    with pytest.raises(Invalid, match="200 packages do not fit"):
        cyclonedx("shop", "1.0", 5, [image], 1000)
