"""`minipaas doctor`: what is wrong, with the mend; the exit code says whether anything is bad."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakepodman.server import FakePodman


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Podman that answers, and no box."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with FakePodman(tmp_path) as fake:
        monkeypatch.setenv("CONTAINER_HOST", f"unix://{fake.socket}")
        yield fake


def test_the_table_and_json_say_the_same(podman: FakePodman, minipaas: Callable[..., Any]) -> None:
    told, shown = minipaas("doctor", "--json"), minipaas("doctor")
    said = json.loads(told.out)
    names = {one["name"] for one in said["findings"]}
    assert {"kernel", "clock", "podman", "runtime", "network", "data directory", "program"} <= names
    assert told.code == shown.code == (0 if said["well"] else 1)
    assert said["well"] == all(one["level"] != "bad" for one in said["findings"])
    for one in said["findings"]:
        assert one["name"] in shown.out
        if one["level"] != "ok":
            assert one["mend"], one
            assert f"{one['name']}: {one['mend']}" in shown.out
    found = next(one for one in said["findings"] if one["name"] == "podman")
    assert (found["level"], podman.socket in found["says"]) == ("ok", True)


def test_the_worst_comes_first(podman: FakePodman, minipaas: Callable[..., Any]) -> None:
    levels = [one["level"] for one in json.loads(minipaas("doctor", "--json").out)["findings"]]
    assert levels == sorted(levels, key=["bad", "warn", "ok"].index)


def test_podman_that_nobody_answers_for(
    tmp_path: Path, minipaas: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINER_HOST", f"unix://{tmp_path}/none.sock")
    done = minipaas("doctor")
    assert done.code == 1
    assert f"cannot reach Podman: no socket at {tmp_path}/none.sock" in done.out
    assert "\npodman: " in done.out
