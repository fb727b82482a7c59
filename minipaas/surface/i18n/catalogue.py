"""The catalogues: read once from their TOML files, asked by key.

A text is a format string with named placeholders, or a table of plural forms (`one`, `other`; Unicode CLDR) of which
the placeholder `n` chooses one. `retell` turns English records (titles of steps, reasons) into another language: the
English text is the pattern that finds the placeholders. A key that is not there is an error, never a blank.
"""

from __future__ import annotations

import re
import string
import time
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from minipaas.surface.i18n.message import Arg, Message, Moment, Names, Span

if TYPE_CHECKING:
    from markupsafe import Markup

HERE = Path(__file__).parent
LANGUAGES = {"en": "English", "zh": "中文"}
"""Tag (BCP 47) and own name, in the order of the switch."""
PLURALS = {"en": ("one", "other"), "zh": ("other",)}
"""The plural forms that a language has."""

Text = str | dict[str, str]


class Catalogue:
    """The texts of one language."""

    def __init__(self, language: str, texts: Mapping[str, Text]) -> None:
        self.language = language
        self.texts = texts

    # -- plain text --------------------------------------------------------------------------------------------------

    def say(self, message: Message | str) -> str:
        """A message as plain text; a string is said already."""
        if isinstance(message, str):
            return message
        args = {name: self._plain(value) for name, value in message.args}
        return self._form(message.key, dict(message.args).get("n")).format(**args)

    def _plain(self, value: Arg) -> str:
        match value:
            case Message():
                return self.say(value)
            case Names():
                return self._join([self._plain(item) for item in value.items], value.most)
            case Moment():
                return clock(value.at)
            case Span():
                return self.span(value.seconds)
            case _:
                return str(value)

    def span(self, seconds: float) -> str:
        """A length of time in at most two units."""
        s = max(seconds, 0)
        if s < 10 and round(s, 1) != int(s):
            return self._form("unit.s").format(s=f"{s:.1f}")
        if s < 60:
            return self._form("unit.s").format(s=f"{s:.0f}")
        m, s = divmod(int(s), 60)
        if m < 60:
            return self._form("unit.min_s" if s and m < 10 else "unit.min").format(m=m, s=s)
        h, m = divmod(m, 60)
        if h < 48:
            return self._form("unit.h_min" if m and h < 10 else "unit.h").format(h=h, m=m)
        return self._form("unit.d").format(d=h // 24)

    def _join(self, names: list[str], most: int) -> str:
        shown = self._form("list.and").join(names[:most])
        left = len(names) - most
        return self._form("list.more", left).format(names=shown, n=left) if left > 0 else shown

    # -- HTML --------------------------------------------------------------------------------------------------------

    def __call__(self, key: str, /, **args: object) -> Markup:
        """A text for a template, every placeholder escaped unless it is markup already."""
        form = _escaped(self._form(key, args.get("n")))
        return form.format(**args) if args else form

    def html(self, message: Message | str) -> Markup:
        """A message as HTML: moments are `<time>` elements, which the page shows in the reader's zone."""
        from markupsafe import escape

        if isinstance(message, str):
            return escape(message)
        args = {name: self._html(value) for name, value in message.args}
        return _escaped(self._form(message.key, dict(message.args).get("n"))).format(**args)

    def _html(self, value: Arg) -> Markup:
        from markupsafe import Markup, escape

        match value:
            case Message():
                return self.html(value)
            case Names():
                # joined as markup, so that what is inside stays what it is
                parts = [self._html(item) for item in value.items[: value.most]]
                shown = escape(self._form("list.and")).join(parts)
                left = len(value.items) - value.most
                if left <= 0:
                    return shown
                return escape(self._form("list.more", left)).format(names=shown, n=left)
            case Moment():
                utc = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value.at))
                return Markup('<time datetime="{}" data-clock="{}">{}</time>').format(utc, value.at, clock(value.at))
            case Span():
                return escape(self.span(value.seconds).replace(" ", "\u00a0"))  # stays on one line
            case _:
                return escape(self._plain(value))

    # -- records -----------------------------------------------------------------------------------------------------

    def retell(self, text: str, section: str) -> str:
        """The first line of an English record in this language, if one of the texts below `section` fits it; what
        follows, and what nothing fits, stays as it is."""
        if self.language == EN.language or not text:
            return text
        first, rest = text[: (text + "\n").index("\n")], text[(text + "\n").index("\n") :]
        return (_retold(self.language, first, section) or first) + rest

    # ----------------------------------------------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self.texts

    def below(self, section: str) -> dict[str, str]:
        """The plain texts of a section, by the rest of their keys."""
        return {
            key.removeprefix(section + "."): text
            for key, text in self.texts.items()
            if key.startswith(section + ".") and isinstance(text, str)
        }

    def _form(self, key: str, n: object = None) -> str:
        text = self.texts[key]
        if isinstance(text, str):
            return text
        return text["one"] if n == 1 and "one" in PLURALS[self.language] else text["other"]


@lru_cache(maxsize=4096)
def _escaped(form: str) -> Markup:
    from markupsafe import escape

    return escape(form)


def clock(at: float) -> str:
    """`09:12` by this machine's zone; with the date when it is not today."""
    try:
        when, now = time.localtime(at), time.localtime()
    except (OverflowError, ValueError, OSError):
        return "?"
    same = when[:3] == now[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", when)


def load(language: str) -> dict[str, Text]:
    """The texts of a catalogue file, by dotted key."""
    return dict(_flat(tomllib.loads((HERE / f"{language}.toml").read_text("utf-8")), ""))


def _flat(table: dict[str, object], prefix: str) -> Iterator[tuple[str, Text]]:
    for name, value in table.items():
        if isinstance(value, dict) and "other" not in value:
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str | dict):
            yield prefix + name, value


class _Lazy(Catalogue):
    """The English one, read when something is said: importing costs nothing."""

    def __init__(self) -> None:
        self.language = "en"

    @property
    def texts(self) -> Mapping[str, Text]:  # type: ignore[override]
        return _texts("en")


@cache
def _texts(language: str) -> dict[str, Text]:
    return load(language)


EN: Catalogue = _Lazy()
"""What the API, the command line and the journal speak."""


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of one of `LANGUAGES`."""
    return EN if language == EN.language else Catalogue(language, _texts(language))


@cache
def _patterns(section: str) -> list[tuple[str, re.Pattern[str]]]:
    """(key, pattern) of the English texts of a section; those with the most fixed letters first."""
    found = []
    for key, text in EN.texts.items():
        if (key == section or key.startswith(section + ".")) and isinstance(text, str):
            pieces = list(string.Formatter().parse(text))
            pattern = "".join(re.escape(fixed) + (f"(?P<{name}>.+?)" if name else "") for fixed, name, *_ in pieces)
            found.append((sum(len(fixed) for fixed, *_ in pieces), key, re.compile(pattern)))
    return [(key, pattern) for _, key, pattern in sorted(found, key=lambda one: -one[0])]


@lru_cache(maxsize=4096)
def _retold(language: str, line: str, section: str) -> str | None:
    if len(line) > 500:
        return None
    told = catalogue(language)
    for key, pattern in _patterns(section):
        if match := pattern.fullmatch(line):
            parts = {
                name: told.retell(value, "phrase") if name in ("why", "what") else value
                for name, value in match.groupdict().items()
            }
            return told._form(key).format(**parts)
    return None
