"""The handbook explains every sentence of the page on the state of apps and box, or that asks for something."""

from __future__ import annotations

import re
from pathlib import Path

from minipaas.surface.i18n import EN
from minipaas.surface.status import URGENCY

BOOK = (Path(__file__).parents[3] / "docs" / "operator-handbook.md").read_text()
SECTIONS = ("box", "need", "app", "after")
PARTS = {"app.other_release", "app.up"}
"""Pieces of sentences."""
OTHERS = {
    "box_page.clock_unsynced",
    "box_page.root_expired",
    "shipping.failing",
    "upload.not_served",
    "js.lost",
    "js.unsent",
}
"""Beyond the state of an app or the box: what else asks something of who reads it."""


def told() -> set[str]:
    """The first cells of the tables below the heading."""
    (part,) = re.findall(r"### What each sentence means.*?\n(.*?)\n## ", BOOK, re.DOTALL)
    rows = re.findall(r"^\| (.+?) \| .+ \|$", part, re.MULTILINE)
    cells = {sentence for row in rows for sentence in row.split("<br>")}
    return cells - {"sentence", "---"}


def said() -> set[str]:
    """What the catalogue has."""
    texts = [
        text
        for key, text in EN.texts.items()
        if key in OTHERS or (key.partition(".")[0] in SECTIONS and key not in PARTS)
    ]
    return {form for text in texts for form in ([text] if isinstance(text, str) else text.values())}


def test_every_sentence_is_explained_and_no_other() -> None:
    assert sorted(told() ^ said()) == [], "in one of both only"


def test_every_state_has_a_word() -> None:
    assert all(EN.has(f"state.{state.value}") for state in URGENCY)
