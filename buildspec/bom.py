"""The bill of materials of the built program: CycloneDX 1.5 JSON, and the licence texts that go with it.

What always holds: every file of the program tree that is a program or a library is listed once, with its SHA-256, below
the part that it was taken from: a Debian package, a Python distribution, PyInstaller, or minipaas itself; what a wheel
says of its own insides (PEP 770) is taken over. A file whose origin is not known stops the build. The same parts give
the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import subprocess
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from minipaas.surface.cli.parts import SBOM, Part, canonical, distribution, python, requirements, vendored

Component = dict[str, Any]
LINKED_IN = ("libzstd-dev", "libc6-dev")
"""Debian packages that launcher.c is linked with, statically."""
INSIDE = ("busybox-static",)
"""Debian packages whose program is in the toolbox image (scripts/toolbox.py); their licence asks for the sources, which
Debian has under the version that is named."""
BOOTLOADER = "GPL-2.0-or-later WITH Bootloader-exception"
"""What PyInstaller says of the part of it that the program contains."""
_SERIAL = uuid.uuid5(uuid.NAMESPACE_URL, "urn:minipaas:program")
_LICENSE_FILE = re.compile(r"(licen[sc]e|copying|notice|authors)", re.IGNORECASE)


class UnknownOrigin(Exception):
    """Nobody knows where a file comes from."""


class Owners:
    """Which part each file was taken from."""

    def __init__(self) -> None:
        self.distributions: dict[str, metadata.Distribution] = {}
        self._by_path: dict[str, str] = {}
        for one in metadata.distributions():
            name = canonical(one.name)
            self.distributions[name] = one
            for file in one.files or ():
                self._by_path[str(Path(str(one.locate_file(file))).resolve())] = name

    def distribution_of(self, source: str) -> str | None:
        """The name of the distribution that installed this file."""
        return self._by_path.get(str(Path(source).resolve()))


def debian_owners(paths: Iterable[str]) -> dict[str, str]:
    """Path -> Debian package, as far as dpkg knows."""
    asked: dict[str, str] = {}
    for path in paths:
        real = str(Path(path).resolve())
        asked[real] = path
        asked[real.removeprefix("/usr")] = path  # dpkg knows libraries by the name before /lib became a link
    found = subprocess.run(["dpkg-query", "--search", *sorted(asked)], capture_output=True, text=True, check=False)
    owners: dict[str, str] = {}
    for line in found.stdout.splitlines():
        package, _, path = line.partition(": ")
        if path in asked and not line.startswith("diversion"):
            owners[asked[path]] = package.split(",")[0].partition(":")[0]
    return owners


def debian_part(package: str) -> Part:
    """A Debian package that is installed here."""
    text = "${Version}\t${Architecture}\t${source:Package}"
    shown = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={text}\n", package], capture_output=True, text=True, check=True
    )
    version, architecture, source = shown.stdout.splitlines()[0].split("\t")
    purl = f"pkg:deb/debian/{package}@{version.replace('+', '%2B')}?arch={architecture}&upstream={source}"
    return Part(name=package, version=version, license=debian_license(package), purl=purl)


def debian_license(package: str) -> str:
    """What a package's copyright file states for `Files: *` (DEP 5); where it is prose, the place of that."""
    file = Path("/usr/share/doc", package, "copyright")
    text = file.read_text(errors="replace") if file.is_file() else ""
    if text.startswith("Format:"):
        stated = re.search(r"^Files: \*$.*?^License:[ \t]*(\S+.*?)$", text, re.MULTILINE | re.DOTALL)
        if stated:
            return stated[1].strip()
    return f"see lib/licenses/deb-{package}/copyright"


def component(part: Part, *, type_: str = "library", **more: Any) -> Component:
    """A part as CycloneDX has it."""
    one: Component = {
        "type": type_,
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
    }
    expression = part.source != "deb" and re.search(r" (AND|OR|WITH) ", part.license)
    one["licenses"] = [{"expression": part.license} if expression else {"license": {"name": part.license}}]
    return one | more


def described_inside(one: metadata.Distribution) -> list[Component]:
    """What a wheel's own bills of materials list (PEP 770): crates, bundled C libraries."""
    found: dict[str, Component] = {}
    for file in one.files or ():
        if ".dist-info/sboms/" not in str(file) or not str(file).endswith(".json"):
            continue
        for inner in json.loads(Path(str(one.locate_file(file))).read_text()).get("components", []):
            purl = re.sub(r"[?#].*", "", inner.get("purl", ""))
            kept = {key: inner[key] for key in ("type", "name", "version", "licenses") if key in inner}
            if purl and canonical(inner["name"]) != canonical(one.name):
                found[purl] = kept | {"purl": purl}
    return [found[purl] for purl in sorted(found)]


