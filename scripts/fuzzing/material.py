"""Requests, answers and bodies to begin with, and how to spoil them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

TOKENS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\x00",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"\x0b",
        b"\x7f",
        b"\xff",
        b"\r\n\r\n",
        b"0",
        b"-",
        b"+",
    ),
    *(
        b"chunked",
        b"0\r\n\r\n",
        b"5\r\n",
        b"\r\nContent-Length: 5",
        b"\r\nTransfer-Encoding: chunked",
        b"HTTP/1.0",
        b"HTTP/1.1",
    ),
    *(
        b"\r\nContent-Length: 0",
        b"\r\nConnection: close",
        b"\r\nExpect: 100-continue",
        b"\r\nHost: b",
        b"\r\n folded",
        b"_",
    ),
    *(
        b"\r\nConnection: Upgrade\r\nUpgrade: websocket",
        b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ),
    *(
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"ffffffffffffffff",
        b"0x5",
        b"identity",
        b"close",
        b"1" * 20,
        b"a" * 300,
        b"/" * 9000,
    ),
)
FIELDS = (
    *("Accept: */*", "Cookie: a=b; minipaas_session=x", "X-Forwarded-For: 6.6.6.6, 10.0.0.2", "Forwarded: for=6.6.6.6"),
    *(
        "Connection: keep-alive",
        "Connection: x-a, close",
        "X-A: 1",
        "TE: trailers",
        "X_A: b",
        "Trailer: X-B",
        "Accept: text/html",
    ),
    *(
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "Upgrade: h2c",
        "X-Forwarded-Proto: https",
    ),
)

TRAILERS = (
    *(b"X-T: 1\r\n", b"A:b\r\n", b"X-A: c\r\n", b"Digest: sha-256=abc=\r\n", b"Content-Length: 5\r\n", b"Host: c\r\n"),
    *(
        b"transfer_encoding: chunked\r\n",
        b"X-Forwarded-For: 1.2.3.4\r\n",
        b"Set-Cookie: a=b\r\n",
        b"X-L: " + b"z" * 900,
    ),
)


def request(random: Random) -> bytes:
    """A good one, mostly."""
    method = random.choice(("GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "BREW"))
    # Each target is its own, so that a request can be told from every other.
    target = (
        random.choice(("/", "/a?b=", "/long/" + "x" * 50, "http://a.local/y")) + f"{random.randrange(1 << 40):010x}"
    )
    lines = [
        f"{method} {target} HTTP/1.{random.choice('11111110')}",
        f"Host: {random.choice(('a.local', 'b.local:80'))}",
    ]
    lines += random.sample(FIELDS, random.randrange(4))
    body = b""
    if method in ("POST", "PUT") or random.random() < 0.1:
        content = content_of(random)
        if random.random() < 0.5:
            lines.append("Transfer-Encoding: chunked")
            body = chunks(random, content)
        else:
            lines.append(f"Content-Length: {len(content)}")
            body = content
        if random.random() < 0.2:
            lines.append("Expect: 100-continue")
    elif random.random() < 0.1:
        lines += ["Connection: Upgrade", "Upgrade: websocket"]
    return "\r\n".join((*lines, "", "")).encode() + body


def answer(random: Random, identity: bytes, method: bytes, upgrade: bool) -> bytes:
    """A good one to a request, with `identity` in its head and in its body."""
    interim = random.choice(
        (b"", b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 3)
    )
    if random.random() < 0.003:
        interim = b"HTTP/1.1 100 Continue\r\n\r\n" * 3000
    if upgrade and random.random() < 0.5:
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Id: %b\r\n\r\n%b"
            % (
                identity,
                identity,
            )
        )
    status = random.choice((b"200 OK", b"200 OK", b"404 Not Found", b"204 No Content", b"304 Not Modified", b"500 X"))
    lines = [b"HTTP/1.1 " + status, b"X-Id: " + identity]
    lines += random.sample(
        (b"Connection: close", b"Keep-Alive: timeout=5", b"Set-Cookie: a=b", b"Trailer: X"), random.randrange(3)
    )
    body = b""
    if status[:3] not in (b"204", b"304"):
        content = identity + content_of(random)
        way = random.randrange(4)
        if way == 0:
            lines.append(b"Transfer-Encoding: chunked")
            body = chunks(random, content)
        elif way == 1 and b"Connection: close" in lines:
            body = content
        else:
            lines.append(b"Content-Length: %d" % len(content))
            body = content
    return interim + b"\r\n".join((*lines, b"", b"")) + (b"" if method == b"HEAD" else body)


def content_of(random: Random) -> bytes:
    """A body, which may look like something else."""
    return (
        random.choice(
            (
                b"",
                b"hello",
                b"0\r\n\r\n",
                b"GET /inside HTTP/1.1\r\nHost: a\r\n\r\n",
                b"HTTP/1.1 200 OK\r\n\r\n",
                b"\r\n" * 9,
            )
        )
        + bytes(random.randrange(256) for _ in range(random.choice((0, 0, 1, 7, 60))))
        + b"y" * random.choice((0, 0, 0, 700, 40_000 if random.random() < 0.02 else 0))
    )


def chunks(random: Random, content: bytes) -> bytes:
    """A body in the chunked coding."""
    out = b""
    while content:
        size = random.randint(1, len(content))
        extension = random.choice((b"", b"", b"", b";a=b", b';c="d"'))
        out += random.choice((b"%x", b"%X", b"0%x")) % size + extension + b"\r\n" + content[:size] + b"\r\n"
        content = content[size:]
    return out + b"0\r\n" + b"".join(random.choice(TRAILERS) for _ in range(random.choice((0, 0, 1, 2, 5)))) + b"\r\n"


def pieces(random: Random, wire: bytes) -> list[bytes]:
    """Cut at random."""
    way = random.randrange(4)
    if way == 0 or not wire:
        return [wire] if wire else []
    if way == 1 and len(wire) < 600:
        return [wire[at : at + 1] for at in range(len(wire))]
    cuts = sorted(random.randrange(len(wire)) for _ in range(random.randint(1, 6)))
    return [piece for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True) if (piece := wire[start:end])]


def _place(random: Random, wire: bytes) -> int:
    """Most of what matters is in heads: near a line's end, or anywhere."""
    if random.random() < 0.4:
        ends = [at for at in range(len(wire)) if wire[at] == 10][:60]
        if ends:
            return max(0, min(len(wire), random.choice(ends) + random.randint(-12, 12)))
    return random.randint(0, min(len(wire), 2000))


