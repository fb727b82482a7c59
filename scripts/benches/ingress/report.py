"""What was measured: a table a case, then the targets; or JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.words import say

from benches.ingress.cases import CASES, Case, Figures, Target
from benches.ingress.peers import OURS

WIDE = 10
RATIOS = {"req/s": ("nginx", "caddy"), "p99 ms": ("nginx",), "CPU s": ("nginx",)}
"""Columns that are also shown as ratios to others."""


@dataclass
class Report:
    """Case -> proxy -> its figures."""

    host: str
    cores: str
    versions: Mapping[str, str]
    rounds: int
    seconds: float
    figures: dict[str, dict[str, Figures]] = field(default_factory=dict)

    def add(self, case: str, peer: str, columns: Mapping[str, float]) -> None:
        """One round."""
        of_peer = self.figures.setdefault(case, {}).setdefault(peer, {})
        for column, value in columns.items():
            of_peer.setdefault(column, []).append(value)

    def value(self, case: str, peer: str, column: str) -> float:
        """The median of all rounds."""
        return statistics.median(self.figures[case][peer][column])

    def ratio(self, case: str, peer: str, column: str, beside: str) -> float:
        """The median of the ratios within a round: what disturbs one round disturbs both."""
        ours, theirs = (self.figures[case][name][column] for name in (peer, beside))
        return statistics.median(a / b if b else 0.0 for a, b in zip(ours, theirs, strict=True))

    def reached(self, case: str, target: Target) -> float | None:
        """What ours has reached; None: not measured."""
        of_case = self.figures.get(case, {})
        if OURS not in of_case or (target.beside and target.beside not in of_case):
            return None
        if target.beside:
            return self.ratio(case, OURS, target.column, target.beside)
        return self.value(case, OURS, target.column)

    def verdicts(self) -> list[tuple[str, Target, float]]:
        """Each target of what was measured, with what was reached."""
        rows = [(name, target, self.reached(name, target)) for name in self.figures for target in CASES[name].targets]
        return [(name, target, value) for name, target, value in rows if value is not None]

    @property
    def good(self) -> bool:
        return all(target.met(value, target.must) for _, target, value in self.verdicts())

    # -- for people

    def show(self) -> None:
        say(f"{self.host}; {self.cores}")
        say(f"{self.rounds} rounds of {self.seconds:g} s in turn, medians; CPU s: seconds of CPU for 100,000 requests")
        for name in self.figures:
            self._case(name, CASES[name])
        say()
        verdicts = self.verdicts()
        wide = max((len(CASES[name].title) for name, _, _ in verdicts), default=0)
        for name, target, value in verdicts:
            word = "aim reached" if target.met(value, target.aim) else "reached"
            word = word if target.met(value, target.must) else "MISSED"
            unit, sign = f"x {target.beside}" if target.beside else "", "<=" if target.most else ">="
            limits = f"must be {sign} {target.must:g}, aim {target.aim:g}"
            line = f"{CASES[name].title:{wide}}  {target.column:>7}  {value:7.3g} {unit:8}  {limits:28}  {word:11}"
            say(f"{line}{self._by_cpu(name, target)}".rstrip())

    def _by_cpu(self, name: str, target: Target) -> str:
        """The ratio of rates that the CPU time of both gives: what it would be with the core to themselves."""
        if target.column != "req/s" or not target.beside:
            return ""
        return f"  by CPU time {self.ratio(name, target.beside, 'CPU s', OURS):.3g} x"

    def _case(self, name: str, case: Case) -> None:
        peers = self.figures[name]
        ratios = [(column, one) for column in case.columns for one in RATIOS.get(column, ()) if one in peers]
        heads = [*case.columns, *(f"{column.split()[0]}/{other}" for column, other in ratios)]
        say()
        say(f"{case.title}")
        say(" " * 22 + "".join(f"{head:>{max(WIDE, len(head) + 2)}}" for head in heads))
        for peer, figures in peers.items():
            cells = [_number(self.value(name, peer, column)) for column in case.columns]
            cells += [f"{self.ratio(name, peer, column, other):.2f}" for column, other in ratios]
            row = "".join(f"{cell:>{max(WIDE, len(head) + 2)}}" for cell, head in zip(cells, heads, strict=True))
            say(f"  {f'{peer} {self.versions.get(peer, str())}':20}{row}{_remark(figures)}")

    # -- for programs

    def as_dict(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "cores": self.cores,
            "versions": dict(self.versions),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "cases": {name: {"title": CASES[name].title, "figures": peers} for name, peers in self.figures.items()},
            "targets": [
                {
                    "case": name,
                    "column": target.column,
                    "beside": target.beside,
                    "measured": value,
                    "must": target.must,
                    "aim": target.aim,
                    "reached": target.met(value, target.must),
                    "aim_reached": target.met(value, target.aim),
                }
                for name, target, value in self.verdicts()
            ],
        }

    def print(self, as_json: bool) -> None:
        if as_json:
            say(json.dumps(self.as_dict(), indent=2))
        else:
            self.show()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _remark(figures: Figures) -> str:
    """What makes a row doubtful."""
    owed, late = (max(figures.get(column, [0.0])) for column in ("owed", "late"))
    if owed > 0.1:
        return f"  could not keep up in one round: {owed:.1f} % were not sent"
    return f"  the load itself was {late:.1f} ms late (p99)" if late > 1 else ""
