"""Hundreds of odd requests to our ingress, to nginx and to HAProxy; each difference has its reason in a table.

What must hold beyond the table: nothing passes here that both others refuse; what passes here and there has the same
bodies, and the same requests before and behind it; what we pass on can be read in one way only.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import uvloop

from .differential.corpus import CANARY, Case, generated, handmade
from .differential.rivals import NAMES, Lane, Outcome, rivals, versions

PATIENCE = 1.0
AGAIN = 5.0
"""What looks unexplained is asked once more, with so many seconds: a busy machine must not look like a difference."""
MIXTURES = 250

STRICTER, LAXER, STATUS = "we refuse, they pass on", "we pass on, they refuse", "another kind of status"
TRAILERS = "other trailers"
NGINX, HAPROXY, BOTH = ("nginx",), ("haproxy",), ("nginx", "haproxy")


class Why(NamedTuple):
    kind: str
    whom: tuple[str, ...]
    reason: str
    source: str


_LF = "a line ends in CRLF here; who takes LF alone sees other lines than who does not"
_CONTROLS = "control characters have no place in a field; an app may read them as the end of something"
_ONE_LENGTH = "what has two lengths is refused, whatever they say: two readers may take two of them"
_BEHIND = "what an app may ask for behind a body is passed on; nginx drops it"
_PATHS = "paths are not decoded or resolved here, so there is nothing in them to refuse: what they mean is for the app"
WRITTEN_FOR = ("nginx/1.22", "HAProxy version 2.6")
"""Debian 12's."""
EXPLAINED: dict[str, list[Why]] = {
    "method: lower case": [Why(STRICTER, HAPROXY, "methods are case-sensitive, and none is in lower case", "9110 9.1")],
    "method: odd token": [Why(STRICTER, BOTH, "a method is at most 32 capital letters and hyphens", "9110 16.1.1")],
    "method: usual": [Why(LAXER, NGINX, "TRACE is an app's own business; nginx never passes it on", "9110 9.3.8")],
    "line: white space": [Why(STRICTER, BOTH, "one space between the parts, none elsewhere", "9112 3")],
    "version: other": [
        Why(STRICTER, BOTH, "there is no HTTP/1.2; 505 for every version but 1.0 and 1.1", "9110 15.6.6"),
        Why(STATUS, BOTH, "505 says what is wrong; they say 400", "9110 15.6.6"),
    ],
    "version: odd": [
        Why(STRICTER, NGINX, "a version is one digit, a dot, one digit", "9112 2.3"),
        Why(STATUS, BOTH, "505 where it could be a version", "9110 15.6.6"),
    ],
    "version: none": [Why(STRICTER, NGINX, "HTTP/0.9 has no fields, so it names no host", "9112 2.3")],
    "version: 1.0, with coding": [Why(STRICTER, HAPROXY, "HTTP/1.0 knows no chunks: faulty framing", "9112 6.1")],
    "version: 1.0, without host": [
        Why(STRICTER, BOTH, "keep-alive of HTTP/1.0 is not spoken: one answer, then the end", "9112 C.2.2")
    ],
    "target: asterisk": [Why(STRICTER, HAPROXY, "only OPTIONS has the asterisk, and it stands alone", "9112 3.2.4")],
    "target: OPTIONS *": [Why(LAXER, NGINX, "OPTIONS * is valid; nginx wants a path", "9112 3.2.4")],
    "target: absolute, without a path": [Why(LAXER, HAPROXY, "a query needs no path before it", "9112 3.2.2")],
    "target: another authority": [Why(LAXER, HAPROXY, "the target's host counts, Host is written anew", "9112 3.2.2")],
    "target: odd authority": [Why(STRICTER, HAPROXY, "the authority has to be a host, without a user", "9110 4.2.4")],
    "target: other scheme": [Why(STRICTER, BOTH, "only http and https are routed", "9110 4.2")],
    "target: above the root": [Why(LAXER, NGINX, _PATHS, "3986 5.2.4")],
    "target: bad escape": [Why(LAXER, NGINX, _PATHS, "3986 2.1")],
    "target: fragment": [Why(STRICTER, NGINX, "a fragment is never sent", "9112 3.2.1")],
    "target: beyond ASCII": [Why(STRICTER, NGINX, "what is not ASCII has to be escaped", "3986 2")],
    "target: too long": [Why(STRICTER, HAPROXY, "8 KiB at most, said with 414", "9112 3")],
    "CONNECT": [Why(STRICTER, HAPROXY, "405, and the end of the connection: what follows is no request", "9110 9.3.6")],
    "host: none": [Why(STRICTER, HAPROXY, "HTTP/1.1 names its host", "9112 3.2")],
    "host: twice": [Why(STRICTER, HAPROXY, "one Host, also when both say the same", "9112 3.2")],
    "host: empty": [Why(STRICTER, HAPROXY, "an http URI has a host", "9110 4.2.1")],
    "host: not a host": [
        Why(STRICTER, BOTH, "letters, digits, dots, hyphens, underscores, or an IP address", "9112 3.2")
    ],
    "host: odd port": [Why(STRICTER, BOTH, "a port is digits", "9110 7.2")],
    "host: unusual": [Why(LAXER, NGINX, "tabs around a value are white space; nginx takes spaces only", "9110 5.6.3")],
    "name: no colon": [Why(STRICTER, NGINX, "nginx drops a line that is no field; we end the connection", "9112 5")],
    "name: no token": [Why(STRICTER, NGINX, "nginx drops a field with an odd name; we end the connection", "9110 5.1")],
    "value: control character": [Why(STRICTER, BOTH, _CONTROLS, "9110 5.5")],
    "value: NUL": [Why(STRICTER, HAPROXY, _CONTROLS, "9110 5.5")],
    "value: bare CR": [Why(STRICTER, NGINX, "CR without LF is invalid", "9112 2.2")],
    "value: bare LF": [Why(STRICTER, BOTH, _LF, "9112 2.2")],
    "folding": [Why(STRICTER, HAPROXY, "a folded line is refused, not repaired", "9112 5.2")],
    "expect: unknown": [Why(STRICTER, BOTH, "417: nobody here can promise it", "9110 10.1.1")],
    "fields: too many": [Why(STRICTER, NGINX, "127 fields at most, said with 431", "6585 5")],
    "length: twice, the same": [Why(STRICTER, HAPROXY, _ONE_LENGTH, "9112 6.3")],
    "length: huge": [
        Why(STATUS, NGINX, "nginx has a largest body (413); here it is passed on as it comes", "9110 8.6")
    ],
    "length: more than comes": [
        Why(STATUS, BOTH, "they wait for the body before they say what is wrong, or pass it on", "9110 15.5.9")
    ],
    "length: less than comes": [
        Why(STRICTER, HAPROXY, "the rest is no request: its method has small letters", "9112 3.1")
    ],
    "length: and coding": [Why(STRICTER, HAPROXY, "both lengths are an attempt to smuggle", "9112 6.1")],
    "coding: other": [Why(STATUS, NGINX, "400: no length is certain; nginx says 501", "9112 6.1")],
    "coding: obscured": [
        Why(STRICTER, HAPROXY, "a list with an empty element; the coding is the one word", "9112 6.1"),
        Why(STATUS, NGINX, "400: no length is certain; nginx says 501", "9112 6.1"),
    ],
    "coding: twice": [Why(STATUS, NGINX, "400: no length is certain; nginx says 501", "9112 6.1")],
    "coding: spelt otherwise": [
        Why(STRICTER, HAPROXY, "a tab behind the word: llhttp says no, and both judges have to agree", "9112 6.1"),
        Why(STATUS, NGINX, "nginx says 501 to it", "9112 6.1"),
    ],
    "body: not said": [Why(STRICTER, HAPROXY, "the body is no request: its method has small letters", "9112 6.3")],
    "chunks: space around the size": [Why(STRICTER, BOTH, "no white space around a size", "9112 7.1")],
    "chunks: zeros in front": [Why(STRICTER, BOTH, "15 digits are enough for a size", "9112 7.1")],
    "chunks: bare LF": [Why(STRICTER, BOTH, _LF, "9112 7.1")],
    "chunks: wrong end": [Why(STRICTER, BOTH, "CRLF behind the data; LF alone is not taken for it", "9112 7.1")],
    "chunks: control character in an extension": [Why(STRICTER, BOTH, _CONTROLS, "9112 7.1.1")],
    "chunks: long extension": [Why(STRICTER, BOTH, "1 KiB at most: extensions have no other limit", "9112 7.1.1")],
    "chunks: no end": [Why(STRICTER, NGINX, "what follows stands where trailers do, and is none", "9112 7.1.2")],
    "trailer: plain": [Why(TRAILERS, NGINX, _BEHIND, "9110 6.5")],
    "trailer: frames": [
        Why(TRAILERS, HAPROXY, "fields that frame or route have no place behind a body, and stay here", "9110 6.5.1")
    ],
    "trailer: for a head": [
        Why(TRAILERS, HAPROXY, "who asks, and what the content is, is said in the head or not at all", "9110 6.5.1")
    ],
    "trailer: many": [Why(STRICTER, BOTH, "64 trailers at most, said with 431", "6585 5")],
    "trailer: malformed": [Why(STRICTER, BOTH, "trailers are fields, and checked like them", "9112 7.1.2")],
    "trailer: large": [
        Why(STRICTER, BOTH, "8 KiB of trailers at most, said with 431", "6585 5"),
        Why(TRAILERS, NGINX, _BEHIND, "9110 6.5"),
    ],
    "ends of lines: LF alone": [Why(STRICTER, BOTH, _LF, "9112 2.2")],
    "empty line first, LF alone": [Why(STRICTER, BOTH, _LF, "9112 2.2")],
    "empty lines first": [Why(STRICTER, BOTH, "one empty line is let pass, for old clients", "9112 2.2")],
    "other protocols": [Why(STATUS, BOTH, "505 to the preface of HTTP/2", "9113 3.4")],
    "pipelined, the second is bad": [Why(STRICTER, HAPROXY, "one Host, also when both say the same", "9112 3.2")],
    "head: no end": [Why(STRICTER, HAPROXY, "what follows makes two Hosts of one", "9112 3.2")],
}
"""Tag -> why we differ there, with RFC and section."""


