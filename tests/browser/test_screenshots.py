"""The pictures of docs/screenshots. `scripts/test --screenshots` takes them anew; a usual run only proves that they can
be taken, and leaves the files as they are."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.boxes import RunningBox
from tests.browser.fixtures import Visit
from tests.browser.visitor import PHONE

WHERE = os.environ.get("MINIPAAS_SCREENSHOTS", "")
PICTURES: dict[str, tuple[str, dict[str, object]]] = {
    "overview": ("/", {}),
    "overview-dark": ("/", {"color_scheme": "dark"}),
    "overview-zh": ("/?lang=zh", {}),
    "overview-phone": ("/", {"viewport": PHONE}),
    "app": ("/apps/guestbook", {}),
    "app-failed": ("/apps/shop", {}),
    "box": ("/box", {}),
    "box-phone-dark": ("/box", {"viewport": PHONE, "color_scheme": "dark"}),
    "box-zh": ("/box?lang=zh", {}),
    "audit": ("/audit", {}),
}


@pytest.mark.parametrize("name", PICTURES)
async def test_picture(scene: RunningBox, visit: Visit, name: str) -> None:
    path, options = PICTURES[name]
    visitor = await visit(scene.url, **options)
    await visitor.sign_in(await scene.token("admin"))
    await visitor.open(path)
    await visitor.page.wait_for_timeout(500)
    picture = await visitor.page.screenshot(full_page=True)
    assert picture.startswith(b"\x89PNG")
    await asyncio.to_thread(keep, name, picture)


def keep(name: str, picture: bytes) -> None:
    """Into the directory that was asked for, if one was."""
    if WHERE:
        Path(WHERE).mkdir(parents=True, exist_ok=True)
        (Path(WHERE) / f"{name}.png").write_bytes(picture)
