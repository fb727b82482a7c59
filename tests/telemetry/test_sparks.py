"""The last hour in small rows."""

from __future__ import annotations

from minipaas.telemetry.sparks import Row, Sparks

ROW: Row = (0.5, 1024, 2.0, 0.0)


def test_oldest_first_and_unknown_where_nobody_looked() -> None:
    sparks = Sparks()
    sparks.take(100, {"shop": ROW})
    sparks.take(103, {"shop": (None, 2048, 3.0, 1.0)})
    cpu, memory, requests, errors = sparks.of("shop")
    assert memory == (None,) * 56 + (1024, None, None, 2048)
    assert cpu[-4:] == (0.5, None, None, None)
    assert (requests[-1], errors[-1]) == (3.0, 1.0)
    assert sparks.of("unheard") == ((None,) * 60,) * 4


def test_an_app_that_was_silent_for_an_hour_goes() -> None:
    sparks = Sparks()
    sparks.take(100, {"shop": ROW, "blog": ROW})
    sparks.take(130, {"blog": ROW})
    assert 1024 in sparks.of("shop")[1]
    sparks.take(160, {"blog": ROW})
    assert sparks.of("shop")[1] == (None,) * 60


def test_a_clock_that_was_set_back() -> None:
    sparks = Sparks()
    sparks.take(1000, {"shop": ROW})
    sparks.take(990, {"shop": (9.0, 9, 9.0, 9.0)})
    assert sparks.of("shop")[1][-1] == 1024, "a few minutes: wait until they have passed"
    sparks.take(10, {"shop": (9.0, 9, 9.0, 9.0)})
    assert sparks.of("shop")[1][-1] == 9, "long: go on from there"
    sparks.take(11, {"shop": ROW})
    assert sparks.of("shop")[1][-2:] == (9, 1024)


def test_keep() -> None:
    sparks = Sparks()
    sparks.take(1, {"shop": ROW, "blog": ROW})
    sparks.keep(["blog"])
    assert sparks.of("shop")[0][-1] is None
    assert sparks.of("blog")[0][-1] == 0.5
