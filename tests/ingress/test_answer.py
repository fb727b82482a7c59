from __future__ import annotations

import pytest

from minipaas.ingress.answer import CHUNKED, UNTIL_CLOSE, Answer, parse

from .peers import field, fields


def head(*lines: str, line: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


def good(wire: bytes) -> Answer:
    answer = parse(wire, 128)
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("wire", "length", "reusable"),
    [
        (head("Content-Length: 5"), 5, True),
        (head("Content-Length: 5", "Connection: close"), 5, False),
        (head("Content-Length: 5", line="HTTP/1.0 200 OK"), 5, False),
        (head("Content-Length: 5", "Connection: keep-alive", line="HTTP/1.0 200 OK"), 5, True),
        (head("Transfer-Encoding: chunked"), CHUNKED, True),
        (head("Transfer-Encoding: Chunked"), CHUNKED, True),
        (head(), UNTIL_CLOSE, False),
        (head(line="HTTP/1.1 204 No Content"), UNTIL_CLOSE, True),
        (head(line="HTTP/1.1 304 Not Modified"), UNTIL_CLOSE, True),
        (head(line="HTTP/1.1 200"), UNTIL_CLOSE, False),
        (head(line="HTTP/1.1 200 "), UNTIL_CLOSE, False),
    ],
)
def test_how_an_answer_ends(wire: bytes, length: int, reusable: bool) -> None:
    answer = good(wire)
    assert (answer.length, answer.reusable) == (length, reusable)


@pytest.mark.parametrize(
    "wire",
    [
        head("Content-Length: 5", "Content-Length: 5"),
        head("Content-Length: 5", "Content-Length: 6"),
        head("Content-Length: 5", "Transfer-Encoding: chunked"),
        head("Content-Length: -1"),
        head("Content-Length: 5, 5"),
        head("Transfer-Encoding: gzip"),
        head("Transfer-Encoding: gzip, chunked"),
        head("Transfer-Encoding: chunked", line="HTTP/1.0 200 OK"),
        head("X-A : b"),
        head("X-A: b", " folded"),
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: a\r\n\r\n",
        head(line="HTTP/2 200 OK"),
        head(line="HTTP/1.1 20 OK"),
        head(line="HTTP/1.1 2000 OK"),
        head(line="HTTP/1.1  200 OK"),
        head(line="SSH-2.0-OpenSSH"),
        head(*(f"X-{number}: 1" for number in range(200))),
    ],
)
def test_an_answer_that_is_not_clear_is_not_passed_on(wire: bytes) -> None:
    assert parse(wire, 128) is None


def test_hop_by_hop_fields_stay_here() -> None:
    ours = "Connection: X-Hop, keep-alive|X-Hop: 1|Keep-Alive: timeout=5|Upgrade: h2c|Trailer: X-Sum|X-Minipaas: forged"
    wire = head("Server: app", *ours.split("|"), "Set-Cookie: a=b", "Set-Cookie: c=d", "Content-Length: 3")
    kept = good(wire).kept
    assert fields(kept) == ["server", "set-cookie", "set-cookie", "content-length"]


def test_trailers_are_announced_where_they_can_come() -> None:
    lines = ("Connection: X-Hop", "Trailer: X-Sum, Content-Length, X-Hop", "Transfer-Encoding: chunked")
    answer = good(head(*lines))
    assert field(answer.kept, "trailer") == field(answer.closing(False), "trailer") == "X-Sum"
    assert field(answer.to_head_request(True), "trailer") == "X-Sum"
    assert field(answer.closing(True), "trailer") is None
    assert answer.named == {b"x-hop"}
    for wire in (head("Trailer: X-Sum"), head("Trailer: X-Sum", "Content-Length: 3")):
        assert field(good(wire).kept, "trailer") is None
    assert field(good(head("Trailer: X", "Transfer-Encoding: chunked", line="HTTP/1.1 304 X")).kept, "trailer") is None


def test_a_clean_head_goes_on_without_a_copy() -> None:
    wire = head("Server: app", "Content-Length: 3")
    answer = good(wire)
    assert answer.kept is answer.raw


@pytest.mark.parametrize(
    ("wire", "old", "expected"),
    [
        (head("Content-Length: 3"), False, {"content-length": "3", "connection": "close", "transfer-encoding": None}),
        (head("Content-Length: 3"), True, {"content-length": "3", "connection": "close", "transfer-encoding": None}),
        (head("Transfer-Encoding: chunked"), False, {"connection": "close", "transfer-encoding": "chunked"}),
        (head("Transfer-Encoding: chunked"), True, {"connection": "close", "transfer-encoding": None}),
        (head(), False, {"connection": "close", "transfer-encoding": "chunked"}),
        (head(), True, {"connection": "close", "transfer-encoding": None}),
    ],
)
def test_the_head_of_a_last_answer(wire: bytes, old: bool, expected: dict[str, str | None]) -> None:
    sent = good(wire).closing(old)
    assert {name: field(sent, name) for name in expected} == expected
    assert sent.endswith(b"\r\n\r\n") and sent.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize("line", ["HTTP/1.1 204 No Content", "HTTP/1.1 304 Not Modified", "HTTP/1.1 103 Early Hints"])
def test_answers_without_a_body_get_no_coding(line: str) -> None:
    assert field(good(head("X-A: 1", line=line)).kept, "transfer-encoding") is None


def test_the_version_is_ours() -> None:
    assert good(head("Content-Length: 0", line="HTTP/1.0 404 Not Found")).kept.startswith(b"HTTP/1.1 404 Not Found\r\n")
