"""The lines of one batch, parted into those that a destination takes and those that it refuses. Pure.

When a whole request is refused (400, 413, 422), halves of it are sent, and halves of these, until a refused line is
alone; that costs a bounded number of requests. What always holds: a destination that refuses everything and says of no
single line why is not believed; more likely its address or its settings are wrong, so nothing is passed over then.
"""

from __future__ import annotations

from collections.abc import Sequence

from minipaas.model.logs import Line
from minipaas.telemetry import limits
from minipaas.telemetry.shipping.answer import Answer


class Parting:
    """`proven`: the destination has taken lines before, in the life of this process."""

    def __init__(self, lines: Sequence[Line], *, proven: bool) -> None:
        self.refused = 0
        self.why = ""
        """Of the first that was refused."""
        self.taken = False
        self._left = [lines]
        self._alone = proven and len(lines) == 1
        self._told = False
        self._splits = limits.SHIP_SPLITS
        self._refusals = 0

    def next(self) -> Sequence[Line] | None:
        """What is to be sent now; None: nothing more."""
        return self._left.pop() if self._left and not self._hopeless else None

    def note(self, lines: Sequence[Line], answer: Answer) -> None:
        """What came of it."""
        self.why = self.why or answer.why
        if not answer.split:
            self.taken = self.taken or len(lines) > answer.refused + len(answer.again)
            self._told = self._told or answer.refused > 0
            self.refused += answer.refused
            if answer.again:
                self._left.append(answer.again)
            return
        self._refusals += 1
        if len(lines) > 1 and self._splits > 0:
            self._splits -= 1
            half = len(lines) // 2
            self._left += [lines[half:], lines[:half]]
        else:
            self.refused += len(lines)

    @property
    def doubtful(self) -> bool:
        """Whether this is more likely to be the destination's fault than that of all these lines."""
        return self._refusals > 0 and not (self.taken or self._told or self._alone)

    @property
    def _hopeless(self) -> bool:
        return self.doubtful and self._refusals >= limits.SHIP_DOUBTS
