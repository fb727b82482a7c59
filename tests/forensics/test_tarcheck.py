"""Tars on their way into an instance: what may pass, whatever the pieces are."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipaas.forensics.tarcheck import TarCheck
from minipaas.model.errors import Invalid, MinipaasError, Refused

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "d/" * 120 + "file"


def tar(*members: tuple[str, bytes, dict[str, Any]], kind: int = tarfile.PAX_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=kind) as made:
        for name, content, values in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in values.items():
                setattr(info, key, value)
            made.addfile(info, io.BytesIO(content))
    return data.getvalue()


def check(data: bytes, piece: int = 10**9, largest: int = 10**9) -> None:
    one = TarCheck(largest)
    for start in range(0, len(data), piece):
        one.feed(data[start : start + piece])
    one.end()


LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
GOOD = tar(("a", b"x" * 1000, {}), ("d", b"", {"type": tarfile.DIRTYPE}), ("d/l", b"", LINK), (LONG, b"y", {}))


@pytest.mark.parametrize("kind", FORMATS)
def test_files_directories_and_links_pass(kind: str) -> None:
    names = ("a", "d/" * 40 + "b") if kind == "ustar" else ("a", LONG)
    hard = {"type": tarfile.LNKTYPE, "linkname": "a"}
    check(tar(*((name, b"x" * 700, {}) for name in names), ("h", b"", hard), kind=FORMATS[kind]))


@given(st.integers(1, 2000))
def test_however_it_is_cut(piece: int) -> None:
    check(GOOD, piece)


@pytest.mark.parametrize("kind", ["gnu", "pax"])
@pytest.mark.parametrize(
    "member",
    [
        ("../evil", b"", {}),
        ("/etc/passwd", b"", {}),
        ("a/../../evil", b"", {}),
        ("a/" * 60 + "../" * 70 + "evil", b"", {}),
        ("h", b"", {"type": tarfile.LNKTYPE, "linkname": "../../etc/shadow"}),
        ("h", b"", {"type": tarfile.LNKTYPE, "linkname": "x/" * 60 + "../" * 70 + "s"}),
        ("null", b"", {"type": tarfile.CHRTYPE}),
        ("disk", b"", {"type": tarfile.BLKTYPE}),
        ("pipe", b"", {"type": tarfile.FIFOTYPE}),
    ],
    ids=lambda member: member[0][:12],
)
def test_what_leads_out_or_is_no_file_does_not_pass(kind: str, member: tuple[str, bytes, dict[str, Any]]) -> None:
    with pytest.raises(Refused) as error:
        check(tar(("good", b"x", {}), member, kind=FORMATS[kind]))
    assert error.value.code == "access.unsafe"


def test_a_name_from_a_pax_header_is_judged() -> None:
    with pytest.raises(Refused):
        check(tar(("good", b"", {"pax_headers": {"path": "../evil"}})))


def test_too_much() -> None:
    with pytest.raises(Refused) as error:
        check(tar(("a", b"x" * 5000, {})), largest=4000)
    assert error.value.code == "access.too_large"


@pytest.mark.parametrize("cut", [100, 600, 1500], ids=["in a header", "in a file", "in its padding"])
def test_half_an_archive(cut: int) -> None:
    with pytest.raises(Invalid, match="ends in the middle"):
        check(tar(("a", b"x" * 1000, {}))[:cut])


@given(st.binary(max_size=3000), st.integers(0, len(GOOD)))
def test_nonsense_is_refused_and_never_breaks_it(noise: bytes, at: int) -> None:
    try:
        check(GOOD[:at] + noise + GOOD[at + len(noise) :])
    except MinipaasError as error:
        assert error.message.startswith("cannot ")
