"""`minipaas` and `python -m minipaas`: hands the command line what only the composition root may give it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minipaas.surface.cli.main import run

if TYPE_CHECKING:
    from minipaas.model.config import Config


def _serve(config: Config, data: Path) -> int:
    """Run the box until it is told to stop; the exit code. Imports the whole program, so only here."""
    from minipaas.app import serve

    return serve(config, data)


def main() -> None:
    """The entry point: never returns, never shows a stack trace (unless MINIPAAS_DEBUG is set)."""
    sys.exit(run(sys.argv[1:], serve=_serve))


if __name__ == "__main__":
    main()
