"""`minipaas serve`: reads the configuration and hands over to the composition root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from minipaas.model.config import Config, parse_config
from minipaas.model.errors import Missing
from minipaas.surface.connection import default_data

if TYPE_CHECKING:
    from minipaas.surface.cli.main import Serve

CONFIG = Path("/etc/minipaas/config.toml")
MAX_CONFIG = 1024**2


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), help=f"Default: {CONFIG}, when there is one.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Where everything of this box lies.")
@click.pass_obj
def serve(start: Serve, file: Path | None, data: Path | None) -> int:
    """Run the box: the API and status page, the ingress, and the control loop. In the foreground."""
    return start(read_config(file), (data or default_data()).absolute())


def read_config(file: Path | None) -> Config:
    """The configuration. Raises Missing for a named file that is not there, Invalid naming a bad key."""
    path = file or CONFIG
    try:
        with path.open("rb") as source:
            return parse_config(path, source.read(MAX_CONFIG))
    except FileNotFoundError:
        if file is None:
            return Config()
        raise Missing(f"cannot read {path}: there is no such file", code="config.missing") from None
