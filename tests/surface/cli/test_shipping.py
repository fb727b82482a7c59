"""`shipping`: a table, what is wrong in words, and an exit code for scripts."""

from __future__ import annotations

import json
import time

from minipaas.surface.wire_shipping import Shipping
from tests.surface.test_shipping import ILL, WELL

ASKED = "GET /api/v1/shipping"


def test_all_is_well(box, minipaas):
    box.answers[ASKED] = (200, Shipping(destinations=(WELL,)))
    done = minipaas("shipping")
    assert done.code == 0
    assert done.out.splitlines()[1].split()[:2] == ["search", "elasticsearch"]
    assert "1234" in done.out


def test_what_is_wrong_is_said(box, minipaas):
    box.answers[ASKED] = (200, Shipping(destinations=(WELL, ILL)))
    done = minipaas("shipping")
    assert done.code == 1
    assert "never" in done.out
    assert "5.0 MiB, since 2 h ago" in done.out
    assert "! far: nobody listens there; again in " in done.err
    assert "! far refused 3 lines, the last ones because: <b>no</b>" in done.err
    assert "! far: 7 lines (700 B) made way before they were sent" in done.err


def test_json(box, minipaas):
    box.answers[ASKED] = (200, Shipping(destinations=(ILL,)))
    done = minipaas("shipping", "--json")
    (told,) = json.loads(done.out)["destinations"]
    assert (told["name"], told["lost"]) == ("far", 7)
    assert told["behind_since"] < time.time()
    assert done.code == 1


def test_nowhere(box, minipaas):
    box.answers[ASKED] = (200, Shipping(destinations=()))
    done = minipaas("shipping")
    assert "write [[logs.ship]] into config.toml, then: minipaas reload" in done.out
    assert done.code == 0
