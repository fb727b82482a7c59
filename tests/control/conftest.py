"""What the tests of this room share: boxes on the fake Podman."""

from __future__ import annotations

from tests.boxes import fake, started

__all__ = ["fake", "started"]
