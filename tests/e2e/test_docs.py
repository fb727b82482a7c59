"""The documentation is true: every block marked `<!-- run -->` runs, in order, as a reader would type it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.box import EXAMPLES, REPO, Box
from kit.podman import PrivatePodman

DOCUMENTS = ("README.md",)
BLOCK = re.compile(r"<!-- run -->\n```(?:sh|console)\n(.*?)```", re.DOTALL)


def commands(text: str) -> list[str]:
    """What a reader types: whole `sh` blocks, and the `$ ` lines of `console` blocks."""
    found = []
    for block in BLOCK.findall(text):
        typed = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        found.append("\n".join(typed) if typed else block)
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_written_works(name: str, boxes: Callable[..., Box], workshop: PrivatePodman, tmp_path: Path) -> None:
    blocks = commands((REPO / name).read_text())
    assert blocks, f"{name} has no block that is run"
    box = boxes()
    box.start()
    (tmp_path / "examples").symlink_to(EXAMPLES)
    env = box.program.environment(
        MINIPAAS_HOST=box.url, CONTAINER_HOST=workshop.url, PATH=f"{REPO}/.venv/bin:{os.environ['PATH']}"
    )
    # the documents name the usual ports; this box has free ones
    script = "\n".join(["set -e", *blocks]).replace(":8080/", f":{box.ingress}/").replace(":7070/", f":{box.page}/")
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, f"{script}\n---\n{ran.stdout}{ran.stderr}\n{box.story()}"


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in (REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))):
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} points at {target}"
