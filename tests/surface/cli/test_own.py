"""upgrade: what is said of the last one, and that it was seen."""

from __future__ import annotations

from minipaas.surface.wire_self import SelfView

SEEN = SelfView(version="1.0.0", installed=None, previous=None, busy="", last=None)


def test_saying_that_a_return_was_seen(box, minipaas):
    box.answers["POST /api/v1/self/seen"] = (200, SEEN)
    done = minipaas("upgrade", "--seen")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("minipaas 1.0.0 serves")


def test_one_thing_at_a_time(box, minipaas):
    done = minipaas("upgrade", "--seen", "--status")
    assert done.code == 2
    assert "name a FILE, or --status, or --seen" in done.err
    assert minipaas("upgrade").code == 2
    assert box.requests() == []
