"""What the proxy says itself when no instance can: a table of faults, as plain pages for people.

Every such answer carries `X-Minipaas: <code>`, so that nobody takes it for the app's. Nothing of the request, the
instances or this box is shown.
"""

from __future__ import annotations

import json
import re
from email.utils import formatdate

from msgspec import Struct


class Fault(Struct, frozen=True):
    """One kind of failure. `words` are shown to people; `why` completes "GET /x: 502: " for operators."""

    status: int
    code: str
    title: str
    words: str
    why: str
    fatal: bool = True
    """The connection ends after it: where the next request would begin is not certain."""


BAD_HEAD = Fault(400, "request.malformed", "Bad request", "The request is not valid HTTP.", "malformed request")
BAD_LENGTH = Fault(
    400, "request.length", "Bad request", "The request does not say clearly how long its body is.", "unclear length"
)
BAD_HOST = Fault(400, "request.host", "Bad request", "The request does not name one valid host.", "no valid host")
BAD_BODY = Fault(400, "request.body", "Bad request", "The request's body is not valid chunked data.", "malformed body")
NO_TUNNEL = Fault(405, "request.connect", "Not a proxy for you", "CONNECT is not offered here.", "CONNECT refused")
NO_EXPECTATION = Fault(
    417, "request.expect", "Cannot meet that expectation", "Only 100-continue can be expected.", "unknown expectation"
)
NEEDS_TLS = Fault(
    400, "request.plain", "This port speaks HTTPS", "Please ask again with https:// before the address.", "plain HTTP"
)
MOVED = Fault(
    308, "route.tls", "Only with HTTPS", "This address answers with https:// before it.", "it is sent to https", False
)
SLOW_HEAD = Fault(408, "request.slow", "Too slow", "The request took too long to arrive.", "slow request")
SLOW_BODY = Fault(408, "request.slow_body", "Too slow", "The request's body took too long to arrive.", "slow body")
LARGE_BODY = Fault(
    413,
    "route.body",
    "Too large",
    "What was sent is larger than this app takes.",
    "the body is larger than the route allows",
)
TOO_MANY = Fault(
    429,
    "route.client",
    "Too many at once",
    "Too many requests from your address are under way. Please wait for some of them.",
    "the client has as many requests under way as the route allows",
    False,
)
LONG_TARGET = Fault(414, "request.target", "Address too long", "The address of the request is too long.", "long target")
LARGE_HEAD = Fault(
    431, "request.head", "Headers too large", "The request's headers are too large. Deleting cookies may help.", "head"
)
LONG_TRAILERS = Fault(
    431,
    "request.trailers",
    "Trailers too large",
    "What follows the request's body is too large.",
    "the trailers are too large or too many",
)
NO_VERSION = Fault(505, "request.version", "HTTP version", "Only HTTP/1.0 and HTTP/1.1 are spoken here.", "version")
UNKNOWN_ROUTE = Fault(
    404, "route.unknown", "Nothing here", "No app on this box answers this address.", "no app has this route", False
)
NO_BACKEND = Fault(
    503,
    "route.no_backend",
    "Not available just now",
    "The app behind this address is starting or stopped. Please try again in a moment.",
    "no instance is ready",
    False,
)
BUSY = Fault(
    503,
    "route.busy",
    "Too busy",
    "The app has its hands full. Please try again in a moment.",
    "every instance is busy, and the queue is full or took too long",
    False,
)
FULL = Fault(503, "ingress.full", "Too busy", "Too many connections are open. Please try again in a moment.", "full")
REFUSED = Fault(
    502,
    "backend.refused",
    "No answer from the app",
    "The app could not be reached.",
    "the instance refuses connections",
)
RESET = Fault(
    502,
    "backend.reset",
    "No answer from the app",
    "The app broke off before it answered.",
    "the instance closed the connection without an answer",
)
BAD_ANSWER = Fault(
    502,
    "backend.answer",
    "No valid answer from the app",
    "The app's answer was not valid HTTP.",
    "the instance's answer is not valid HTTP",
)
NO_CONNECT = Fault(
    504,
    "backend.connect",
    "No answer from the app",
    "The app did not accept the connection in time.",
    "connecting to the instance took too long",
)
NO_ANSWER = Fault(
    504,
    "backend.slow",
    "No answer from the app",
    "The app did not answer in time.",
    "the instance did not answer in time",
)

FAULTS: dict[str, Fault] = {
    fault.code: fault
    for fault in (
        *(BAD_HEAD, BAD_LENGTH, BAD_HOST, BAD_BODY, NO_TUNNEL, NO_EXPECTATION, SLOW_HEAD, SLOW_BODY, LONG_TARGET),
        *(LARGE_HEAD, NO_VERSION, UNKNOWN_ROUTE, NO_BACKEND, FULL, REFUSED, RESET, BAD_ANSWER, NO_CONNECT, NO_ANSWER),
        *(NEEDS_TLS, MOVED, LARGE_BODY, LONG_TRAILERS, TOO_MANY, BUSY),
    )
}
"""By code, as the `X-Minipaas` field gives it."""

_REASONS = {
    308: "Permanent Redirect",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
_ACCEPT = re.compile(rb"\r\naccept:([^\r]*)", re.IGNORECASE)
_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{status} {title}</title>
<style>
body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem;color-scheme:light dark}}
small{{opacity:.6}}</style></head>
<body><h1>{title}</h1><p>{words}</p><p><small>{status} {code}</small></p></body></html>
"""


def render(fault: Fault, *, fields: bytes = b"", close: bool, head_only: bool = False, location: bytes = b"") -> bytes:
    """A whole answer. `fields` is the request's head as far as it is known: it decides between HTML, JSON and text."""
    match = _ACCEPT.search(b"\r\n" + fields)
    accept = match[1].lower() if match else b""
    if b"text/html" in accept:
        kind = "text/html"
        body = _HTML.format(status=fault.status, title=fault.title, words=fault.words, code=fault.code)
    elif b"json" in accept:
        kind = "application/json"
        body = json.dumps({"error": {"kind": "http", "code": fault.code, "message": fault.words, "hint": ""}}) + "\n"
    else:
        kind = "text/plain"
        body = f"{fault.status} {fault.title}\n{fault.words}\n"
    content = body.encode()
    lines = [
        f"HTTP/1.1 {fault.status} {_REASONS[fault.status]}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {kind}; charset=utf-8",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        f"X-Minipaas: {fault.code}",
    ]
    if location:
        lines.append(f"Location: {location.decode('latin-1')}")
    if fault.status in (429, 503):
        lines.append("Retry-After: 2")
    if fault.status == 405:
        lines.append("Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
    if close:
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + (b"" if head_only else content)


def proof(answer: bytes, *, close: bool, head_only: bool) -> bytes:
    """The answer to a challenge (RFC 8555, section 8.3)."""
    lines = [
        "HTTP/1.1 200 OK",
        f"Date: {formatdate(usegmt=True)}",
        "Content-Type: application/octet-stream",
        f"Content-Length: {len(answer)}",
        "Cache-Control: no-store",
    ]
    if close:
        lines.append("Connection: close")
    return "\r\n".join((*lines, "", "")).encode() + (b"" if head_only else answer)
