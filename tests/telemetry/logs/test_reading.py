"""Following piece by piece: whatever lies in pieces, is stored meanwhile or goes, comes once and in order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from minipaas.model.logs import Wanted
from minipaas.telemetry.logs.reading import Place, Reading
from tests.telemetry.logs.conmon import Conmon, source
from tests.telemetry.logs.test_intake import Box


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("most", [1, 7, 500])
def test_every_line_comes_once(tmp_path: Path, seed: int, most: int) -> None:
    chance = random.Random(seed)
    box = Box(tmp_path)
    writers = [Conmon(tmp_path / f"{name}.log") for name in "ab"]
    sources = [source(name, service=name) for name in "ab"]
    for one, writer in zip(sources, writers, strict=True):
        box.follow(one, writer)
    place, wanted = Place({}, 0), Wanted()
    written: list[str] = []
    told: list[str] = []

    def look() -> None:
        more = True
        while more:
            tails = list(box.intake.tails.values())
            found = Reading(tmp_path / "logs" / "shop", tails, box.intake.gone.get("shop", ())).after(
                wanted, place, most
            )
            told.extend(line.text.decode() for line in found.lines)
            more = found.more

    for number in range(80):
        writer = chance.choice(writers)
        text = f"line {number}"
        stream = chance.choice(["stdout", "stderr"])
        if chance.random() < 0.3:
            writer.write(text[:3], stream=stream, tag="P")
            other = "stderr" if stream == "stdout" else "stdout"
            for extra in range(chance.randrange(3)):
                writer.write(f"between {number}.{extra}", stream=other)
                written.append(f"between {number}.{extra}")
            if chance.random() < 0.5:
                box.round(force=chance.random() < 0.3)
                look()
            writer.write(text[3:], stream=stream)
        else:
            writer.write(text, stream=stream)
        written.append(text)
        box.round(force=chance.random() < 0.1)
        if chance.random() < 0.4:
            look()
        if number == 60:
            box.wanted.pop("b")
            writers.pop()
    box.round()
    look()
    assert sorted(told) == sorted(written)
    assert sorted(box.lines()) == sorted(written)
