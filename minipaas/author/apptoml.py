"""The text of an `app.toml`, with comments; what is written here always parses as the model's AppSpec."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from minipaas.model.spec import parse_app_toml

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 100

Value = str | int | float | bool | Sequence[str] | Mapping[str, "Value"]


class Draft(Struct, kw_only=True):
    """A service to be written. `lines` are ready TOML lines or comments, in order."""

    name: str
    lines: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)

    def set(self, key: str, value: Value, comment: str = "") -> None:
        """Write `key = value  # comment`."""
        self.lines.append(f"{key} = {toml(value)}" + (f"  # {comment}" if comment else ""))

    def say(self, text: str) -> None:
        """Write a comment line."""
        self.lines.append(f"# {_one_line(text)}")


def toml(value: Value) -> str:
    """A value as TOML 1.0 writes it on one line; long lists get a line each."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's; only DEL is allowed raw in JSON and not in TOML.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key(name)} = {toml(item)}" for name, item in value.items()) + " }"
    items = [toml(item) for item in value]
    line = "[" + ", ".join(items) + "]"
    return line if len(line) <= _WIDTH else "[\n" + "".join(f"    {item},\n" for item in items) + "]"


def key(name: str) -> str:
    """A key, quoted where TOML needs it."""
    return name if _BARE.fullmatch(name) else toml(name)


def render(app: str, version: str, head: Sequence[str], services: Sequence[Draft]) -> str:
    """The whole file. Raises Invalid when it would not parse: then the import has a gap, and says so."""
    out = [*(f"# {_one_line(line)}".rstrip() for line in head), *([""] if head else [])]
    out += ["[app]", f"name = {toml(app)}", f"version = {toml(version)}"]
    for service in services:
        out += ["", f"[services.{key(service.name)}]", *service.lines]
        if service.env:
            out += ["", f"[services.{key(service.name)}.env]"]
            out += [f"{key(name)} = {toml(value)}" for name, value in service.env.items()]
    text = "\n".join(out) + "\n"
    parse_app_toml(text.encode(), "the app.toml that was made")
    return text


def _one_line(text: str) -> str:
    """A comment must not end early, nor hold what TOML forbids in comments."""
    return re.sub(r"[\x00-\x08\x0a-\x1f\x7f]+", " ", text)
