"""Whose a registry file is, without opening it for good: also while a box has it open. Nothing is written."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from minipaas.model.errors import MinipaasError, Missing
from minipaas.registry import limits
from minipaas.registry.failures import registry_failure


def box_of(path: Path) -> str:
    """The id of the box that a registry file belongs to. Raises Missing(registry.none) when there is no such file or no
    id in it, MinipaasError when it cannot be read."""
    none = Missing(
        f"cannot read the id of the box: there is no registry {path}",
        hint="it is made by the first start: minipaas serve",
        code="registry.none",
    )
    try:
        if not path.exists():
            raise none
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=limits.BUSY_TIMEOUT)
        ) as db:
            found = db.execute("SELECT value FROM box WHERE key = 'box_id'").fetchone()
    except sqlite3.Error as error:
        raise registry_failure(error, "read", path) from error
    except OSError as error:
        raise MinipaasError(f"cannot read the registry {path}: {error.strerror}", code="registry.open") from None
    if found is None:
        raise none
    return str(found[0])
