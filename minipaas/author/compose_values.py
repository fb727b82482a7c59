"""Single values of a Compose file as minipaas's own. Every function raises ValueError or TypeError
with the reason.

The rules are those of the Compose specification; where it leans on Docker (sizes are binary, image names without a
registry are Docker Hub's, default capabilities), so does this.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from msgspec import Struct

from minipaas.model.units import Duration

DEFAULT_CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
)
MAX_PORT_RANGE = 256

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_PORT = re.compile(r"(?:(\[[0-9a-f:.]+\]|\d+(?:\.\d+){3}):)?(?:(\d+(?:-\d+)?)?:)?(\d+(?:-\d+)?)(?:/([a-z]+))?", re.I)


class Port(Struct, frozen=True, kw_only=True):
    """One port of a service; `host` is None where Docker would pick one."""

    address: str
    host: int | None
    container: int
    protocol: str

    @property
    def published(self) -> str:
        """As `app.toml` writes it."""
        address = f"{self.address}:" if self.address else ""
        return f"{address}{self.host}:{self.container}" + ("/udp" if self.protocol == "udp" else "")


class Mount(Struct, frozen=True, kw_only=True):
    """One entry of `volumes`."""

    kind: str
    """volume, bind, tmpfs, or another word of Compose."""
    source: str
    target: str
    read_only: bool


def text(value: Any) -> str:
    """A scalar as Compose passes it on: booleans in lower case, numbers as written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{value!r} is not a text")


def texts(value: Any) -> list[str]:
    """A list of scalars, or one of them."""
    return [text(item) for item in value] if isinstance(value, list) else [text(value)]


def command(value: Any) -> list[str]:
    """`command`, `entrypoint`: a list as it is; a text is split like a shell would, and no shell runs."""
    return [text(item) for item in value] if isinstance(value, list) else shlex.split(text(value))


def duration(value: Any) -> Duration:
    """`1m30s`, `1.5s`, `100us`; a plain number is seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return Duration(value)
    parts = _DURATION_PART.findall(str(value))
    if not parts or "".join(number + unit for number, unit in parts) != str(value):
        raise ValueError(f"{value!r} is not a duration")
    return Duration(round(sum(float(number) * _SECONDS[unit] for number, unit in parts), 6))


def size(value: Any) -> str:
    """Docker's `512m` (binary units) as app.toml's `512MiB`."""
    match = _SIZE.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a size")
    count = int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower().replace("b", "") or " "))
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count and count % factor == 0:
            return f"{count // factor}{unit}"
    return str(count)


def environment(value: Any) -> dict[str, str | None]:
    """`environment` as a list or a mapping; None: the value of the shell that runs Compose."""
    if isinstance(value, dict):
        return {text(key): None if item is None else text(item) for key, item in value.items()}
    pairs = (text(item).partition("=") for item in _list(value))
    return {key: item if equals else None for key, equals, item in pairs}


def ports(value: Any) -> list[Port]:
    """One entry of `ports` or `expose`, short or long; a range becomes one Port each."""
    if isinstance(value, dict):
        host = value.get("published")
        address = text(value["host_ip"]) if value.get("host_ip") else ""
        protocol = text(value.get("protocol") or "tcp")
        target = text(value.get("target", ""))
        return _expand(address, text(host) if host not in (None, "") else "", target, protocol)
    match = _PORT.fullmatch(text(value))
    if match is None:
        raise ValueError(f"{value!r} is not a port")
    return _expand((match[1] or "").strip("[]"), match[2] or "", match[3], (match[4] or "tcp").lower())


def _expand(address: str, host: str, container: str, protocol: str) -> list[Port]:
    inner, outer = _range(container), _range(host) if host else []
    if len(outer) > len(inner) == 1:
        outer = outer[:1]
    if outer and len(outer) != len(inner):
        raise ValueError(f"{host}:{container}: the ranges differ in length")
    hosts: list[int | None] = [*outer] if outer else [None] * len(inner)
    pairs = zip(hosts, inner, strict=True)
    return [Port(address=address, host=a, container=b, protocol=protocol) for a, b in pairs]


def _range(written: str) -> list[int]:
    first, _, last = written.partition("-")
    if not first.isdigit() or (last and not last.isdigit()):
        raise ValueError(f"{written!r} is not a port")
    low, high = int(first), int(last or first)
    if not 0 < low <= high < 65536:
        raise ValueError(f"{written!r}: ports are 1 to 65535")
    if high - low >= MAX_PORT_RANGE:
        raise ValueError(f"{written!r}: more than {MAX_PORT_RANGE} ports in a range")
    return list(range(low, high + 1))


def mount(value: Any) -> Mount:
    """One entry of `volumes`, short or long."""
    if isinstance(value, dict):
        return Mount(
            kind=text(value.get("type", "volume")),
            source=text(value.get("source") or ""),
            target=text(value.get("target") or ""),
            read_only=value.get("read_only") is True,
        )
    parts = text(value).split(":")
    source = parts[0] if len(parts) > 1 else ""
    kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
    options = parts[2].split(",") if len(parts) > 2 else []
    return Mount(kind=kind, source=source, target=parts[1] if source else parts[0], read_only="ro" in options)


def image(reference: str) -> str:
    """`redis` -> `docker.io/library/redis:latest`: what Docker understands by it, written out."""
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"docker.io/library/{reference}"
    elif not ("." in first or ":" in first or first == "localhost"):
        reference = f"docker.io/{reference}"
    last = reference.rpartition("/")[2]
    return reference if ":" in last or "@" in last else f"{reference}:latest"


def capabilities(add: Any, drop: Any) -> list[str]:
    """Docker's defaults (those that Podman grants too) less `cap_drop` plus `cap_add`; ALL in `cap_add` is left out."""
    dropped = {_capability(item) for item in _list(drop)}
    added = [_capability(item) for item in _list(add)]
    kept = [] if "ALL" in dropped else [item for item in DEFAULT_CAPABILITIES if item not in dropped]
    return list(dict.fromkeys([*kept, *(item for item in added if item != "ALL")]))


def _capability(value: Any) -> str:
    return text(value).upper().removeprefix("CAP_")


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value
