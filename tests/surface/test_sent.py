"""What open pages lack."""

from __future__ import annotations

from minipaas.surface.sent import Remembered, Sent, Shown

ONE = Shown(frame=("en", ("a", "b")), rows={"a": 1, "b": 2})
TWO = Shown(frame=("en", ("a", "b")), rows={"a": 1, "b": 3})
MOVED = Shown(frame=("en", ("b", "a")), rows={"a": 1, "b": 2})


def test_only_rows_that_differ_are_sent_again() -> None:
    sent = Sent(8)
    name = sent.note(ONE)
    assert sent.changed(name, ONE) == []
    assert sent.changed(name, TWO) == ["b"]


def test_a_page_that_is_not_known_or_whose_rows_have_moved_gets_everything() -> None:
    sent = Sent(8)
    name = sent.note(ONE)
    assert sent.changed("", ONE) is None
    assert sent.changed("nonsense", ONE) is None
    assert sent.changed(name, MOVED) is None


def test_the_same_content_has_the_same_name_and_the_oldest_is_forgotten() -> None:
    sent = Sent(2)
    name = sent.note(ONE)
    sent.note(TWO)
    assert sent.note(ONE) == name
    sent.note(MOVED)
    assert sent.changed(name, ONE) == [], "it was shown again not long ago"
    sent.note(TWO)
    sent.note(Shown(frame=(), rows={}))
    assert sent.changed(name, ONE) is None


def test_remembered_forgets_what_was_put_in_first() -> None:
    kept: Remembered[str, int] = Remembered(2)
    for number, key in enumerate("abac"):
        kept.put(key, number)
    assert [kept.get(key) for key in "abc"] == [2, None, 3]
