"""Installed packages, read from the databases that package managers leave in an image.

Read: dpkg (`/var/lib/dpkg/status`, `status.d/`), apk (`/lib/apk/db/installed`), Python (`*.dist-info/METADATA`,
`*.egg-info/PKG-INFO`), npm (`node_modules/**/package.json`). Seen, but not read: rpm; it is reported as unread, never
passed over in silence. Package URLs follow the purl specification (types deb, apk, pypi, npm). A record that can't be
understood makes an unread entry too; it never fails a build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email.parser import HeaderParser
from urllib.parse import quote

from msgspec import Struct

from minipaas.author.layers import FileView
from minipaas.author.limits import LIMITS

_DPKG = re.compile(r"var/lib/dpkg/(status|status\.d/[^/]+(?<!\.md5sums))")
_APK = re.compile(r"(usr/)?lib/apk/db/installed")
_RPM = re.compile(r"(var/lib/rpm|usr/lib/sysimage/rpm)/(rpmdb\.sqlite|Packages|Packages\.db)")
_OS = re.compile(r"(etc|usr/lib)/os-release")
_PYTHON = re.compile(r"(.*/)?[^/]+\.(dist-info/METADATA|egg-info/PKG-INFO|egg-info)")
_NPM = re.compile(r"(.*/)?node_modules/(@[^/]+/)?[^/]+/package\.json")


class Package(Struct, frozen=True, kw_only=True, order=True):
    """One installed package."""

    purl: str
    name: str
    version: str
    path: str
    """Where in the image it is recorded."""
    source: str = ""
    """The source package that it was built from, when the database says so."""
    license: str = ""


class OsRelease(Struct, frozen=True, kw_only=True):
    """`/etc/os-release`, as far as an SBOM needs it."""

    id: str
    version: str
    name: str


class Inventory(Struct, frozen=True, kw_only=True):
    """What an image says is installed in it."""

    os: OsRelease | None
    packages: tuple[Package, ...]
    unread: tuple[str, ...]
    """Package records that are there and were not understood."""


def wanted(path: str) -> bool:
    """Whether a path (no leading slash) may record packages."""
    return any(rule.fullmatch(path) for rule in (_DPKG, _APK, _RPM, _OS, _PYTHON, _NPM))


def inventory(view: FileView) -> Inventory:
    """Everything that is recorded in the image's final file system. `view` was made with `wanted`."""
    found: set[Package] = set()
    unread: list[str] = []
    os_release = _os_release(view)
    for path in view.paths():
        if _OS.fullmatch(path):
            continue
        database = _DPKG.fullmatch(path) or _APK.fullmatch(path)
        limit = LIMITS.package_database if database else LIMITS.package_file
        if _RPM.fullmatch(path) or view.size(path) > limit or len(found) >= LIMITS.packages:
            unread.append(path)
            continue
        packages = list(_parse(path, view.read(path).decode("utf-8", "replace"), os_release))
        found.update(packages)
        if not packages and not database and not _NPM.fullmatch(path):
            unread.append(path)
    return Inventory(os=os_release, packages=tuple(sorted(found)), unread=tuple(sorted(unread)))


def _parse(path: str, text: str, os_release: OsRelease | None) -> Iterator[Package]:
    if _DPKG.fullmatch(path):
        return _dpkg(path, text, os_release)
    if _APK.fullmatch(path):
        return _apk(path, text, os_release)
    if _NPM.fullmatch(path):
        return _npm(path, text)
    return _python(path, text)


def _dpkg(path: str, text: str, os_release: OsRelease | None) -> Iterator[Package]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza, ": ")
        name, version = fields.get("Package"), fields.get("Version")
        state = fields.get("Status", "install ok installed")
        if name and version and state.split()[-1:] == ["installed"]:
            yield Package(
                purl=_os_purl("deb", "debian", name, version, fields.get("Architecture", ""), os_release),
                name=name,
                version=version,
                path=path,
                source=fields.get("Source", ""),
            )


def _apk(path: str, text: str, os_release: OsRelease | None) -> Iterator[Package]:
    for stanza in text.split("\n\n"):
        fields = _fields(stanza, ":")
        name, version = fields.get("P"), fields.get("V")
        if name and version:
            yield Package(
                purl=_os_purl("apk", "alpine", name, version, fields.get("A", ""), os_release),
                name=name,
                version=version,
                path=path,
                source=fields.get("o", ""),
                license=fields.get("L", ""),
            )


def _python(path: str, text: str) -> Iterator[Package]:
    head = HeaderParser().parsestr(text)
    name, version = str(head.get("Name", "")).strip(), str(head.get("Version", "")).strip()
    if name and version:
        normal = re.sub(r"[-_.]+", "-", name).lower()
        yield Package(
            purl=f"pkg:pypi/{_quote(normal)}@{_quote(version)}",
            name=name,
            version=version,
            path=path,
            license=_one_line(head.get("License-Expression") or head.get("License")),
        )


def _npm(path: str, text: str) -> Iterator[Package]:
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(raw, dict):
        return
    name, version = raw.get("name"), raw.get("version")
    if isinstance(name, str) and isinstance(version, str) and name and version:
        scope, slash, rest = name.rpartition("/")
        where = f"{_quote(scope)}/" if slash else ""
        yield Package(
            purl=f"pkg:npm/{where}{_quote(rest)}@{_quote(version)}",
            name=name,
            version=version,
            path=path,
            license=_one_line(raw.get("license")),
        )


def _os_release(view: FileView) -> OsRelease | None:
    """`etc/os-release` wins over `usr/lib/os-release`, os-release(5); `paths` is sorted that way."""
    for path in view.paths():
        if not _OS.fullmatch(path) or view.size(path) > LIMITS.package_file:
            continue
        fields: dict[str, str] = {}
        for line in view.read(path).decode("utf-8", "replace").splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                fields[key] = value.strip("\"'")
        if fields.get("ID"):
            name = fields.get("PRETTY_NAME") or fields.get("NAME") or fields["ID"]
            return OsRelease(id=fields["ID"].lower(), version=fields.get("VERSION_ID", ""), name=name)
    return None


def _os_purl(kind: str, vendor: str, name: str, version: str, arch: str, os_release: OsRelease | None) -> str:
    """Qualifiers sorted by key, as the purl specification wants it."""
    qualifiers = [f"arch={_quote(arch)}"] if arch else []
    if os_release is not None:
        vendor = os_release.id
        distro = f"{os_release.id}-{os_release.version}" if os_release.version else os_release.id
        qualifiers.append(f"distro={_quote(distro)}")
    tail = "?" + "&".join(qualifiers) if qualifiers else ""
    return f"pkg:{kind}/{_quote(vendor)}/{_quote(name.lower())}@{_quote(version)}{tail}"


def _fields(stanza: str, colon: str) -> dict[str, str]:
    """The one-line fields of a stanza; continuation lines are left out."""
    fields: dict[str, str] = {}
    for line in stanza.splitlines():
        key, found, value = line.partition(colon)
        if found and not key[:1].isspace():
            fields.setdefault(key, value.strip())
    return fields


def _one_line(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text if "\n" not in text and len(text) <= 200 else ""


def _quote(text: str) -> str:
    return quote(text, safe=":")
