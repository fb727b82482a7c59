"""Small pictures: true to the numbers, whole without them, and nothing but presentation attributes."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, fromstring

import pytest
from markupsafe import Markup

from minipaas.surface import spark


def read(picture: Markup) -> Element:
    return fromstring(picture)  # noqa: S314 - made here


def stroke(picture: Markup) -> str:
    """The line, without what lies outside of the picture."""
    lines = re.findall(r'class="stroke" d="([^"]*)"', picture)
    if not lines:
        runs = re.findall(r'<path d="M-3 (\d+)h3(.*?)h(\d+)V23H-3z"', picture)
        lines = [f"M0 {y}{steps}h{int(flat) - 3}" for y, steps, flat in runs]
    return "".join(lines)


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([0, 1, 2], "M0 19l1 -9l1 -9h0"),
        ([1, 1, 1, 1], "M0 1h3"),
        ([0, 0, 2, 2], "M0 19h1l1 -18h1"),
        ([None, 1, 1, None, 1], "M1 1h1M4 1h0"),
        ([None, None], ""),
        ([], ""),
        ([5], "M0 1h0"),
    ],
)
def test_a_line_has_its_values_and_its_gaps(values: list[float | None], path: str) -> None:
    assert stroke(spark.line(values)) == path


def test_beside_a_gap_the_area_ends_there() -> None:
    picture = spark.line([None, 1, 1, None, 1, 1])
    assert re.findall(r'class="area" d="([^"]*)"', picture) == ["M1 1h1V23H1zM4 1h4V23H4z"]


def test_noise_stays_low() -> None:
    assert stroke(spark.line([0.001, 0.002, 0.001], least=1.0)) == "M0 19h2"
    assert stroke(spark.line([0.001, 0.002, 0.001])) != "M0 19h2"


@pytest.mark.parametrize("values", [[float("nan")], [float("inf"), 1.0], [-1.0, -2.0], [1e308, 1e-308]])
def test_odd_numbers_stay_inside_the_picture(values: list[float]) -> None:
    heights = [int(number) for number in re.findall(r"M\d+ (-?\d+)", stroke(spark.line(values)))]
    assert all(0 <= height <= spark.HEIGHT for height in heights)


def test_a_strip_tells_what_is_worse_by_height_and_says_all_in_words() -> None:
    picture = spark.strip(["good", "bad", "none", "good"], 'Last "24" hours: <well>')
    root = read(picture)
    cells = {path.attrib["class"]: path.attrib["d"] for path in root}
    heights = {tone: int(re.findall(r"v-(\d+)", d)[0]) for tone, d in cells.items()}
    assert heights["bad"] > heights["good"] > heights["none"]
    assert re.findall(r"M(\d+) ", cells["good"]) == ["0", "12"]
    assert root.attrib["aria-label"] == 'Last "24" hours: <well>'


@pytest.mark.parametrize(("share", "width"), [(0, "0"), (0.5, "50"), (1.2, "100"), (-1, "0"), (float("nan"), "0")])
def test_a_bar(share: float, width: str) -> None:
    assert read(spark.bar(share))[1].attrib["width"] == width


@pytest.mark.parametrize("picture", [spark.line([1, None, 2]), spark.strip(["good"] * 48, "x"), spark.bar(0.3)])
def test_the_policy_allows_all_of_it_and_it_is_small(picture: Markup) -> None:
    for node in read(picture).iter():
        assert "style" not in node.attrib
        assert not any(name.startswith("on") for name in node.attrib)
    assert len(picture) < 4000
