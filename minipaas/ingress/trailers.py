"""Which fields may stand behind a chunked body, and what is said of them before it (RFC 9110, sections 6.5 and 6.6.2).

What always holds: nothing that frames a message, routes it, says who sends it or how it is to be read goes on as a
trailer. A reader that takes trailers for header fields would believe it, after everybody had looked at the head.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = frozenset(
    # framing and the connection
    b"connection content-length keep-alive te trailer transfer-encoding upgrade http2-settings expect "
    # routing, and what the ingress itself says
    b"host forwarded x-real-ip via max-forwards strict-transport-security "
    # who asks, and who is asked
    b"authorization authentication-info www-authenticate cookie set-cookie origin referer "
    # conditions and controls
    b"range cache-control pragma age expires date location retry-after vary warning accept "
    # how the content is to be read
    b"content-encoding content-type content-range content-disposition content-location content-security-policy".split()
)
_FORBIDDEN_STARTS = (b"x-forwarded-", b"x-minipaas", b"proxy-", b"if-", b"accept-", b"access-control-", b"sec-")


def may_pass(name: bytes, named: Set[bytes]) -> bool:
    """Whether a field of this name may be a trailer. `named`: what Connection names, in lower case; such a field is for
    the next one on the way alone, wherever it stands (RFC 9110, section 7.6.1)."""
    name = name.lower()
    # CGI and WSGI take `_` for `-`.
    twin = name.replace(b"_", b"-")
    return not (twin in _FORBIDDEN or name in named or twin.startswith(_FORBIDDEN_STARTS))


def announced(values: Iterable[bytes], named: Set[bytes]) -> bytes:
    """The `Trailer` line that goes on: of the names in these values those that may pass; b"" when there is none."""
    names = [name.strip(b"\t ") for value in values for name in value.split(b",")]
    passed = [name for name in names if _TOKEN.fullmatch(name) and may_pass(name, named)]
    return b"Trailer: %b\r\n" % b", ".join(passed) if passed else b""


def accepts(value: bytes) -> bool:
    """Whether a value of `TE` says that trailers are welcome (RFC 9110, section 10.1.4)."""
    return any(part.strip(b"\t ").lower() == b"trailers" for part in value.split(b","))
