"""Bundles made from examples/hello, changed as a test needs it."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from kit.box import EXAMPLES, Author

HOST = "hello.localhost"


class HelloBundles:
    """Makes each variation once a session. Later versions of one app must have a higher `sequence`."""

    def __init__(self, directory: Path, author: Author) -> None:
        self.directory = directory
        self.author = author
        self._made: dict[str, Path] = {}

    def __call__(
        self,
        version: str = "1.0.0",
        *,
        sequence: int = 1,
        name: str = "hello",
        web: Mapping[str, Any] | None = None,
        services: Mapping[str, Mapping[str, Any]] | None = None,
        rollout: Mapping[str, Any] | None = None,
        author: Author | None = None,
    ) -> Path:
        """A bundle of hello; `web` replaces keys of the web service (None deletes), `services` adds others."""
        author = author or self.author
        spec = tomllib.loads((EXAMPLES / "hello/app.toml").read_text())
        spec["app"] |= {"name": name, "version": version}
        spec["rollout"] = {"confirm": "500ms", "drain": "5s", "deadline": "60s"} | dict(rollout or {})
        spec["services"]["web"] = _changed(spec["services"]["web"], web or {})
        for other, keys in (services or {}).items():
            spec["services"][other] = {"build": "."} | dict(keys)
        text = tomli_w.dumps(spec)
        key = f"{author.directory} {sequence} {text}"
        if key not in self._made:
            self._made[key] = self._make(author, text, f"{name}-{version}-{len(self._made)}", version, sequence)
        return self._made[key]

    def _make(self, author: Author, text: str, label: str, version: str, sequence: int) -> Path:
        source = self.directory / label
        shutil.copytree(EXAMPLES / "hello", source, symlinks=True)
        page = source / "www/index.html"
        page.write_text(page.read_text().replace("version 1.0.0", f"version {version}"))
        (source / "app.toml").write_text(text)
        return author.build(source, label, "--sequence", str(sequence))


def _changed(service: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**service, **changes}.items() if value is not None}


SLOW_START = {"command": ["sh", "-c", "sleep 4; exec serve"]}
NEVER_HEALTHY = {
    "command": ["sh", "-c", "echo starting; echo cannot find the flux capacitor >&2; exec serve"],
    "health": {"http": "/nothing-here", "interval": "500ms", "timeout": "1s", "grace": "2s"},
}
DIES = {"command": ["sh", "-c", "echo about to die of a broken heart; sleep 1; exit 7"]}
