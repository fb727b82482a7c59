from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minipaas.ingress.limits import Limits
from minipaas.ingress.origin import NOBODY
from minipaas.ingress.pages import Fault
from minipaas.ingress.request import CHUNKED, NOTHING, Request, incomplete, parse

from .peers import field, fields

ORIGIN = NOBODY.origin("10.0.0.9", False)
LIMITS = Limits()


def read(head: bytes, last: Request = NOTHING) -> Request | Fault:
    return parse(head, last, ORIGIN, LIMITS)


def good(head: bytes, last: Request = NOTHING) -> Request:
    request = read(head, last)
    assert isinstance(request, Request), request
    return request


def head(*lines: str, line: str = "GET / HTTP/1.1", host: str | None = "shop.local") -> bytes:
    more = [f"Host: {host}"] if host is not None else []
    return "\r\n".join([line, *more, *lines, "", ""]).encode("latin-1")


REFUSED = {
    "both lengths": (400, head("Content-Length: 5", "Transfer-Encoding: chunked")),
    "both lengths, other order": (400, head("Transfer-Encoding: chunked", "Content-Length: 5")),
    "two lengths": (400, head("Content-Length: 5", "Content-Length: 6")),
    "the same length twice": (400, head("Content-Length: 5", "Content-Length: 5")),
    "a list of lengths": (400, head("Content-Length: 5, 5")),
    "plus sign": (400, head("Content-Length: +5")),
    "minus sign": (400, head("Content-Length: -1")),
    "hexadecimal length": (400, head("Content-Length: 0x5")),
    "underscore in length": (400, head("Content-Length: 1_0")),
    "empty length": (400, head("Content-Length:")),
    "huge length": (400, head("Content-Length: " + "9" * 30)),
    "gzip, chunked": (400, head("Transfer-Encoding: gzip, chunked")),
    "chunked twice": (400, head("Transfer-Encoding: chunked, chunked")),
    "two codings": (400, head("Transfer-Encoding: chunked", "Transfer-Encoding: identity")),
    "identity": (400, head("Transfer-Encoding: identity")),
    "odd coding": (400, head("Transfer-Encoding: xchunked")),
    "quoted coding": (400, head('Transfer-Encoding: "chunked"')),
    "coding with vertical tab": (400, head("Transfer-Encoding: \x0bchunked")),
    "empty coding": (400, head("Transfer-Encoding:")),
    "coding in HTTP/1.0": (400, head("Transfer-Encoding: chunked", line="POST / HTTP/1.0")),
    "space before colon": (400, head("Content-Length : 5")),
    "tab before colon": (400, head("Transfer-Encoding\t: chunked")),
    "folded line": (400, head("X-A: 1", " folded")),
    "folded first line": (400, b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n"),
    "bare line feed": (400, b"GET / HTTP/1.1\r\nHost: a\nContent-Length: 5\r\n\r\n"),
    "bare line feed after request line": (400, b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "bare carriage return": (400, b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
    "nul in value": (400, head("X-A: a\x00b")),
    "control in value": (400, head("X-A: a\x01b")),
    "delete in value": (400, head("X-A: a\x7fb")),
    "no colon": (400, head("Nonsense")),
    "empty name": (400, head(": x")),
    "name with space": (400, head("X A: x")),
    "name with bracket": (400, head("X(A): x")),
    "name with high byte": (400, head("X\xe9: x")),
    "no host": (400, head(host=None)),
    "two hosts": (400, head("Host: other.local")),
    "the same host twice": (400, head("Host: shop.local")),
    "empty host": (400, head(host="")),
    "host with space": (400, head(host="a b")),
    "host with path": (400, head(host="a/b")),
    "host with user": (400, head(host="user@a")),
    "host with comma": (400, head(host="a,b")),
    "host with odd port": (400, head(host="a:80x")),
    "target with user": (400, head(line="GET http://user@a/ HTTP/1.1")),
    "target of another scheme": (400, head(line="GET ftp://a/ HTTP/1.1")),
    "target without slash": (400, head(line="GET index.html HTTP/1.1")),
    "asterisk for GET": (400, head(line="GET * HTTP/1.1")),
    "target with fragment": (400, head(line="GET /#x HTTP/1.1")),
    "target with high byte": (400, head(line="GET /\xe9 HTTP/1.1")),
    "two spaces": (400, head(line="GET  / HTTP/1.1")),
    "space in target": (400, head(line="GET /a b HTTP/1.1")),
    "tab in line": (400, head(line="GET\t/ HTTP/1.1")),
    "trailing space in line": (400, head(line="GET / HTTP/1.1 ")),
    "lower-case method": (400, head(line="get / HTTP/1.1")),
    "HTTP/2's own method": (400, head(line="PRI / HTTP/1.1")),
    "target of another host, odd host": (400, head(line="GET http://shop.local/ HTTP/1.1", host="a b")),
    "target of another host, empty host": (400, head(line="GET http://shop.local/ HTTP/1.1", host="")),
    "target of another host, no host": (400, head(line="GET http:///x HTTP/1.1")),
    "no version": (400, head(line="GET /")),
    "odd version": (400, head(line="GET / HTTP/1.10")),
    "HTTP/2": (505, head(line="GET / HTTP/2.0")),
    "HTTP/0.9": (505, head(line="GET / HTTP/0.9")),
    "HTTP/1.2": (505, head(line="GET / HTTP/1.2")),
    "lower-case protocol": (400, head(line="GET / http/1.1")),
    "CONNECT": (405, head(line="CONNECT shop.local:443 HTTP/1.1")),
    "odd expectation": (417, head("Expect: the-moon")),
    "long target": (414, head(line="GET /" + "a" * LIMITS.request_line + " HTTP/1.1")),
    "many fields": (431, head(*(f"X-{number}: 1" for number in range(LIMITS.fields)))),
    "large fields": (431, head("X-A: " + "a" * LIMITS.head)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_two_parsers_could_read_in_two_ways_is_refused(case: str) -> None:
    status, wire = REFUSED[case]
    answer = read(wire)
    assert isinstance(answer, Fault) and answer.status == status and answer.fatal


@pytest.mark.parametrize("case", REFUSED)
def test_a_good_request_before_it_changes_nothing(case: str) -> None:
    status, wire = REFUSED[case]
    answer = read(wire, good(head()))
    assert isinstance(answer, Fault) and answer.status == status


@pytest.mark.parametrize(
    ("wire", "host", "path", "first"),
    [
        (head(), "shop.local", "/", "GET / HTTP/1.1"),
        (head(line="GET /a/b?c=d/e HTTP/1.1"), "shop.local", "/a/b", "GET /a/b?c=d/e HTTP/1.1"),
        (head(host="Shop.Local.:8080"), "shop.local", "/", "GET / HTTP/1.1"),
        (head(host="[fe80::1]:80"), "[fe80::1]", "/", "GET / HTTP/1.1"),
        (head(host="my_app.local"), "my_app.local", "/", "GET / HTTP/1.1"),
        (head(line="OPTIONS * HTTP/1.1"), "shop.local", "/", "OPTIONS * HTTP/1.1"),
        (head(line="GET http://Other.local:81/x?y HTTP/1.1"), "other.local", "/x", "GET /x?y HTTP/1.1"),
        (head(line="GET HTTP://other.local HTTP/1.1"), "other.local", "/", "GET / HTTP/1.1"),
        (head(line="GET http://other.local?q HTTP/1.1"), "other.local", "/", "GET /?q HTTP/1.1"),
        (head(line="GET / HTTP/1.0", host=None), "localhost", "/", "GET / HTTP/1.1"),
        (head(line="PROPFIND /dav HTTP/1.1"), "shop.local", "/dav", "PROPFIND /dav HTTP/1.1"),
        (head(line="M-SEARCH /x HTTP/1.1"), "shop.local", "/x", "M-SEARCH /x HTTP/1.1"),
        (head(line="BREW /pot HTTP/1.1"), "shop.local", "/pot", "BREW /pot HTTP/1.1"),
    ],
)
def test_where_a_request_goes(wire: bytes, host: str, path: str, first: str) -> None:
    request = good(wire)
    assert (request.host.decode(), request.path.decode()) == (host, path)
    assert request.forward.split(b"\r\n")[0].decode() == first


def test_the_host_of_an_absolute_target_beats_the_field() -> None:
    request = good(head(line="GET http://other.local:81/ HTTP/1.1"))
    assert field(request.forward, "host") == "other.local:81"
    assert field(request.forward, "x-forwarded-host") == "other.local:81"


def test_host_is_preserved_as_it_was_written() -> None:
    assert field(good(head(host="Shop.Local:8080")).forward, "host") == "Shop.Local:8080"


def test_fields_go_on_in_order_and_as_they_are() -> None:
    request = good(head("Cookie: a=b; c=d", "accept:*/*", "X-Empty:", "X-Twice: 1", "X-Twice: 2", "X-Latin: caf\xe9"))
    lines = request.forward.split(b"\r\n")
    assert lines[2:8] == [
        b"Cookie: a=b; c=d",
        b"accept:*/*",
        b"X-Empty:",
        b"X-Twice: 1",
        b"X-Twice: 2",
        b"X-Latin: caf\xe9",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "Connection: close",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eDp5",
        "TE: gzip",
        "Trailer: X-Sum",
        "Upgrade: websocket",
        "HTTP2-Settings: AAMAAABkAAQ",
        "Forwarded: for=1.2.3.4",
        "X-Real-IP: 1.2.3.4",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-Port: 443",
        "X_Forwarded_For: 1.2.3.4",
        "x-forwarded_for: 1.2.3.4",
        "X_Real_IP: 1.2.3.4",
        "Content_Length: 10",
        "Transfer_Encoding: chunked",
        "X-Minipaas: yes",
    ],
)
def test_what_is_not_for_the_instance_does_not_reach_it(line: str) -> None:
    plain = good(head())
    assert good(head(line)).forward == plain.forward
    assert field(plain.forward, "x-forwarded-for") == "10.0.0.9"
    assert field(plain.forward, "x-forwarded-proto") == "http"
    assert field(plain.forward, "x-forwarded-host") == "shop.local"


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("Cookie: minipaas_session=secret", None),
        ("cookie: a=b; minipaas_session=secret; c=d", "a=b; c=d"),
        ("Cookie: minipaas_session=secret; a=b", "a=b"),
        ("Cookie:a=b;minipaas_session=x;__Host-minipaas=y", "a=b"),
        ("Cookie: a=minipaas_session=1; xminipaas_session=2", "a=minipaas_session=1; xminipaas_session=2"),
        ("Cookie: minipaas_session_of_mine=1", "minipaas_session_of_mine=1"),
        ("Cookie: ;;; minipaas_session=x;;", ";;;;"),
    ],
)
def test_the_session_of_the_status_page_does_not_reach_an_app(line: str, left: str | None) -> None:
    forward = good(head(line)).forward
    assert b"secret" not in forward
    assert ("cookie" in fields(forward)) == (left is not None)
    if left is not None:
        assert field(forward, "cookie") == left


def test_what_connection_names_is_dropped_but_not_what_frames_the_message() -> None:
    request = good(head("X-Secret: 1", "Content-Length: 3", "Connection: x-secret, Host, content-length, keep-alive"))
    assert "x-secret" not in fields(request.forward)
    assert field(request.forward, "content-length") == "3"
    assert field(request.forward, "host") == "shop.local"


@pytest.mark.parametrize(
    ("wire", "te"),
    [
        (head("TE: trailers"), "trailers"),
        (head("Connection: TE", "TE: gzip;q=0.5, Trailers"), "trailers"),
        (head("TE: gzip", "TE: trailers"), "trailers"),
        (head("TE: gzip, trailers;q=1"), None),
        (head("TE: trailers", line="HEAD / HTTP/1.1"), None),
        (head("TE: trailers", line="GET / HTTP/1.0"), None),
        (head("TE: trailers", "Connection: Upgrade", "Upgrade: websocket"), None),
    ],
)
def test_whether_the_client_reads_trailers(wire: bytes, te: str | None) -> None:
    forward = good(wire).forward
    assert field(forward, "te") == te
    if te is not None:
        assert field(forward, "connection") == "TE"


def test_trailers_are_announced_where_they_can_come() -> None:
    line = "Trailer: X-Sum, Host,, X-Hop, no token, Digest"
    chunked = good(head(line, "Trailer: X-More", "Connection: X-Hop", "Transfer-Encoding: chunked"))
    assert field(chunked.forward, "trailer") == "X-Sum, Digest, X-More"
    assert chunked.fields.named == {b"x-hop"}
    assert field(good(head("Trailer: Host", "Transfer-Encoding: chunked")).forward, "trailer") is None
    assert field(good(head(line, "Content-Length: 3")).forward, "trailer") is None


@pytest.mark.parametrize(
    ("wire", "keep"),
    [
        (head(), True),
        (head("Connection: keep-alive"), True),
        (head("Connection: close"), False),
        (head("Connection: x, CLOSE"), False),
        (head("Connection: x", "Connection: close"), False),
        (head(line="GET / HTTP/1.0"), False),
        (head("Connection: keep-alive", line="GET / HTTP/1.0"), False),
    ],
)
def test_whether_the_connection_stays(wire: bytes, keep: bool) -> None:
    assert good(wire).keep is keep


@pytest.mark.parametrize(
    ("wire", "length", "repeatable"),
    [
        (head(), 0, True),
        (head("Content-Length: 0"), 0, True),
        (head("Content-Length: 007"), 7, False),
        (head("Content-Length:\t12 "), 12, False),
        (head("Transfer-Encoding: Chunked"), CHUNKED, False),
        (head(line="POST / HTTP/1.1"), 0, False),
        (head(line="DELETE / HTTP/1.1"), 0, True),
        (head("Content-Length: 1", line="PUT / HTTP/1.1"), 1, False),
    ],
)
def test_how_long_the_body_is_and_whether_the_request_may_be_sent_twice(
    wire: bytes, length: int, repeatable: bool
) -> None:
    request = good(wire)
    assert (request.length, request.repeatable) == (length, repeatable)
    assert field(request.forward, "transfer-encoding") == ("chunked" if length == CHUNKED else None)


@pytest.mark.parametrize(
    ("lines", "upgrade"),
    [
        (["Connection: Upgrade", "Upgrade: websocket"], "websocket"),
        (["Connection: keep-alive, upgrade", "Upgrade: WebSocket"], "WebSocket"),
        (["Upgrade: websocket"], ""),
        (["Connection: Upgrade"], ""),
        (["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"], ""),
        (["Connection: Upgrade", "Upgrade: HTTP/2.0"], ""),
        (["Connection: Upgrade", "Upgrade: TLS/1.0"], ""),
        (["Connection: Upgrade", "Upgrade: websocket, h2c"], ""),
        (["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 3"], ""),
    ],
)
def test_which_upgrades_are_asked_for(lines: list[str], upgrade: str) -> None:
    request = good(head(*lines))
    assert request.upgrade.decode() == upgrade
    assert field(request.forward, "upgrade") == (upgrade or None)
    assert field(request.forward, "connection") == ("Upgrade" if upgrade else None)


def test_old_clients_ask_for_no_upgrade_and_no_continue() -> None:
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Expect: 100-continue", "Content-Length: 3")
    request = good(head(*lines, line="POST / HTTP/1.0"))
    assert not request.upgrade and field(request.forward, "expect") is None


def test_expect_goes_on_when_there_is_a_body() -> None:
    assert field(good(head("Expect: 100-Continue", "Content-Length: 3")).forward, "expect") == "100-continue"
    assert field(good(head("Expect: 100-continue")).forward, "expect") is None


def test_the_next_request_with_the_same_fields_is_read_by_its_own_line() -> None:
    first = good(head("Cookie: a"))
    second = good(head("Cookie: a", line="DELETE /x HTTP/1.1"), first)
    assert second.fields is first.fields
    assert second.forward.startswith(b"DELETE /x HTTP/1.1\r\n") and second.path == b"/x"
    third = good(head("Cookie: a", line="POST / HTTP/1.0"), first)
    assert not third.keep and first.keep
    assert isinstance(read(head("Cookie: a", line="GET /\x00 HTTP/1.1"), first), Fault)


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET", None),
        (b"GET / HTTP/1.1\r\nHost: a", None),
        (b"GET / HTTP/1.1\r\nHost: a\r", None),
        (b"\x16\x03\x01\x02\x00", 400),
        (b"get / ", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nA\rB", 400),
        (b"A" * 40, 400),
        (b"GET /" + b"a" * LIMITS.request_line, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * LIMITS.head, 431),
    ],
)
def test_a_hopeless_start_is_not_waited_for(start: bytes, status: int | None) -> None:
    fault = incomplete(start, LIMITS)
    assert (fault.status if fault else None) == status


LENGTHS = [
    *("Content-Length: 5", "content-length:5", "Content-Length: 5 ", " Content-Length: 6", "Content-Length : 7"),
    *("Content_Length: 8", "Transfer-Encoding: chunked", "Transfer-encoding:\tchunked", "Connection: content-length"),
]


@given(st.lists(st.sampled_from(LENGTHS), max_size=4))
def test_no_mix_of_lengths_gets_through(lines: list[str]) -> None:
    request = read(head(*lines, line="POST / HTTP/1.1"))
    if isinstance(request, Request):
        lengths = [name for name in fields(request.forward) if name in ("content-length", "transfer-encoding")]
        assert len(lengths) == (1 if request.length else 0)


@given(st.binary(max_size=80), st.integers(0, 60))
def test_noise_in_a_head_is_refused_or_harmless(noise: bytes, at: int) -> None:
    wire = head("X-A: 1", "Content-Length: 0")
    request = read(wire[: min(at, len(wire) - 4)] + noise.replace(b"\r\n\r\n", b"") + wire[min(at, len(wire) - 4) :])
    if isinstance(request, Request):
        sent = request.forward
        assert sent.endswith(b"\r\n\r\n") and sent.count(b"\r\n\r\n") == 1
        assert sent.count(b"\n") == sent.count(b"\r\n") == sent.count(b"\r")
        assert fields(sent).count("host") == 1
