"""Scratch directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.engine.scratch import Scratch
from minipaas.model.errors import EngineError


def test_fresh_and_writable_by_everybody(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    base = scratch.make("minipaas-shop-web-1-1")
    (base / "tmp" / "old").write_text("x")
    base = scratch.make("minipaas-shop-web-1-1")
    assert list((base / "tmp").iterdir()) == []
    assert {(base / name).stat().st_mode & 0o7777 for name in ("tmp", "var-tmp")} == {0o1777}
    scratch.remove("minipaas-shop-web-1-1")
    scratch.remove("minipaas-shop-web-1-1")
    assert not base.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc"])
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError):
        Scratch(tmp_path).remove(name)
