"""Which minipaas this is, for the documents that it writes."""

from __future__ import annotations

from importlib import metadata


def own_version() -> str:
    """`0.1.0`; `unknown` where the package's metadata was not shipped along."""
    try:
        return metadata.version("minipaas")
    except metadata.PackageNotFoundError:
        return "unknown"
