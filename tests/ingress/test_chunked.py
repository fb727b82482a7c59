from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipaas.ingress import pages
from minipaas.ingress.chunked import ChunkedBody
from minipaas.ingress.limits import CHUNK_LINE, TRAILER_FIELDS, TRAILERS

CASES = [
    (b"0\r\n\r\n", b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5;name=x\r\nhello\r\n000\r\n\r\n", b"5;name=x\r\nhello\r\n000\r\n\r\n", b"hello"),
    (b"A\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n", b"A\r\n0123456789\r\n1\r\n\n\r\n0\r\n\r\n", b"0123456789\n"),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
    (b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", b"a"),
    (b"1\r\na\r\n0\r\nSet-Cookie: a\r\nX-Sum:1\r\n\r\n", b"1\r\na\r\n0\r\nX-Sum:1\r\n\r\n", b"a"),
    (b"0\r\nContent-Length: 1\r\n\r\n", b"0\r\n\r\n", b""),
    (b"0\r\nA: 1\r\nX-Hop: 1\r\nA: 2\r\n\r\n", b"0\r\nA: 1\r\nA: 2\r\n\r\n", b""),
]
LENGTHY = [
    b"0\r\n" + b"X: %b\r\n" % (b"a" * 1000) * (TRAILERS // 1000 + 1) + b"\r\n",
    b"0\r\nX: " + b"a" * (TRAILERS - 4) + b"\r\n\r\n",
    b"0\r\nX: " + b"a" * TRAILERS,
    b"0\r\n" + b"X: 1\r\n" * (TRAILER_FIELDS + 1) + b"\r\n",
    b"0\r\n" + b"Host: 1\r\n" * (TRAILER_FIELDS + 1) + b"\r\n",
]


def run(pieces: list[bytes], decode: bool) -> tuple[bytes, ChunkedBody]:
    body = ChunkedBody(decode, named={b"x-hop"})
    return b"".join(body.feed(piece) for piece in pieces), body


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize(("wire", "passed", "content"), CASES)
def test_a_body_cut_anywhere_is_the_same_body(wire: bytes, passed: bytes, content: bytes, decode: bool) -> None:
    expected = content if decode else passed
    cuts = [[wire[:cut], wire[cut:] + b"GET /next"] for cut in range(len(wire))]
    for pieces in [[wire + b"GET /next"], *cuts]:
        out, body = run(pieces, decode)
        assert (out, body.done, body.broken, body.rest) == (expected, True, False, b"GET /next"), pieces
    out, body = run([wire[at : at + 1] for at in range(len(wire))], decode)
    assert (out, body.done, body.rest) == (expected, True, b"")


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5;a=\n\r\nhello\r\n0\r\n\r\n",
        b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"1000000000000000\r\n",
        b"5" * CHUNK_LINE,
        b"5;" + b"a" * CHUNK_LINE + b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nX : space\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX: a\nb\r\n\r\n",
        b"0\r\nX: a\x00b\r\n\r\n",
        *LENGTHY,
    ],
)
def test_what_could_be_read_in_two_ways_is_broken_however_it_arrives(wire: bytes) -> None:
    whole, body = run([wire], False)
    assert body.broken and not body.done and whole == b""
    step = max(1, len(wire) // 500)
    _, body = run([wire[at : at + step] for at in range(0, len(wire), step)], False)
    assert body.broken and not body.done


@pytest.mark.parametrize("wire", LENGTHY)
def test_too_much_behind_a_body_is_told_from_what_is_malformed(wire: bytes) -> None:
    assert run([wire], False)[1].fault is pages.LONG_TRAILERS
    assert run([wire[at : at + 20] for at in range(0, len(wire), 20)], False)[1].fault is pages.LONG_TRAILERS
    assert run([b"0\r\nno field\r\n\r\n"], False)[1].fault is pages.BAD_BODY


@pytest.mark.parametrize(
    "wire",
    [b"0\r\nX: %b\r\n\r\n" % (b"a" * (TRAILERS - 5)), b"0\r\n" + b"X: 1\r\n" * TRAILER_FIELDS + b"\r\n"],
)
def test_as_much_behind_a_body_as_may_be(wire: bytes) -> None:
    assert run([wire], False)[0] == wire
    assert run([wire[at : at + 20] for at in range(0, len(wire), 20)], False)[0] == wire


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_any_body_in_any_pieces(chunks: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.sets(st.integers(0, len(wire)), max_size=12)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert run(pieces, False)[0] == wire
    assert run(pieces, True)[0] == b"".join(chunks)


@given(st.binary(max_size=60), st.integers(0, 60))
def test_noise_never_depends_on_how_it_is_cut(noise: bytes, cut: int) -> None:
    _, whole = run([noise], False)
    _, parts = run([noise[:cut], noise[cut:]], False)
    assert (whole.done, whole.broken, whole.rest) == (parts.done, parts.broken, parts.rest)
