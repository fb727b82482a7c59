"""How bad a line says that it is."""

from __future__ import annotations

import pytest

from minipaas.model.logs import Level
from minipaas.telemetry.logs.level import at_least, level_of, names


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (b'{"level": "error", "msg": "x"}', Level.ERROR),
        (b'{"severity": "WARNING"}', Level.WARN),
        (b'{"lvl": "crit"}', Level.FATAL),
        (b'{"log.level": "debug"}', Level.DEBUG),
        (b'{"level": 30}', Level.INFO),
        (b'  {"level": "notice"}', Level.INFO),
        (b'ts=1 level=warn msg="slow"', Level.WARN),
        (b'level="error" x', Level.ERROR),
        (b'{"level": "purple"}', None),
        (b'{"level": null}', None),
        (b'{"level": true}', None),
        (b'{"level": "error"', None),
        (b'{"level": "\xff"}', None),
        (b"[1, 2]", None),
        (b"an error without a level", None),
        (b"sublevel=error", None),
        (b"", None),
    ],
)
def test_level(text: bytes, level: Level | None) -> None:
    assert level_of(text) is level


def test_at_least() -> None:
    assert at_least(Level.ERROR) == {Level.ERROR, Level.FATAL}
    assert at_least(Level.TRACE) == set(Level)


def test_the_index_is_asked_for_every_way_to_say_it() -> None:
    assert {"warn", "warning", "error", "fatal", "40", "50"} <= set(names(Level.WARN))
    assert not {"info", "debug", "30"} & set(names(Level.WARN))
