"""The box's own CA, judged by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from minipaas.certs.authority import Authority
from minipaas.certs.limits import DAY
from minipaas.model.certificate import normal_name, wildcard_of
from tests.certs.made import at

BOX = "0123456789abcdef"


def openssl(*words: str | Path) -> str:
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=True).stdout


def test_the_root(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path, BOX)
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.pem)
    said = openssl("x509", "-in", file, "-noout", "-text")
    assert "CA:TRUE, pathlen:0" in said
    assert "Certificate Sign, CRL Sign" in said
    assert f"minipaas CA of box {BOX[:8]}" in said
    assert (authority.facts.not_before, authority.facts.not_after) == (at(2000, 1, 1), at(2070, 1, 1))
    for year in (2018, 2026, 2040, 2069):
        openssl("verify", "-attime", str(int(at(year, 6, 1))), "-CAfile", file, file)
    assert Authority.open(tmp_path, BOX).pem == authority.pem
    assert Authority.open(tmp_path / "other", BOX).facts.subject != authority.facts.subject
    assert "PRIVATE" not in authority.pem.decode()


@pytest.mark.parametrize(
    "names",
    [
        ("shop.local",),
        ("*.dev.lan",),
        ("192.168.1.10",),
        ("fd00::1",),
        ("box.lan", "10.0.0.1"),
        ("x" * 60 + ".example",),
    ],
)
def test_what_it_signs(tmp_path: Path, names: tuple[str, ...]) -> None:
    authority = Authority.open(tmp_path, BOX)
    now = at(2026, 11, 24)
    pair = authority.issue(names, now)
    assert pair.facts.names == names
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "leaf.pem").write_bytes(pair.chain)
    for name in names:
        concrete = name.replace("*", "a")
        kind = "-verify_ip" if name[0].isdigit() or ":" in name else "-verify_hostname"
        for when in (now - 50 * DAY, now, now + 700 * DAY):
            openssl(
                "verify", "-purpose", "sslserver", "-x509_strict", "-attime", str(int(when)), kind, concrete,
                "-CAfile", tmp_path / "ca.pem", tmp_path / "leaf.pem",
            )  # fmt: skip
    said = openssl("x509", "-in", tmp_path / "leaf.pem", "-noout", "-text")
    assert "CA:FALSE" in said
    assert "Public-Key: (256 bit)" in said
    assert authority.adopt(pair) == pair
    assert Authority.open(tmp_path / "other", BOX).adopt(pair) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Shop.Local", "shop.local"),
        ("shop.local.", "shop.local"),
        ("*.a.b", "*.a.b"),
        ("a_b.c", "a_b.c"),
        ("[FD00::0:1]", "fd00::1"),
        ("192.168.001.1", None),
        ("10.0.0.1", "10.0.0.1"),
        ("", None),
        ("a..b", None),
        ("-a.b", None),
        ("*", None),
        ("a.*.b", None),
        ("a b", None),
        ("ü.b", None),
        ("x" * 64, None),
        ("a." * 130 + "b", None),
        ("a\x00.b", None),
        ("../etc", None),
    ],
)
def test_names(text: str, name: str | None) -> None:
    assert normal_name(text) == name


@pytest.mark.parametrize(
    ("name", "wildcard"),
    [("a.b.c", "*.b.c"), ("a.b", "*.b"), ("a", None), ("*.b", None), ("10.0.0.1", None), ("fd00::1", None)],
)
def test_wildcards(name: str, wildcard: str | None) -> None:
    assert wildcard_of(name) == wildcard