def write(tree: Path, origins: Path, own: str, epoch: int, also: dict[str, str]) -> None:
    """Write the document to the top of the tree, and licence texts to `lib/licenses`.

    `origins`: what minipaas.spec wrote; `own`: our version; `also`: path in the tree -> the file it was copied from.
    Raises UnknownOrigin.
    """
    made_of = json.loads(origins.read_text())
    owners = Owners()
    sources = {f"lib/parts/{name}": source for name, source in made_of["libraries"]} | also
    everything = [*sources.values(), *(source for _, source in made_of["modules"] if source.startswith("/"))]
    packages = debian_owners(path for path in everything if owners.distribution_of(path) is None)
    files: dict[str, list[Component]] = defaultdict(list)
    parts: dict[str, Part] = {}
    for source in everything:
        part = _part_of(source, owners, packages, parts)
        if part is None and source in sources.values():
            raise UnknownOrigin(f"{source}: neither a Debian package nor a Python distribution has it")
    for name in _binaries(tree):
        if name in sources:
            owner = _part_of(sources[name], owners, packages, parts)
            files[owner.purl if owner else ""].append(_file(tree, name))
    for name in (*LINKED_IN, *INSIDE):
        part = debian_part(name)
        parts[part.purl] = part
    bootloader = msgspec.structs.replace(distribution(owners.distributions["pyinstaller"]), license=BOOTLOADER)
    parts[bootloader.purl] = bootloader
    files[bootloader.purl].append(_file(tree, "lib/minipaas"))
    interpreter = python()
    root = f"pkg:generic/minipaas@{own}"
    components = [component(interpreter, type_="platform")]
    for part in sorted(parts.values(), key=lambda part: part.purl):
        inside = described_inside(owners.distributions[part.name]) if part.source == "pypi" else []
        inner = [*inside, *sorted(files[part.purl], key=lambda one: str(one["name"]))]
        components.append(component(part, **({"components": inner} if inner else {})))
    components += [component(part) for part in vendored()]
    components.append(_file(tree, "minipaas"))
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "minipaas",
                "version": own,
                "purl": root,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
            "properties": [{"name": "minipaas:platform", "value": f"linux/{platform.machine()}"}],
        },
        "components": components,
        "dependencies": _dependencies(root, components, parts, owners),
    }
    text = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_SERIAL, hashlib.sha256(text.encode()).hexdigest())}"
    (tree / SBOM).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    _license_texts(tree / "lib/licenses", parts.values(), owners)


def _part_of(source: str, owners: Owners, packages: dict[str, str], parts: dict[str, Part]) -> Part | None:
    name = owners.distribution_of(source)
    if name == "minipaas" or (name is None and source not in packages):
        return None
    part = distribution(owners.distributions[name]) if name else _debian(packages[source])
    return parts.setdefault(part.purl, part)


_seen: dict[str, Part] = {}


def _debian(package: str) -> Part:
    if package not in _seen:
        _seen[package] = debian_part(package)
    return _seen[package]


def _binaries(tree: Path) -> Iterator[str]:
    """Programs and libraries of the tree: ELF files."""
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield str(path.relative_to(tree))


def _file(tree: Path, name: str) -> Component:
    digest = hashlib.sha256((tree / name).read_bytes()).hexdigest()
    return {"type": "file", "bom-ref": f"file:{name}", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}


def _dependencies(root: str, components: list[Component], parts: dict[str, Part], owners: Owners) -> list[Component]:
    """Who needs whom, as far as distributions say so; the program needs all."""
    refs = {part.name: part.purl for part in parts.values() if part.source == "pypi"}
    rows = [{"ref": root, "dependsOn": sorted(one["bom-ref"] for one in components)}]
    for name in sorted(refs):
        asks = {canonical(one) for one in requirements(owners.distributions[name])}
        rows.append({"ref": refs[name], "dependsOn": sorted(refs[one] for one in asks if one in refs)})
    return rows


def _license_texts(into: Path, parts: Iterable[Part], owners: Owners) -> None:
    """The texts that those who pass the program on have to pass on with it."""
    for part in parts:
        place = into / f"{part.source}-{part.name}"
        if part.source == "deb":
            texts = [Path("/usr/share/doc", part.name, "copyright")]
        else:
            one = owners.distributions[part.name]
            files = [file for file in one.files or () if ".dist-info/" in str(file) and _LICENSE_FILE.search(file.name)]
            texts = [Path(str(one.locate_file(file))) for file in files]
        for text in sorted(texts):
            if text.is_file():
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(text, place / text.name)
