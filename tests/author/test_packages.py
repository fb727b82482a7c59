"""What is found in the package databases of an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from minipaas.author.layers import FileView
from minipaas.author.limits import LIMITS
from minipaas.author.packages import Inventory, inventory, wanted
from tests.author.made import Content, layer_files

DEBIAN = b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'
ALPINE = b'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.1\n'
STATUS = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc
Version: 2.36-9+deb12u7
Description: GNU C Library
 Package: not-a-field

Package: gone
Status: deinstall ok config-files
Version: 1
Architecture: all

Package: dpkg
Status: install ok installed
Version: 1:1.21.22
"""
APK = b"C:Q1xyz=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\n\nP:g++\nV:13\nA:x86_64\n\n"


def look(tmp_path: Path, *layers: Mapping[str, Content]) -> Inventory:
    return inventory(FileView(layer_files(tmp_path, *layers), wanted))


CASES: list[tuple[str, dict[str, Content], set[str]]] = [
    (
        "dpkg",
        {"etc/os-release": DEBIAN, "var/lib/dpkg/status": STATUS},
        {
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u7?arch=amd64&distro=debian-12",
            "pkg:deb/debian/dpkg@1:1.21.22?distro=debian-12",
        },
    ),
    (
        "dpkg without a distribution's own directory",
        {"var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12\n", "var/lib/dpkg/status.d/b.md5sums": b"x"},
        {"pkg:deb/debian/base-files@12"},
    ),
    (
        "apk",
        {"usr/lib/os-release": ALPINE, "lib/apk/db/installed": APK},
        {
            "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1",
            "pkg:apk/alpine/g%2B%2B@13?arch=x86_64&distro=alpine-3.20.1",
        },
    ),
    (
        "python",
        {
            "app/lib/site-packages/Foo_Bar-1.0.dist-info/METADATA": b"Name: Foo_Bar\nVersion: 1.0\n\nName: no\n",
            "usr/lib/python3/dist-packages/baz.egg-info/PKG-INFO": b"Name: baz\nVersion: 2\n",
            "usr/lib/python3/dist-packages/old-3.egg-info": b"Name: old\nVersion: 3\n",
        },
        {"pkg:pypi/foo-bar@1.0", "pkg:pypi/baz@2", "pkg:pypi/old@3"},
    ),
    (
        "npm",
        {
            "app/node_modules/left-pad/package.json": b'{"name": "left-pad", "version": "1.3.0", "license": "WTFPL"}',
            "app/node_modules/@scope/x/package.json": b'{"name": "@scope/x", "version": "2.0.0"}',
            "app/node_modules/left-pad/test/package.json": b'{"name": "fixture", "version": "9"}',
            "app/package.json": b'{"name": "app", "version": "1"}',
            "app/node_modules/broken/package.json": b"{",
            "app/node_modules/list/package.json": b"[]",
        },
        {"pkg:npm/left-pad@1.3.0", "pkg:npm/%40scope/x@2.0.0"},
    ),
    ("nothing at all", {"bin/busybox": b"ELF"}, set()),
]


@pytest.mark.parametrize(("files", "purls"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_finds(tmp_path: Path, files: dict[str, Content], purls: set[str]) -> None:
    assert {package.purl for package in look(tmp_path, files).packages} == purls


def test_details_of_a_package(tmp_path: Path) -> None:
    found = look(tmp_path, {"lib/apk/db/installed": APK, "var/lib/dpkg/status": STATUS}).packages
    by_name = {package.name: package for package in found}
    assert (by_name["musl"].license, by_name["musl"].path) == ("MIT", "lib/apk/db/installed")
    assert by_name["libc6"].source == "glibc"


def test_the_system_is_named_and_etc_wins(tmp_path: Path) -> None:
    found = look(tmp_path, {"usr/lib/os-release": ALPINE, "etc/os-release": DEBIAN}).os
    assert found is not None
    assert (found.id, found.version, found.name) == ("debian", "12", "Debian GNU/Linux 12 (bookworm)")


def test_a_removed_package_is_gone(tmp_path: Path) -> None:
    there = {"app/node_modules/left-pad/package.json": b'{"name": "left-pad", "version": "1.3.0"}'}
    assert look(tmp_path, there, {"app/node_modules/.wh.left-pad": b""}).packages == ()


@pytest.mark.parametrize(
    "path",
    ["var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/Packages.db", "x.dist-info/METADATA"],
)
def test_what_is_not_understood_is_said(tmp_path: Path, path: str) -> None:
    assert look(tmp_path, {path: b"\x00\x01"}).unread == (path,)


def test_a_huge_record_is_not_read_but_said(tmp_path: Path) -> None:
    path = "x.dist-info/METADATA"
    found = look(tmp_path, {path: b"Name: x\nVersion: 1\n\n" + b"x" * LIMITS.package_file})
    assert (found.packages, found.unread) == ((), (path,))