def _insert(random: Random, wire: bytes) -> bytes:
    at = _place(random, wire)
    return wire[:at] + random.choice(TOKENS) + wire[at:]


def _flip(random: Random, wire: bytes) -> bytes:
    at = min(_place(random, wire), len(wire) - 1)
    return wire[:at] + bytes((wire[at] ^ (1 << random.randrange(8)),)) + wire[at + 1 :]


def _byte(random: Random, wire: bytes) -> bytes:
    at = min(_place(random, wire), len(wire) - 1)
    return wire[:at] + bytes((random.randrange(256),)) + wire[at + 1 :]


def _delete(random: Random, wire: bytes) -> bytes:
    at = _place(random, wire)
    return wire[:at] + wire[at + random.choice((1, 1, 2, 5, 30)) :]


def _double(random: Random, wire: bytes) -> bytes:
    at = _place(random, wire)
    return wire[: at + random.choice((1, 2, 20, 80))] + wire[at:]


def _truncate(random: Random, wire: bytes) -> bytes:
    return wire[: _place(random, wire)]


def _digit(random: Random, wire: bytes) -> bytes:
    digits = [at for at in range(min(len(wire), 2000)) if 48 <= wire[at] < 58]
    if not digits:
        return wire
    at = random.choice(digits)
    return wire[:at] + random.choice((b"0", b"1", b"9", b"00", b"", b"f")) + wire[at + 1 :]


def _line(random: Random, wire: bytes) -> bytes:
    lines = wire[:3000].split(b"\r\n")
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines.insert(other, lines[one])
    return b"\r\n".join(lines) + wire[3000:]


_WAYS: tuple[Callable[[Random, bytes], bytes], ...] = (
    *(_insert, _insert, _insert, _flip, _byte, _delete, _double, _truncate, _digit, _digit, _line),
)


def spoil(random: Random, wire: bytes) -> bytes:
    """A few changes."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        if wire:
            wire = random.choice(_WAYS)(random, wire)
    return wire
