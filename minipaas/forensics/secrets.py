"""What of an environment may be shown: values that look like secrets are not kept at all."""

from __future__ import annotations

import re
from collections.abc import Mapping

from minipaas.forensics import limits

HIDDEN = "(not kept: it may be a secret)"
_NAMES = re.compile(r"pass|secret|token|key|credential|auth|cookie|session|salt|private|cert|dsn", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
"""Of a URL (RFC 3986, section 3.2.1)."""


def shown(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables in the order of their names, without secrets."""
    names = sorted(environment)[: limits.VARIABLES]
    return {name: HIDDEN if _NAMES.search(name) else _USERINFO.sub("…@", environment[name]) for name in names}
