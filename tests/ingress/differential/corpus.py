"""Odd requests: each oddity alone, then several together as hypothesis mixes them (with a fixed seed).

Every case is whole bytes for one connection, and ends in a canary: a plain request that asks for the end of the
connection. Where it arrives as a request, and where it is a part of a body, tells how a proxy has framed what came
before. The tags of a case name its oddities; a difference is explained by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

CANARY = b"GET /canary HTTP/1.1\r\nHost: shop.local\r\nConnection: close\r\n\r\n"
LINE = b"GET /x HTTP/1.1"
HOST = b"Host: shop.local"
POST = b"POST /x HTTP/1.1"
CODED = b"Transfer-Encoding: chunked"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


class Case(NamedTuple):
    """`wire` without the canary."""

    name: str
    tags: frozenset[str]
    wire: bytes


LINES: dict[str, list[bytes]] = {
    "method: lower case": [b"get /x HTTP/1.1", b"Get /x HTTP/1.1"],
    "method: unknown": [b"BREW /x HTTP/1.1", b"A /x HTTP/1.1", b"M-SEARCH /x HTTP/1.1", b"PROPFIND /x HTTP/1.1"],
    "method: odd token": [b"G_T /x HTTP/1.1", b"GET1 /x HTTP/1.1", b"G'T /x HTTP/1.1", b"A" * 40 + b" /x HTTP/1.1"],
    "method: no token": [b"G:T /x HTTP/1.1", b"G(T /x HTTP/1.1", b'"GET /x HTTP/1.1', b"G\x00T /x HTTP/1.1"],
    "method: none": [b" /x HTTP/1.1", b"/x HTTP/1.1"],
    "method: usual": [b"HEAD /x HTTP/1.1", b"DELETE /x HTTP/1.1", b"OPTIONS /x HTTP/1.1", b"TRACE /x HTTP/1.1"],
    "line: white space": [
        b"GET  /x HTTP/1.1",
        b"GET /x  HTTP/1.1",
        b"GET\t/x HTTP/1.1",
        b"GET /x\tHTTP/1.1",
        b" GET /x HTTP/1.1",
        b"GET /x HTTP/1.1 ",
        b"GET /x HTTP/1.1\t",
        b"GET\x0b/x HTTP/1.1",
        b"GET /x HTTP/1.1 x",
        b"GET /x y HTTP/1.1",
    ],
    "version: other": [
        b"GET /x HTTP/1.2",
        b"GET /x HTTP/1.9",
        b"GET /x HTTP/2.0",
        b"GET /x HTTP/0.9",
        b"GET /x HTTP/3",
    ],
    "version: odd": [
        b"GET /x http/1.1",
        b"GET /x HTTP/1.10",
        b"GET /x HTTP/1",
        b"GET /x HTTP/01.1",
        b"GET /x HTTP/1.01",
        b"GET /x HTTPS/1.1",
        b"GET /x HTTP/1,1",
        b"GET /x HTTP/+1.1",
        b"GET /x HTTP",
    ],
    "version: none": [b"GET /x", b"GET /x "],
    "version: 1.0": [b"GET /x HTTP/1.0"],
    "target: no slash": [b"GET x HTTP/1.1", b"GET ?q HTTP/1.1", b"GET shop.local:80 HTTP/1.1", b"GET ../x HTTP/1.1"],
    "target: asterisk": [b"GET * HTTP/1.1", b"OPTIONS *x HTTP/1.1"],
    "target: OPTIONS *": [b"OPTIONS * HTTP/1.1"],
    "target: absolute": [
        b"GET http://shop.local/x HTTP/1.1",
        b"GET HTTP://shop.local/x HTTP/1.1",
        b"GET https://shop.local/x?y HTTP/1.1",
        b"GET http://shop.local:80/x HTTP/1.1",
    ],
    "target: absolute, without a path": [b"GET http://shop.local HTTP/1.1", b"GET http://shop.local?y HTTP/1.1"],
    "target: another authority": [b"GET http://other.local/x HTTP/1.1"],
    "target: odd authority": [
        b"GET http://user@shop.local/x HTTP/1.1",
        b"GET http:///x HTTP/1.1",
        b"GET http://a,b/x HTTP/1.1",
        b"GET http://shop.local:abc/x HTTP/1.1",
        b"GET http:/x HTTP/1.1",
        b"GET http://[::1/x HTTP/1.1",
    ],
    "target: other scheme": [b"GET ftp://shop.local/x HTTP/1.1", b"GET x://shop.local/x HTTP/1.1"],
    "target: above the root": [b"GET /../x HTTP/1.1", b"GET /a/../../x HTTP/1.1", b"GET /%2e%2e/x HTTP/1.1"],
    "target: dots and slashes": [
        b"GET //x HTTP/1.1",
        b"GET /a/../x HTTP/1.1",
        b"GET /./x HTTP/1.1",
        b"GET /a//b HTTP/1.1",
    ],
    "target: bad escape": [b"GET /%00 HTTP/1.1", b"GET /%zz HTTP/1.1", b"GET /% HTTP/1.1", b"GET /%2 HTTP/1.1"],
    "target: fragment": [b"GET /x#y HTTP/1.1", b"GET /#HTTP/1.1 HTTP/1.1"],
    "target: unusual but printable": [
        b"GET /\\x HTTP/1.1",
        b"GET /a|b{c}^`d HTTP/1.1",
        b'GET /"<> HTTP/1.1',
        b"GET /? HTTP/1.1",
    ],
    "target: beyond ASCII": [b"GET /caf\xe9 HTTP/1.1", b"GET /\xc3\xa9 HTTP/1.1", b"GET /\xff\xfe HTTP/1.1"],
    "target: control character": [
        b"GET /\x01 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /a\x00b HTTP/1.1",
        b"GET /\x1b[m HTTP/1.1",
    ],
    "target: long": [b"GET /" + b"a" * 7000 + b" HTTP/1.1"],
    "target: too long": [b"GET /" + b"a" * 9000 + b" HTTP/1.1"],
    "CONNECT": [b"CONNECT shop.local:443 HTTP/1.1", b"CONNECT / HTTP/1.1", b"CONNECT http://shop.local/ HTTP/1.1"],
}
HOSTS: dict[str, list[list[bytes]]] = {
    "host: none": [[]],
    "host: twice": [[HOST, HOST], [HOST, b"Host: other.local"], [HOST, b"host: other.local"]],
    "host: empty": [[b"Host:"], [b"Host:  "]],
    "host: not a host": [
        [b"Host: a b"],
        [b"Host: a/b"],
        [b"Host: a@b"],
        [b"Host: a,b"],
        [b"Host: a?b"],
        [b"Host: a#b"],
        [b"Host: a\\b"],
        [b"Host: a%00b"],
        [b"Host: a\tb"],
        [b"Host: caf\xe9"],
        [b"Host: [::1"],
        [b"Host: ::1"],
        [b"Host: http://shop.local"],
        [b"Host: " + b"a" * 300],
        [b"Host: ("],
        [b"Host: a\x00b"],
    ],
    "host: odd port": [
        [b"Host: shop.local:"],
        [b"Host: shop.local:99999"],
        [b"Host: shop.local:8a"],
        [b"Host: a:b:80"],
        [b"Host: :80"],
    ],
    "host: unusual": [
        [b"Host: SHOP.local:80"],
        [b"Host: shop.local."],
        [b"Host: a_b.local"],
        [b"Host: [::1]:80"],
        [b"Host: 127.0.0.1"],
        [b"Host:\tshop.local\t "],
        [b"HOST:shop.local"],
        [b"Host: -"],
    ],
}
FIELDS: dict[str, list[list[bytes]]] = {
    "name: space before the colon": [
        [b"X-A : 1"],
        [b"X-A\t: 1"],
        [b"Content-Length : 5"],
        [b"Transfer-Encoding : chunked"],
    ],
    "name: none": [[b": 1"], [b":"]],
    "name: no colon": [[b"nonsense"], [b"Content-Length 5"]],
    "name: no token": [
        [b"X(A: 1"],
        [b"X A: 1"],
        [b"X\x00A: 1"],
        [b"X\x01A: 1"],
        [b"X\x7fA: 1"],
        [b"X\xe9A: 1"],
        [b'"X": 1'],
        [b"X@: 1"],
        [b"X/A: 1"],
    ],
    "name: unusual token": [[b"X.A: 1"], [b"X!#$%&'*+^`|~A: 1"], [b"1: 1"], [b"-: 1"]],
    "name: underscore": [[b"X_A: 1"], [b"Content_Length: 5"], [b"Transfer_Encoding: chunked"]],
    "value: control character": [[b"X-A: a\x01b"], [b"X-A: a\x7fb"], [b"X-A: a\x0bb"], [b"X-A: a\x1bb"]],
    "value: NUL": [[b"X-A: a\x00b"], [b"X-A: \x00"]],
    "value: bare CR": [[b"X-A: a\rb"], [b"X-A: a\rX-B: c"], [b"X-A: \r"], [b"X-A: a\r\r"]],
    "value: bare LF": [[b"X-A: a\nX-B: b"], [b"X-A: a\nContent-Length: 5"], [b"X-A: a\n b"]],
    "value: beyond ASCII": [[b"X-A: caf\xe9"], [b"X-A: \xff\xfe\x80"]],
    "value: unusual": [
        [b"X-A:"],
        [b"X-A:   a  b\t"],
        [b"X-A: " + b"a" * 4000],
        [b'X-A: "'],
        [b"X-A:1", b"X-A: 2"],
        [b"Cookie: a=b; c"],
    ],
    "folding": [[b"X-A: 1", b" 2"], [b"X-A: 1", b"\t2"], [b"X-A: 1", b" Content-Length: 5"], [b"X-A: 1", b" "]],
    "connection: names what frames": [
        [b"Connection: host"],
        [b"Connection: content-length"],
        [b"Connection: transfer-encoding, close"],
    ],
    "connection: unusual": [
        [b"Connection: keep-alive"],
        [b"Connection: x, y"],
        [b"Connection:"],
        [b"Connection: ,"],
        [b"Keep-Alive: 5"],
        [b"Proxy-Connection: close"],
    ],
    "connection: close": [[b"Connection: close"], [b"Connection: Keep-Alive, Close"]],
    "expect: unknown": [[b"Expect: 200-ok"], [b"Expect: 100-continue, x"], [b"Expect:"]],
    "expect: without a body": [[b"Expect: 100-continue"], [b"expect: 100-Continue"]],
    "upgrade: to nothing": [
        [b"Upgrade: websocket"],
        [b"Connection: upgrade"],
        [b"Connection: upgrade", b"Upgrade: x y"],
    ],
    "upgrade: h2c": [[b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"]],
    "upgrade: websocket": [
        [
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version: 13",
        ]
    ],
    "fields: many": [[b"X-%d: 1" % number for number in range(90)]],
    "fields: too many": [[b"X-%d: 1" % number for number in range(150)]],
    "fields: large": [[b"X-A: " + b"a" * 7500]],
    "fields: too large": [[b"X-%d: %b" % (number, b"a" * 7000) for number in range(6)]],
    "hop by hop": [
        [b"TE: trailers"],
        [b"Trailer: X-A"],
        [b"Proxy-Authorization: Basic eDp5"],
        [b"X-Forwarded-For: 6.6.6.6"],
    ],
}
"""Tag -> lines for a GET that is otherwise plain."""
LENGTHS: dict[str, list[tuple[list[bytes], bytes]]] = {
    "length: plain": [
        ([b"Content-Length: 5"], b"hello"),
        ([b"Content-Length: 0"], b""),
        ([b"content-length:5 "], b"hello"),
    ],
    "length: zeros in front": [([b"Content-Length: 005"], b"hello"), ([b"Content-Length: 00"], b"")],
    "length: twice, the same": [
        ([b"Content-Length: 5", b"Content-Length: 5"], b"hello"),
        ([b"Content-Length: 5, 5"], b"hello"),
    ],
    "length: twice, another": [
        ([b"Content-Length: 5", b"Content-Length: 6"], b"hello"),
        ([b"Content-Length: 5, 6"], b"hello"),
        ([b"Content-Length: 6", b"Content-Length: 5"], b"hello"),
    ],
    "length: not a number": [
        ([b"Content-Length: " + value], b"hello")
        for value in (
            b"+5",
            b"-5",
            b"0x5",
            b"5.0",
            b"5 5",
            b"five",
            b"",
            b"5,",
            b",5",
            b"1_0",
            b"5;",
            b'"5"',
            b"5\x0b",
            b"\xb2",
        )
    ],
    "length: huge": [
        ([b"Content-Length: " + value], b"hello") for value in (b"18446744073709551621", b"9" * 40, b"4294967301")
    ],
    "length: more than comes": [([b"Content-Length: 1000"], b"hello")],
    "length: less than comes": [
        ([b"Content-Length: 2"], b"hello"),
        ([b"Content-Length: 0"], b"GET /y HTTP/1.1\r\nHost: a\r\n\r\n"),
    ],
    "length: and coding": [
        ([b"Content-Length: 5", CODED], CHUNKS),
        ([CODED, b"Content-Length: 5"], CHUNKS),
        ([b"Content-Length: 15", CODED], CHUNKS),
        ([b"Content-Length: 0", CODED], CHUNKS),
        ([b"Content-Length: x", CODED], CHUNKS),
    ],
    "coding: other": [
        ([b"Transfer-Encoding: " + value], CHUNKS)
        for value in (b"identity", b"gzip", b"gzip, chunked", b"xchunked", b"chunked, gzip", b"", b"chunked; x=1")
    ],
    "coding: obscured": [
        ([b"Transfer-Encoding: " + value], CHUNKS)
        for value in (
            b'"chunked"',
            b"\x0bchunked",
            b"chunked,",
            b",chunked",
            b"chunked\x00",
            b"chun ked",
            b"chunked\x0b",
            b"\xa0chunked",
        )
    ],
    "coding: twice": [
        ([CODED, CODED], CHUNKS),
        ([b"Transfer-Encoding: chunked, chunked"], CHUNKS),
        ([b"Transfer-Encoding: identity", CODED], CHUNKS),
        ([CODED, b"Transfer-Encoding: identity"], CHUNKS),
    ],
    "coding: spelt otherwise": [([b"transfer-encoding: CHUNKED"], CHUNKS), ([b"Transfer-Encoding:chunked\t"], CHUNKS)],
    "expect: with a body": [([b"Expect: 100-continue", b"Content-Length: 5"], b"hello")],
    "body: not said": [([], b"hello")],
}
"""Tag -> lines and body of a POST."""
BODIES: dict[str, list[bytes]] = {
    "chunks: plain": [
        CHUNKS,
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"0\r\n\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b"a\r\n0123456789\r\n00\r\n\r\n",
    ],
    "chunks: extension": [
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
        b'5;a="b c"\r\nhello\r\n0;x\r\n\r\n',
        b"5;\r\nhello\r\n0\r\n\r\n",
    ],
    "chunks: space around the size": [
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\t\r\nhello\r\n0\r\n\r\n",
        b"5 ;a\r\nhello\r\n0\r\n\r\n",
    ],
    "chunks: zeros in front": [
        b"0005\r\nhello\r\n0\r\n\r\n",
        b"0" * 14 + b"5\r\nhello\r\n0\r\n\r\n",
        b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n",
    ],
    "chunks: odd size": [
        size + b"\r\nhello\r\n0\r\n\r\n"
        for size in (b"+5", b"-5", b"0x5", b"5.", b"g", b"", b"5_0", b"\xb2", b"5h", b"5,")
    ],
    "chunks: huge size": [
        b"8000000000000005\r\nhello\r\n0\r\n\r\n",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    ],
    "chunks: bare LF": [
        b"5\nhello\n0\n\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    ],
    "chunks: bare CR": [b"5\rhello\r\n0\r\n\r\n", b"5\r\r\nhello\r\n0\r\n\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n"],
    "chunks: wrong end": [
        b"5\r\nhelloX0\r\n\r\n",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\r\n0\r\n\r\n",
        b"5\r\nhello\r\nX\r\n0\r\n\r\n",
    ],
    "chunks: control character in an extension": [b"5;a\x00b\r\nhello\r\n0\r\n\r\n", b"5;\x01\r\nhello\r\n0\r\n\r\n"],
    "chunks: long extension": [b"5;" + b"a" * 3000 + b"\r\nhello\r\n0\r\n\r\n"],
    "trailer: plain": [b"5\r\nhello\r\n0\r\nX-A: 1\r\n\r\n", b"0\r\nX-A: 1\r\nX-B: 2\r\n\r\n"],
    "trailer: frames": [
        b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\nHost: b\r\n\r\n",
    ],
    "trailer: for a head": [
        b"5\r\nhello\r\n0\r\nCookie: a=b\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n",
        b"0\r\nAuthorization: Basic eDp5\r\nContent-Type: text/html\r\n\r\n",
    ],
    "trailer: many": [b"0\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(100)) + b"\r\n"],
    "trailer: malformed": [
        b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX : 1\r\n\r\n",
        b"5\r\nhello\r\n0\r\n X: 1\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: a\x00b\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: 1\nY: 2\r\n\r\n",
    ],
    "trailer: large": [
        b"0\r\n" + b"X-A: " + b"a" * 900 + b"\r\n\r\n",
        b"0\r\n" + (b"X-A: " + b"a" * 900 + b"\r\n") * 12 + b"\r\n",
    ],
    "chunks: no end": [b"5\r\nhello\r\n", b"5\r\nhel", b"5\r\nhello\r\n0\r\n"],
}
"""Tag -> bodies of a POST in the chunked coding."""
BEHIND: dict[str, list[bytes]] = {
    "trailer: for a head": [
        b"5\r\nhello\r\n0\r\nCookie: a=b\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n",
        b"0\r\nAuthorization: Basic eDp5\r\nContent-Type: text/html\r\n\r\n",
    ],
    "trailer: many": [b"0\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(100)) + b"\r\n"],
}
"""The same, for themselves alone."""
WHOLE: dict[str, list[bytes]] = {
    "ends of lines: LF alone": [
        b"GET /x HTTP/1.1\nHost: shop.local\n\n",
        b"GET /x HTTP/1.1\r\nHost: shop.local\n\r\n",
        b"GET /x HTTP/1.1\nHost: shop.local\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: shop.local\r\n\n",
    ],
    "ends of lines: CR": [
        b"GET /x HTTP/1.1\r\r\nHost: shop.local\r\n\r\n",
        b"GET /x HTTP/1.1\rHost: shop.local\r\r",
        b"GET /x HTTP/1.1\r\nHost: shop.local\r\n\r\r\n",
    ],
    "empty line first": [b"\r\nGET /x HTTP/1.1\r\nHost: shop.local\r\n\r\n"],
    "empty line first, LF alone": [b"\nGET /x HTTP/1.1\r\nHost: shop.local\r\n\r\n"],
    "empty lines first": [
        b"\r\n\r\nGET /x HTTP/1.1\r\nHost: shop.local\r\n\r\n",
        b"\r\n" * 20 + b"GET /x HTTP/1.1\r\nHost: shop.local\r\n\r\n",
    ],
    "first field folded": [
        b"GET /x HTTP/1.1\r\n X-A: 1\r\nHost: shop.local\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\tHost: shop.local\r\n\r\n",
    ],
    "other protocols": [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"EHLO a\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    "pipelined": [
        (LINE + b"\r\n" + HOST + b"\r\n\r\n") * 3,
        POST + b"\r\n" + HOST + b"\r\nContent-Length: 5\r\n\r\nhello" + LINE + b"\r\n" + HOST + b"\r\n\r\n",
        POST
        + b"\r\n"
        + HOST
        + b"\r\n"
        + CODED
        + b"\r\n\r\n"
        + CHUNKS
        + POST
        + b"\r\n"
        + HOST
        + b"\r\n"
        + CODED
        + b"\r\n\r\n"
        + CHUNKS,
    ],
    "pipelined, the second is bad": [
        LINE + b"\r\n" + HOST + b"\r\n\r\n" + LINE + b"\r\n" + HOST + b"\r\n" + HOST + b"\r\n\r\n",
        LINE + b"\r\n" + HOST + b"\r\n\r\nnonsense\r\n\r\n",
    ],
    "length: more than comes": [POST + b"\r\nHost: [::1\r\nContent-Length: 1000\r\n\r\nhello"],
    "length: with GET": [
        LINE + b"\r\n" + HOST + b"\r\nContent-Length: 5\r\n\r\nhello",
        LINE + b"\r\n" + HOST + b"\r\n" + CODED + b"\r\n\r\n" + CHUNKS,
        b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\nContent-Length: 5\r\n\r\nhello",
        b"DELETE /x HTTP/1.1\r\n" + HOST + b"\r\n" + CODED + b"\r\n\r\n" + CHUNKS,
    ],
    "version: 1.0, with coding": [b"POST /x HTTP/1.0\r\n" + HOST + b"\r\n" + CODED + b"\r\n\r\n" + CHUNKS],
    "version: 1.0, with length": [b"POST /x HTTP/1.0\r\n" + HOST + b"\r\nContent-Length: 5\r\n\r\nhello"],
    "version: 1.0, without host": [b"GET /x HTTP/1.0\r\n\r\n", b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"],
    "head: no end": [b"GET /x HTTP/1.1\r\n", b"GET /x HTTP/1.1\r\nHost: shop.local\r\nX-A: "],
}


def _get(line: bytes, fields: list[bytes]) -> bytes:
    return b"\r\n".join([line, *fields, b"", b""])


def _alone() -> Iterator[tuple[str, bytes]]:
    for tag, lines in LINES.items():
        yield from ((tag, _get(line, [HOST])) for line in lines)
    for tag, hosts in HOSTS.items():
        yield from ((tag, _get(LINE, fields)) for fields in hosts)
    for tag, blocks in FIELDS.items():
        yield from ((tag, _get(LINE, [HOST, *fields])) for fields in blocks)
    for tag, bodies in LENGTHS.items():
        yield from ((tag, _get(POST, [HOST, *fields]) + body) for fields, body in bodies)
    for tag, coded in (BODIES | BEHIND).items():
        yield from ((tag, _get(POST, [HOST, CODED]) + body) for body in coded)
    for tag, wires in WHOLE.items():
        yield from ((tag, wire) for wire in wires)


def handmade() -> list[Case]:
    """Each oddity alone."""
    counts: dict[str, int] = {}
    found = []
    for tag, wire in _alone():
        counts[tag] = counts.get(tag, 0) + 1
        found.append(Case(f"{tag} ({counts[tag]})", frozenset((tag,)), wire))
    return found


@st.composite
def _mixed(draw: st.DrawFn) -> tuple[frozenset[str], bytes]:
    tags: set[str] = set()

    def pick(table: dict[str, list], odds: int, default: object) -> object:
        if draw(st.integers(1, odds)) > 1:
            return default
        tag = draw(st.sampled_from(sorted(table)))
        tags.add(tag)
        return draw(st.sampled_from(table[tag]))

    wire = b""
    for _ in range(draw(st.integers(1, 2))):
        hosts = pick(HOSTS, 4, [HOST])
        more = pick(FIELDS, 2, [])
        kind = draw(st.integers(0, 2))
        if kind == 0:
            lines, body = [hosts, more], b""
            first = pick(LINES, 2, LINE)
        elif kind == 1:
            fields, body = pick(LENGTHS, 1, ([], b""))
            first, lines = POST, [hosts, more, fields]
        else:
            body = pick(BODIES, 1, CHUNKS)
            first, lines = POST, [hosts, more, [CODED]]
        block = [line for group in draw(st.permutations(lines)) for line in group]
        wire += _get(first, block) + body
    return frozenset(tags), wire


def generated(count: int) -> list[Case]:
    """`count` mixtures, the same ones each time with the same hypothesis and the same sources, from which it takes
    constants."""
    found: dict[bytes, Case] = {}

    @settings(
        max_examples=3 * count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(_mixed())
    def collect(mixture: tuple[frozenset[str], bytes]) -> None:
        tags, wire = mixture
        if len(found) < count and len(tags) > 1:
            found.setdefault(wire, Case(" + ".join(sorted(tags)), tags, wire))

    collect()
    return list(found.values())