class Difference(NamedTuple):
    case: Case
    rival: str
    kind: str | None
    """None: the two have framed it differently."""
    ours: Outcome
    theirs: Outcome

    @property
    def reasons(self) -> list[tuple[str, Why]]:
        return [
            (tag, why)
            for tag in sorted(self.case.tags)
            for why in EXPLAINED.get(tag, ())
            if why.kind == self.kind and self.rival in why.whom
        ]

    def __str__(self) -> str:
        kind = self.kind or "framed differently"
        sides = f"  ours   {self.ours}\n  theirs {self.theirs}"
        return f"{self.case.name}, {self.rival}: {kind}\n  {self.case.wire[:400]!r}\n{sides}"


def compare(ours: Outcome, theirs: Outcome) -> tuple[bool, str | None]:
    """Whether they differ, and how."""
    if ours.seen == theirs.seen:
        if [one // 100 for one in ours.statuses] != [one // 100 for one in theirs.statuses]:
            return True, STATUS
        return ours.trailers != theirs.trailers, TRAILERS
    if ours.seen == theirs.seen[: len(ours.seen)]:
        return True, STRICTER
    if theirs.seen == ours.seen[: len(theirs.seen)]:
        return True, LAXER
    return True, None


class Results(NamedTuple):
    cases: list[Case]
    outcomes: list[dict[str, Outcome]]
    differences: list[Difference]
    versions: tuple[str, ...]


def differences(case: Case, outcome: dict[str, Outcome]) -> list[Difference]:
    found = []
    for rival in BOTH:
        differ, kind = compare(outcome["ours"], outcome[rival])
        if differ:
            found.append(Difference(case, rival, kind, outcome["ours"], outcome[rival]))
    return found


async def run(directory: Path) -> Results:
    cases = handmade() + generated(MIXTURES)
    outcomes: list[dict[str, Outcome]] = [{} for _ in cases]

    async def work(name: str, lane: Lane, waiting: list[int], patience: float) -> None:
        while waiting:
            number = waiting.pop()
            outcomes[number][name] = await lane.run(cases[number].wire + CANARY, patience)

    async def all_of(numbers: list[int], patience: float) -> None:
        async with asyncio.TaskGroup() as group:
            for name in NAMES:
                waiting = list(numbers)
                for number, lane in enumerate(lanes[name]):
                    group.create_task(work(name, lane, waiting, patience), name=f"{name} {number}")

    async with rivals(directory) as lanes:
        await all_of(list(range(len(cases))), PATIENCE)
        odd = [
            number
            for number, case in enumerate(cases)
            if not all(one.reasons for one in differences(case, outcomes[number]))
        ]
        await all_of(odd, AGAIN)
    found = [one for case, outcome in zip(cases, outcomes, strict=True) for one in differences(case, outcome)]
    return Results(cases, outcomes, found, await versions())


@pytest.fixture(scope="module")
def results() -> Iterator[Results]:
    # Paths of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix="rivals-") as directory:
        yield uvloop.run(run(Path(directory)))


def test_there_are_hundreds_of_odd_requests_and_most_are_judged_alike(results: Results) -> None:
    assert len({case.wire for case in results.cases}) >= 500
    same = sum(not differences(case, outcome) for case, outcome in zip(results.cases, results.outcomes, strict=True))
    passed = sum(len(outcome["ours"].seen) > 1 for outcome in results.outcomes)
    assert same > 150 and 100 < passed < len(results.cases) - 100


def test_each_difference_has_its_reason(results: Results) -> None:
    unexplained = [str(one) for one in results.differences if not one.reasons]
    assert not unexplained, "\n".join(unexplained)


def test_each_reason_explains_something(results: Results) -> None:
    tags = {tag for case in results.cases for tag in case.tags}
    assert set(EXPLAINED) <= tags
    if results.versions != WRITTEN_FOR:
        # Later ones may have become as strict.
        return
    used = {(tag, why.kind, one.rival) for one in results.differences for tag, why in one.reasons}
    table = {(tag, why.kind, rival) for tag, reasons in EXPLAINED.items() for why in reasons for rival in why.whom}
    assert table == used


def test_nothing_passes_that_both_others_refuse(results: Results) -> None:
    for case, outcome in zip(results.cases, results.outcomes, strict=True):
        most = max(len(outcome[rival].seen) for rival in BOTH)
        assert len(outcome["ours"].seen) <= most, (case, outcome)


def test_what_passes_begins_and_ends_where_it_does_elsewhere(results: Results) -> None:
    wrong = [str(one) for one in results.differences if one.kind is None]
    assert not wrong, "\n".join(wrong)


def test_what_is_passed_on_can_be_read_in_one_way(results: Results) -> None:
    for case, outcome in zip(results.cases, results.outcomes, strict=True):
        assert not outcome["ours"].unclear, (case, outcome)


def test_after_a_refusal_the_connection_ends(results: Results) -> None:
    for case, outcome in zip(results.cases, results.outcomes, strict=True):
        ours = outcome["ours"]
        if ours.statuses and ours.statuses[-1] >= 400:
            assert ours.ended and not any(one.target == b"/canary" for one in ours.seen), (case, outcome)
