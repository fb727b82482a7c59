"""Where the sockets of a user's own systemd, D-Bus and Podman are (pam_systemd(8), XDG base directories)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

RUN_USER = Path("/run/user")


def runtime_directory(environ: Mapping[str, str] | None = None, run_user: Path = RUN_USER) -> Path | None:
    """What XDG_RUNTIME_DIR names, or /run/user/UID, where systemd makes it: `sudo -u` names none, and `su` leaves the
    one of who typed it. Only one that belongs to this user counts; None: there is none."""
    named = (os.environ if environ is None else environ).get("XDG_RUNTIME_DIR", "")
    for path in (*([Path(named)] if named.startswith("/") else []), run_user / str(os.geteuid())):
        try:
            if path.stat().st_uid == os.geteuid():
                return path
        except OSError:
            continue
    return None
