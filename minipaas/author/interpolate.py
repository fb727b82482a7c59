"""Compose's variables: `.env` files and `${NAME:-default}` in values.

The rules are those of the Compose specification, "Interpolation": the process environment wins over `.env`; a variable
without value and default is empty, and is said aloud; `${NAME:?why}` without a value is an error; `$$` is a dollar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from minipaas.author.limits import LIMITS
from minipaas.model.errors import Invalid

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:=\s*(.*?))?\s*")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class Interpolation:
    """Replaces variables, and remembers which ones got a value and which had none."""

    def __init__(self, variables: Mapping[str, str], what: str) -> None:
        self._variables = variables
        self._what = what
        self._nodes = 0
        self.used: set[str] = set()
        self.unset: set[str] = set()

    def walk(self, value: Any) -> Any:
        """A tree of YAML values with every string replaced. Raises Invalid on an alias bomb or a bad expression."""
        self._nodes += 1
        if self._nodes > LIMITS.compose_nodes:
            raise Invalid(
                f"cannot read {self._what}: it has more than {LIMITS.compose_nodes} values with all aliases followed",
                code="input.size",
            )
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.walk(item) for item in value]
        if isinstance(value, dict):
            return {key: self.walk(item) for key, item in value.items()}
        return value

    def text(self, text: str) -> str:
        """One string with its variables replaced."""
        if "$" not in text:
            return text
        out: list[str] = []
        at = 0
        while (dollar := text.find("$", at)) >= 0:
            out.append(text[at:dollar])
            after = text[dollar + 1 : dollar + 2]
            if after == "$":
                out.append("$")
                at = dollar + 2
            elif after == "{":
                end = self._closing(text, dollar + 2)
                out.append(self._expression(text[dollar + 2 : end], text))
                at = end + 1
            elif (name := _NAME.match(text, dollar + 1)) is not None:
                out.append(self._value(name[0]))
                at = name.end()
            else:
                raise self._bad(text)
        return "".join(out) + text[at:]

    def _closing(self, text: str, start: int) -> int:
        depth = 1
        for at in range(start, len(text)):
            depth += (text[at] == "{" and text[at - 1] == "$") - (text[at] == "}")
            if depth == 0:
                return at
        raise self._bad(text)

    def _expression(self, inside: str, text: str) -> str:
        name = _NAME.match(inside)
        if name is None:
            raise self._bad(text)
        rest = inside[name.end() :]
        if not rest:
            return self._value(name[0])
        operator = _OPERATOR.match(rest)
        if operator is None:
            raise self._bad(text)
        word = rest[operator.end() :]
        value = self._variables.get(name[0])
        present = bool(value) if operator[0].startswith(":") else value is not None
        if operator[0].endswith("+"):
            return self.text(word) if present else ""
        if present:
            return self._value(name[0])
        if operator[0].endswith("?"):
            raise Invalid(
                f"cannot read {self._what}: {name[0]} must be set: {word or 'it is required'}",
                hint=f"set it for the import: {name[0]}=... minipaas bundle init ...",
                code="author.variable",
            )
        return self.text(word)

    def _value(self, name: str) -> str:
        value = self._variables.get(name)
        (self.unset if value is None else self.used).add(name)
        return value or ""

    def _bad(self, text: str) -> Invalid:
        return Invalid(
            f"cannot read {self._what}: {text[:80]!r} is not a valid interpolation",
            hint="write ${NAME} or ${NAME:-default}; a plain dollar is $$",
            code="author.interpolation",
        )


def parse_env(text: str) -> dict[str, str | None]:
    """The variables of an `.env` file; None where only a name is given. Lines that are none of both are skipped."""
    variables: dict[str, str | None] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None:
            variables[match[1]] = None if match[2] is None else _unquote(match[2])
    return variables


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == "'" and (end := value.find("'", 1)) > 0:
        return value[1:end]
    if len(value) >= 2 and value[0] == '"':
        inner = re.match(r'"((?:[^"\\]|\\.)*)"', value)
        if inner is not None:
            return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), inner[1])
    return re.sub(r"(^|\s+)#.*$", "", value).rstrip()
