"""`minipaas uninstall`: what it says that it leaves is this box's alone. The rest is in tests/e2e/test_install.py."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minipaas.install.places import Places
from minipaas.install.receipt import Receipt
from minipaas.install.service import Init
from tests.boxes import fake, running_box, toml
from tests.fakepodman.server import FakePodman

__all__ = ["fake"]

VOLUME = 'volumes = { data = "/data" }'


async def test_of_two_boxes_on_one_podman(
    fake: FakePodman, tmp_path: Path, minipaas: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{fake.socket}")
    for app in ("mine", "yours"):
        (tmp_path / app).mkdir()
        async with running_box(fake, tmp_path / app) as box:
            await box.trust()
            await box.deploy(toml(app, routes=f'"{app}.local"', extra=VOLUME), app=app)
    places = Places.below(tmp_path)
    receipt = Receipt(init=Init.NONE, user=False, config=str(places.config), data=str(tmp_path / "mine/data"), files=())
    receipt.write(places.home)

    async def said() -> str:
        done = await asyncio.to_thread(minipaas, "uninstall", "--prefix", str(tmp_path))
        assert done.code == 2, "nobody said yes"
        return str(done.out)

    told = await said()
    assert "podman rm -f minipaas-mine-web-1-1\n" in told
    assert "podman volume rm minipaas-mine.data\n" in told
    assert re.search(r"podman network rm minipaas-mine-\w+\n", told), told
    assert "yours" not in told

    registry = tmp_path / "mine/data/registry.db"
    for spoil, why in (
        (lambda: registry.write_bytes(b"x" * 4096), "damaged"),
        (registry.unlink, "there is no registry"),
    ):
        spoil()
        told = await said()
        assert why in told
        assert "not listed here" in told
        assert "podman ps --filter label=io.minipaas.box" in told
        assert "rm -f" not in told
        assert "yours" not in told
