"""Every error code that minipaas can give, with its kind, read from its sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import minipaas
from minipaas.bundle.refusal import RULES
from minipaas.engine.causes import _RULES
from minipaas.model.change import ChangeState
from minipaas.model.errors import KINDS

SOURCES = Path(minipaas.__file__).parent
CODE = re.compile(r"[a-z_]+(\.[a-z_]+)?")
CLASSES = {cls.__name__: kind for kind, cls in KINDS.items()}


def found() -> set[tuple[str, str]]:
    """(kind, code) of each `Class(…, code="…")`, of the tables, and of what is put together. Without a code it is the
    kind."""
    pairs = {("refused", code) for code in RULES}
    pairs |= {("engine", code) for _, code, _ in _RULES}
    pairs |= {("failed", f"change.{state.value}") for state in ChangeState if not state.active and state != "done"}
    for source in SOURCES.rglob("*.py"):
        pairs |= set(_in(ast.parse(source.read_text())))
    return pairs


def _in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if name not in CLASSES:
            continue
        assert isinstance(node, ast.Call)
        given = next((keyword.value for keyword in node.keywords if keyword.arg == "code"), None)
        if given is None:
            yield CLASSES[name], CLASSES[name]
            continue
        for leaf in ast.walk(given):
            if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str) and CODE.fullmatch(leaf.value):
                yield CLASSES[name], leaf.value
