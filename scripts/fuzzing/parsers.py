"""The parsers by themselves, against the plain reading of the same bytes."""

from __future__ import annotations

import re
from random import Random

from fuzzing import material, reference
from fuzzing.conversation import Finding
from fuzzing.reference import Doubt
from fuzzing.world import LIMITS
from minipaas.ingress import answer as answers
from minipaas.ingress.chunked import ChunkedBody
from minipaas.ingress.origin import NOBODY
from minipaas.ingress.pages import Fault
from minipaas.ingress.request import CHUNKED, NOTHING, Request, incomplete, parse

_ORIGIN = NOBODY.origin("192.0.2.1", False)
_OURS = re.compile(
    rb"(?i)(?:^|\n)(x-forwarded-[a-z]+|forwarded|host|content-length|transfer-encoding|connection|upgrade):"
)


def head(seed: int) -> None:
    """A request's head: refused, or one that two readers read alike; what goes on is one, too."""
    random = Random(seed)
    wire = material.spoil(random, material.request(random).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    for end in (len(wire), random.randint(0, len(wire))):
        incomplete(wire[:end], LIMITS)
    end = wire.find(b"\r\n\r\n") + 4
    if end < 4:
        return
    request = parse(wire[:end], NOTHING, _ORIGIN, LIMITS)
    again = parse(wire[:end], request if isinstance(request, Request) else NOTHING, _ORIGIN, LIMITS)
    if isinstance(request, Fault) or isinstance(again, Fault):
        if request != again:
            raise Finding("refused once, and once not")
        return
    if request.forward != again.forward:
        raise Finding("the same head goes on in two ways")
    try:
        meant, _ = reference.request(wire[:end], 0)
        passed, _ = reference.request(request.forward, 0)
    except Doubt as doubt:
        raise Finding(f"taken, though it is not clear: {doubt}") from None
    for one in (meant, passed):
        chunked = b"transfer-encoding" in one.fields
        length = CHUNKED if chunked else int(one.fields.get(b"content-length", [b"0"])[0])
        if length != request.length:
            raise Finding(f"a length of {request.length} instead of {length}")
    names = [name.lower() for name in _OURS.findall(request.forward)]
    if len(names) != len(set(names)) or b"host" not in names:
        raise Finding(f"not one of each: {names}")
    cookies = b";".join(passed.fields.get(b"cookie", [])).split(b";")
    if any(one.strip().startswith(b"minipaas_session=") for one in cookies):
        raise Finding("the session of the status page goes on to an app")


def answer(seed: int) -> None:
    """An answer's head: not taken, or one whose end is certain."""
    random = Random(seed)
    method = random.choice((b"GET", b"HEAD"))
    wire = material.spoil(random, material.answer(random, b"id=000000000000;", method, random.random() < 0.1))
    end = wire.find(b"\r\n\r\n") + 4
    if end < 4:
        return
    found = answers.parse(wire[:end], LIMITS.fields)
    if found is None:
        return
    if found.upgrade and found.status == 101:
        found.switching()
    for old in (False, True):
        head = found.closing(old)
        body = b"" if found.bodyless or found.length == answers.CHUNKED else b"x" * min(max(found.length, 0), 100_000)
        try:
            reference.answers(head + body, [method], True)
        except Doubt as doubt:
            raise Finding(f"taken, though it is not clear: {doubt}") from None


def chunks(seed: int) -> None:
    """A chunked body in pieces: what comes out is a beginning of what is meant, and all of it at the end."""
    random = Random(seed)
    body = material.chunks(random, material.content_of(random)) + random.choice((b"", b"GET / HTTP/1.1\r\n\r\n"))
    wire = body if random.random() < 0.2 else material.spoil(random, body)
    try:
        meant, end, whole, trailers = reference.chunked(wire, 0)
    except Doubt:
        meant, end, whole, trailers = None, 0, False, ()
    most = random.choice((None, None, 10, 1000))
    for decode in (False, True):
        reader = ChunkedBody(decode) if most is None else ChunkedBody(decode, most=most)
        out = b""
        for piece in material.pieces(random, wire):
            if reader.done:
                reader.rest += piece
            else:
                out += reader.feed(piece)
        if reader.done:
            content = out if decode else _content(out, trailers)
            if not whole or content != meant or reader.rest != wire[end:]:
                raise Finding(f"another body than the one that is meant: {wire[:200]!r}")
        elif not decode:
            # What went on so far is a beginning of a body, and never looks like a whole one.
            if not wire.startswith(out) and not _begins(out):
                raise Finding("something went on that was not there")
            if _complete(out):
                raise Finding("a body that is not complete went on as if it were")


def _content(out: bytes, meant: tuple[bytes, ...]) -> bytes:
    try:
        content, end, whole, trailers = reference.chunked(out, 0)
    except Doubt as doubt:
        raise Finding(f"what went on is not clear: {doubt}") from None
    if not whole or end != len(out):
        raise Finding("what went on is not one whole body")
    rest = iter(meant)
    if reference.unfit(trailers) or not all(line in rest for line in trailers):
        raise Finding(f"other trailers than those that may go on: {trailers}")
    return content


def _begins(out: bytes) -> bool:
    try:
        reference.chunked(out, 0)
    except Doubt:
        return False
    return True


def _complete(out: bytes) -> bool:
    try:
        return reference.chunked(out, 0)[2]
    except Doubt:
        return False
