"""A second opinion on a request's head: llhttp's, in its strict mode. What two judges read in two ways is refused."""

from __future__ import annotations

import httptools

from minipaas.ingress import pages
from minipaas.ingress.pages import Fault


def opinion(line: bytes, block: bytes) -> Fault | None:
    """What it has against a request line and its fields, up to and with the empty line. Of methods it knows those that
    are registered; it is shown none but POST, since an app may have its own (RFC 9110, section 9.1)."""
    parser = httptools.HttpRequestParser(_NOBODY)
    try:
        parser.feed_data(b"POST" + line[line.index(b" ") :] + block)
    except httptools.HttpParserUpgrade:
        return None
    except httptools.HttpParserError:
        return pages.BAD_HEAD
    return None


class _Nobody:
    """llhttp tells its events to nobody: only its verdict is wanted."""


_NOBODY = _Nobody()
