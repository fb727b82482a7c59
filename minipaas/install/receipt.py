"""HOME/installed.json: what an install decided and wrote, so that the next one, `uninstall` and `doctor` know."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from minipaas.install import files
from minipaas.install.service import Init
from minipaas.model.typed import from_json

NAME = "installed.json"


class Receipt(Struct, frozen=True, kw_only=True):
    """One install. Paths are as the installed program sees them."""

    init: Init
    user: bool
    config: str
    data: str
    files: tuple[str, ...]
    """Everything outside HOME that was written, and that goes with an uninstall."""
    doors: tuple[str, ...] = ()
    """ADDRESS:PORT that systemd holds for apps where config.toml names none: without and with TLS; empty: the box finds
    some itself."""
    own_podman: bool = False
    """minipaas starts Podman's service itself; else it uses the host's socket."""

    @classmethod
    def read(cls, home: Path) -> Receipt | None:
        """None where nothing was installed, or it cannot be read any more."""
        try:
            return from_json(files.read(home / NAME), cls)
        except (msgspec.ValidationError, msgspec.DecodeError):
            return None

    def write(self, home: Path) -> bool:
        """Returns whether it says something new."""
        return files.write(home / NAME, msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n")
