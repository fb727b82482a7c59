"""drift: what differs in an instance, and what of it asks for a clean one."""

from __future__ import annotations

import pytest

from minipaas.surface.wire_access import Drift, DriftFile

PODMANS = DriftFile(path="/etc/passwd", what="modified", podmans=True)
OWN = DriftFile(path="/srv/new", what="added")


@pytest.mark.parametrize(
    ("entered", "files", "lines"),
    [
        ("", (), ["shop-web-1: nobody has been in it"]),
        (
            "",
            (PODMANS,),
            ["shop-web-1: nobody has been in it", "CHANGE PATH", "modified, by Podman perhaps /etc/passwd"],
        ),
        (
            "touched by ann: 1 of its files differ from the image",
            (PODMANS, OWN),
            [
                "shop-web-1: touched by ann: 1 of its files differ from the image",
                "CHANGE PATH",
                "modified, by Podman perhaps /etc/passwd",
                "added /srv/new",
                "Next: minipaas restart shop/web",
            ],
        ),
    ],
)
def test_drift(box, minipaas, entered, files, lines):
    touched = "ann" if entered else ""
    told = Drift(instance="minipaas-shop-web-1", touched=touched, entered=entered, files=files, more=False)
    box.answers["GET /api/v1/apps/shop/drift"] = (200, told)
    assert [" ".join(line.split()) for line in minipaas("drift", "shop/web").out.splitlines()] == lines
