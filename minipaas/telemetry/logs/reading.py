"""Lines out of segments and out of what is not stored yet, for whoever asks. May run on any thread.

What is not stored is looked at first, under the tail's lock; a block that is stored in the meantime is then left out,
so every line is found once.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from minipaas.model.errors import Deadline
from minipaas.model.logs import Found, Line, Source, Wanted
from minipaas.telemetry import limits
from minipaas.telemetry.logs.filter import Filter
from minipaas.telemetry.logs.lines import has_pieces, read
from minipaas.telemetry.logs.segment import Block, Reader
from minipaas.telemetry.logs.shelf import readers
from minipaas.telemetry.logs.tail import Tail


class Reading:
    """The lines of one app. `tails`: of its containers that are there; `gone`: those that were, lately."""

    def __init__(self, directory: Path, tails: Iterable[Tail], gone: Iterable[str] = ()) -> None:
        self._directory = directory
        self._tails = list(tails)
        self._gone = frozenset(gone)

    def newest(self, wanted: Wanted, most: int) -> Found:
        """The last `most` lines that are wanted. Raises Deadline."""
        fits = Filter(wanted)
        due = time.monotonic() + limits.LOG_SEARCH
        best = _Newest(most)
        begins, ends = {}, {}
        for tail in self._tails:
            container = tail.source.container
            begins[container], lines, ends[container] = tail.pending(0)
            if fits.of_source(tail.source):
                best.add(line for line in lines if fits.fits(line))
        for reader in readers(self._directory):
            sources = {key: one for key, one in reader.sources().items() if fits.of_source(one)}
            for block in reader.blocks(sources, fits.match, fits.since, fits.until):
                if best.full and block.last < best.oldest:
                    best.more = True
                    break
                if block.at >= begins.get(block.source.container, block.at + 1):
                    continue
                best.add(_lines(reader, block, fits))
                if time.monotonic() > due:
                    raise Deadline(
                        f"cannot search the log of {self._directory.name}: not done within {limits.LOG_SEARCH:g} s",
                        hint="narrow it down: --since, --until, a service, or words instead of a part of a word",
                        code="logs.slow",
                    )
        return Found(lines=best.lines(), ends=ends, more=best.more)

    def sources(self, most: int) -> list[Source]:
        """The containers that have lines here: those that are there, then those that are gone, the latest first."""
        found = {tail.source.container: tail.source for tail in self._tails}
        for reader in readers(self._directory):
            if len(found) >= most:
                break
            known = reader.sources()
            for row in sorted(known, reverse=True):
                found.setdefault(known[row].container, known[row])
        return list(found.values())[:most]

    def after(self, wanted: Wanted, reader: Place, most: int) -> Found:
        """At most about `most` lines behind the place that a reader has reached, in the order of each container; the
        place goes with them."""
        fits = Filter(wanted)
        ends = reader.ends
        found: list[Line] = []
        begins = {tail.source.container: tail.position.end for tail in self._tails if fits.of_source(tail.source)}
        present = {tail.source.container for tail in self._tails}
        gone = ({*self._gone, *ends} - present) - reader.settled
        if gone or reader.comes_back or any(ends.get(key, 0) < begin for key, begin in begins.items()):
            if not self._from_segments(fits, reader, most, found):
                return Found(lines=tuple(found), ends=dict(ends), more=True)
            reader.settled |= gone
            reader.comes_back = False
            for key, begin in begins.items():
                ends[key] = max(begin, ends.get(key, 0))
        more = False
        for tail in self._tails:
            container = tail.source.container
            if container not in begins:
                continue
            begin, lines, end = tail.pending(ends.get(container, 0))
            if ends.get(container, 0) < begin:
                more = True  # stored since we looked: the next time
                continue
            fitting = [line for line in lines if reader.wants(line) and fits.fits(line)]
            if len(fitting) > most:
                fitting, more = fitting[:most], True
                end = fitting[-1].at + 1
            found += fitting
            ends[container] = max(end, ends.get(container, 0))
        return Found(lines=tuple(sorted(found, key=lambda line: line.order)), ends=dict(ends), more=more)

    def _from_segments(self, fits: Filter, reader: Place, most: int, found: list[Line]) -> bool:
        """What is kept behind the place. False: there is more of it."""
        for segment in readers(self._directory, oldest_first=True):
            for key, source in segment.sources().items():
                if not fits.of_source(source):
                    continue
                for block in segment.after(key, source, reader.ends.get(source.container, 0)):
                    if len(found) >= most:
                        return False
                    if block.last >= fits.since and (source.container in reader.named or block.last >= reader.since):
                        found += filter(reader.wants, _lines(segment, block, fits))
                    reader.ends[source.container] = block.ends
        return True


class Place:
    """How far a reader who follows an app has come: `ends` by container. `since`: of containers that the reader did not
    know when it began, nothing earlier is for it. `comes_back`: it was here before."""

    def __init__(self, ends: Mapping[str, int], since: int, *, comes_back: bool = False) -> None:
        self.ends = dict(ends)
        self.since = since
        self.comes_back = comes_back
        self.named = frozenset(ends)
        self.settled: set[str] = set()
        """Containers that are gone, and of which there is nothing left to tell."""

    def wants(self, line: Line) -> bool:
        """Whether this line is for it."""
        container = line.source.container
        return line.at >= self.ends.get(container, 0) and (container in self.named or line.time >= self.since)


def _lines(reader: Reader, block: Block, fits: Filter) -> Iterator[Line]:
    data = reader.data(block)
    if not fits.may_have(data) and not has_pieces(data):
        return
    for line in read(data, block.at, block.source):
        if fits.fits(line):
            yield line


class _Newest:
    """The last so many lines."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[tuple[int, str, int], Line]] = []
        self._bytes = 0
        self.more = False

    def add(self, lines: Iterable[Line]) -> None:
        for line in lines:
            heapq.heappush(self._heap, (line.order, line))
            self._bytes += len(line.text)
            while len(self._heap) > self._most or (self._bytes > limits.LOG_FOUND_BYTES and len(self._heap) > 1):
                self._bytes -= len(heapq.heappop(self._heap)[1].text)
                self.more = True

    @property
    def full(self) -> bool:
        return self.more or len(self._heap) >= self._most

    @property
    def oldest(self) -> int:
        return self._heap[0][0][0] if self._heap else 0

    def lines(self) -> tuple[Line, ...]:
        return tuple(line for _, line in sorted(self._heap, key=lambda one: one[0]))
