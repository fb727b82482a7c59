"""`scripts/bench ingress`: it runs, and its verdicts are those of the figures."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from benches.ingress.cases import CASES
from benches.ingress.report import Report

BENCH = Path(__file__).parents[2] / "scripts/bench.py"


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for that of a socket in it (unix(7): 108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


def test_it_measures_ours_beside_another_and_leaves_nothing_behind(short: Path) -> None:
    words = ["ingress", "--quick", "--json", "--peer", "nginx", "--case", "small", "--case", "websocket"]
    ran = subprocess.run(
        [sys.executable, str(BENCH), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "TMPDIR": str(short)},
    )
    assert ran.stdout, ran.stderr  # the exit code may tell of a missed target, as may be on a busy machine
    report = json.loads(ran.stdout)
    for case in ("small", "websocket"):
        for peer in ("minipaas", "nginx"):
            figures = report["cases"][case]["figures"][peer]
            assert figures["req/s"][0] > 10
            assert 0 < figures["p50 ms"][0] <= figures["p99 ms"][0]
            assert figures["CPU s"][0] > 0 and figures["MB"][0] > 1
    assert [(one["case"], one["beside"]) for one in report["targets"]] == [("small", "nginx")]
    assert list(short.iterdir()) == []


def test_a_proxy_that_is_not_there_is_named() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from benches.ingress.started import tool; tool('no-such-proxy')"],
        cwd=BENCH.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "no-such-proxy is not installed; on Debian: apt-get install no-such-proxy" in ran.stderr


def report(**rates: tuple[float, ...]) -> Report:
    made = Report("host", "cores", {}, 1, 1.0)
    for peer, values in rates.items():
        for value in values:
            made.add("small", peer, {"req/s": value, "CPU s": 1.0})
    return made


@pytest.mark.parametrize(
    ("ours", "good", "aims"),
    [(80, True, [True, True]), (75, True, [False, False]), (59, False, [False, False])],
)
def test_a_verdict_is_by_ratio(ours: float, good: bool, aims: list[bool]) -> None:
    made = report(minipaas=(ours,), nginx=(100.0,), caddy=(26.0,))
    assert made.good is good
    assert [target.met(value, target.aim) for _, target, value in made.verdicts()] == aims


def test_a_disturbed_round_disturbs_both_sides_of_its_ratio() -> None:
    made = report(minipaas=(80.0, 8.0, 81.0), nginx=(100.0, 10.0, 100.0))
    assert made.ratio("small", "minipaas", "req/s", "nginx") == pytest.approx(0.8)


def test_what_was_not_measured_has_no_verdict() -> None:
    assert [target.beside for _, target, _ in report(minipaas=(80.0,), nginx=(100.0,)).verdicts()] == ["nginx"]


def test_less_is_better_where_the_target_says_most() -> None:
    (target,) = CASES["idle"].targets
    assert target.met(80.0, target.aim) and not target.met(151.0, target.must)
