from __future__ import annotations

import io
from pathlib import Path

from minipaas.bundle.receive import NullSink, receive
from tests.bundle.builders import make_box, make_bundle


def test_a_valid_bundle_is_accepted(tmp_path: Path) -> None:
    path = make_bundle(tmp_path, services=("web", "db"))
    verdict = receive(io.BytesIO(path.read_bytes()), NullSink(), make_box())
    assert verdict.release.app == "shop"
    assert set(verdict.release.images) == {"web", "db"}
    assert not verdict.warnings
