"""A crash loop on a real Podman: so many failures of one service, of which the first and the latest are kept.

Fifty instances fail side by side, because one alone would be started again ever more seldom.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import tomli_w
from msgspec import Struct

from kit.box import EXAMPLES, Author, Box, BoxError

APP, SERVICE = "crashing", "loop"
REPLICAS = 50
_FAIL = "until [ -e /tmp/go ]; do sleep 1; done; date +%s >/tmp/last; echo cannot reach the printer; exit 3"
PATIENCE = 3600.0
"""Seconds for all of them."""
STEP = 2.0


class Loop(Struct, frozen=True):
    """What it came to."""

    failures: int
    groups: int
    kept: int
    """Scenes."""
    disk: int
    """Bytes of all scenes when all was over; `half`: when half of the failures had been."""
    half: int
    latest: str
    """The id of the latest scene."""
    containers: int
    """Of the app, once none of it is wanted any more."""


def bundle(author: Author) -> Path:
    """An app whose only service fails a second after it was started, once it was told to."""
    source = author.directory / APP
    shutil.copytree(EXAMPLES / "hello", source, symlinks=True)
    service = {"build": ".", "command": ["sh", "-c", _FAIL], "replicas": REPLICAS, "stop": "1s"}
    spec: dict[str, Any] = {"app": {"name": APP, "version": "1.0.0"}, "services": {SERVICE: service}}
    (source / "app.toml").write_text(tomli_w.dumps(spec))
    return author.build(source, APP)


def run(box: Box, author: Author, count: int, tell: Any) -> Loop:
    """Deploy it, let it fail `count` times. `tell` hears how far it has come. Raises BoxError."""
    box.cli("deploy", bundle(author), timeout=900)
    until = time.monotonic() + PATIENCE
    half = seen = 0
    while seen < count:
        for one in (box.data / "scratch").iterdir():
            if f"-{APP}-{SERVICE}-" in one.name and (one / "tmp").is_dir():
                (one / "tmp/go").touch()
        time.sleep(STEP)
        groups = box.cli("crashes", APP, "--json").json["groups"]
        seen = sum(one["count"] for one in groups)
        tell(seen)
        if not half and seen >= count / 2:
            half = _disk(box)
        if time.monotonic() > until:
            raise BoxError(f"only {seen} of {count} failures after {PATIENCE:g} s:\n{box.tail()}")
    box.cli("scale", f"{APP}/{SERVICE}", "0", timeout=300)  # else the latest scene soon is another one
    groups = []
    while groups != (groups := box.cli("crashes", APP, "--json").json["groups"]):
        time.sleep(STEP)  # scenes of the last ones are still taken
    return Loop(
        failures=sum(one["count"] for one in groups),
        groups=len(groups),
        kept=sum(len(one["kept"]) for one in groups),
        disk=_disk(box),
        half=half,
        latest=groups[0]["kept"][-1],
        containers=len(box.program.podman.containers(APP)),
    )


def _disk(box: Box) -> int:
    return sum(one.stat().st_size for one in (box.data / "crashes").rglob("*") if one.is_file())
