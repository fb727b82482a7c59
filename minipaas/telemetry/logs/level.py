"""How bad a line says that it is: lines that are JSON objects (`level`, `severity`, `lvl`, `log.level`), and logfmt."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from minipaas.model.logs import Level

_NAMES = {
    "trace": Level.TRACE,
    "finest": Level.TRACE,
    "verbose": Level.TRACE,
    "debug": Level.DEBUG,
    "dbug": Level.DEBUG,
    "fine": Level.DEBUG,
    "info": Level.INFO,
    "information": Level.INFO,
    "informational": Level.INFO,
    "notice": Level.INFO,
    "warn": Level.WARN,
    "warning": Level.WARN,
    "error": Level.ERROR,
    "err": Level.ERROR,
    "severe": Level.ERROR,
    "fatal": Level.FATAL,
    "critical": Level.FATAL,
    "crit": Level.FATAL,
    "alert": Level.FATAL,
    "emerg": Level.FATAL,
    "emergency": Level.FATAL,
    "panic": Level.FATAL,
}
_NUMBERS = {10: Level.TRACE, 20: Level.DEBUG, 30: Level.INFO, 40: Level.WARN, 50: Level.ERROR, 60: Level.FATAL}
"""As pino and bunyan write them."""
_KEYS = ("level", "severity", "lvl", "log.level", "loglevel", "levelname")
_ORDER = tuple(Level)
_LOGFMT = re.compile(rb'(?:^|\s)(?:level|severity|lvl)="?([A-Za-z]{3,13})\b')
_decoder = msgspec.json.Decoder(dict[str, Any])


def level_of(text: bytes) -> Level | None:
    """None: it doesn't say."""
    if text.lstrip()[:1] == b"{":
        try:
            told = _decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return next((found for key in _KEYS if (found := _known(told.get(key))) is not None), None)
    match = _LOGFMT.search(text)
    return _known(match[1].decode()) if match is not None else None


def _known(value: object) -> Level | None:
    if isinstance(value, str):
        return _NAMES.get(value.strip().lower())
    if isinstance(value, int) and not isinstance(value, bool):
        return _NUMBERS.get(value // 10 * 10)
    return None


def at_least(level: Level) -> frozenset[Level]:
    """It, and what is worse."""
    return frozenset(_ORDER[_ORDER.index(level) :])


def names(level: Level) -> list[str]:
    """How lines say that they are at least so bad."""
    wanted = at_least(level)
    said = [name for name, one in _NAMES.items() if one in wanted]
    return said + [str(number + unit) for number, one in _NUMBERS.items() if one in wanted for unit in range(10)]
