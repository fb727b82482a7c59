"""What this program is made of: every part with version and licence.

The built program carries the list that was written when it was built, a CycloneDX document at the top of its tree. From
the sources it is what is installed: Python, the distributions that we require, theirs, and the vendored files of the
status page. Nothing is guessed: a licence that nobody states is `unknown`.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

import msgspec

from minipaas import program
from minipaas.model.errors import MinipaasError

SBOM = "minipaas.cdx.json"
"""In the program's tree, and beside the one file."""
VENDOR = Path(__file__).parents[1] / "static/vendor"
UNKNOWN = "unknown"
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_STATED = {
    "MIT License": "MIT",
    "Zero-Clause BSD": "0BSD",
    "BSD Zero Clause License": "0BSD",
    "The MIT License (MIT)": "MIT",
}
_MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"
"""How the text of that licence begins, where nothing names it."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part."""

    name: str
    version: str
    license: str
    """SPDX identifiers or expressions where the part states them so, else its own words."""
    purl: str
    """Package URL, https://github.com/package-url/purl-spec"""
    inside: str = ""
    """The part that brings it along."""

    @property
    def source(self) -> str:
        """Where it is from: pypi, npm, deb, cargo, generic."""
        return self.purl.removeprefix("pkg:").partition("/")[0]


class _License(msgspec.Struct):
    id: str = ""
    name: str = ""


class _Choice(msgspec.Struct):
    license: _License | None = None
    expression: str = ""


class _Component(msgspec.Struct):
    name: str
    type: str
    version: str = ""
    purl: str = ""
    licenses: list[_Choice] = msgspec.field(default_factory=list)
    components: list[_Component] = msgspec.field(default_factory=list)


class _Document(msgspec.Struct):
    components: list[_Component]


def parts() -> list[Part]:
    """Of the program that runs. Raises MinipaasError when the built program's list is not there."""
    tree = program.tree()
    if tree is None:
        return from_environment()
    try:
        return read_sbom((tree / SBOM).read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise MinipaasError(
            f"cannot list the parts: {tree / SBOM}: {error}", hint="copy the program again, whole", code="cli.parts"
        ) from None


def read_sbom(document: bytes) -> list[Part]:
    """The packages in a CycloneDX document; single files are left out. Raises msgspec.MsgspecError."""
    found: list[Part] = []
    pending = [(component, "") for component in reversed(msgspec.json.decode(document, type=_Document).components)]
    while pending:
        component, inside = pending.pop()
        pending += [(inner, component.name) for inner in reversed(component.components)]
        if component.type != "file":
            stated = [
                x.expression or (x.license and (x.license.id or x.license.name)) or "" for x in component.licenses
            ]
            found.append(
                Part(
                    name=component.name,
                    version=component.version,
                    license=" AND ".join(filter(None, stated)) or UNKNOWN,
                    purl=component.purl,
                    inside=inside,
                )
            )
    return found


def from_environment() -> list[Part]:
    """Of a program that runs from its sources."""
    return [python(), *(distribution(one) for one in required("minipaas")), *vendored()]


def python() -> Part:
    """The interpreter."""
    version = platform.python_version()
    return Part(name="python", version=version, license="PSF-2.0", purl=f"pkg:generic/python@{version}")


def required(name: str) -> list[metadata.Distribution]:
    """The installed distributions that one requires, and those that they require; by name, without itself."""
    found: dict[str, metadata.Distribution] = {}
    pending = [name]
    while pending:
        try:
            one = metadata.distribution(pending.pop())
        except metadata.PackageNotFoundError:
            continue  # for another system or another Python
        if canonical(one.name) not in found:
            found[canonical(one.name)] = one
            pending += requirements(one)
    found.pop(canonical(name), None)
    return [found[key] for key in sorted(found)]


def requirements(one: metadata.Distribution) -> Iterator[str]:
    """Names that a distribution asks for, extras left out."""
    for line in one.requires or ():
        match = _REQUIREMENT.match(line)
        if match and "extra" not in line.partition(";")[2]:
            yield match[1]


def canonical(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distribution(one: metadata.Distribution) -> Part:
    """A Python distribution."""
    name = canonical(one.name)
    return Part(name=name, version=one.version, license=license_of(one), purl=f"pkg:pypi/{name}@{one.version}")


def license_of(one: metadata.Distribution) -> str:
    """What a distribution's metadata state: License-Expression (PEP 639), else the older fields."""
    about = one.metadata
    expression, stated = (_said(about, field).partition("\n")[0] for field in ("License-Expression", "License"))
    if expression:
        return expression
    classified = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or ()
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    if stated and len(stated) <= 60 and len(classified) <= 1:
        return _STATED.get(stated, stated)
    return " OR ".join(_STATED.get(one, one) for one in classified) or UNKNOWN


def _said(about: metadata.PackageMetadata, field: str) -> str:
    return next(iter(about.get_all(field) or ()), "").strip()


def vendored() -> list[Part]:
    """The files of others in the status page, from their npm packages: static/vendor/VERSIONS.txt."""
    found: dict[str, Part] = {}
    for line in (VENDOR / "VERSIONS.txt").read_text().splitlines():
        words = line.split()
        if len(words) == 4 and words[0].endswith((".js", ".mjs", ".css")):
            name, version = words[1], words[2]
            path = VENDOR / f"{name.removesuffix('.org').removeprefix('@xterm/')}.LICENSE.txt"
            text = path.read_text() if path.exists() else UNKNOWN
            stated = text.partition("\n")[0].strip()
            if _MIT in text:
                stated = "MIT"
            license_ = _STATED.get(stated, stated)
            found[name] = Part(name=name, version=version, license=license_, purl=f"pkg:npm/{quote(name)}@{version}")
    return [found[name] for name in sorted(found)]
