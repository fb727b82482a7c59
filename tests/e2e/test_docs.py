"""The documentation is true: whatever a reader could type there, a test types."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.box import EXAMPLES, REPO, Author, Box, free_port, prepare
from kit.podman import PrivatePodman

from tests.e2e.books import blocks, documents, script

TOLD = {document: document.relative_to(REPO).as_posix() for document in documents()}
RUN = [document for document in TOLD if script(document)]


@pytest.mark.parametrize("document", RUN, ids=TOLD.get)
def test_what_is_written_works(
    document: Path, boxes: Callable[..., Box], author: Author, workshop: PrivatePodman, tmp_path: Path
) -> None:
    box = boxes()
    box.start()
    mqtt = free_port()
    if document.parent.parent == EXAMPLES:
        prepare(document.parent.name, workshop)  # what takes long is done once for all tests
        where = _copied(document.parent, tmp_path, author)
        spec = where / "app.toml"
        spec.write_text(spec.read_text().replace("listen = 1883", f"listen = {mqtt}, port = 1883"))
        box.cli("trust", "add", author.root)
    else:
        where = tmp_path
        (where / "examples").symlink_to(EXAMPLES)
    env = box.program.environment(
        MINIPAAS_HOST=box.url,
        CONTAINER_HOST=workshop.url,
        BOX_PODMAN=shlex.join(box.program.podman.command),
        PATH=f"{REPO}/.venv/bin:{os.environ['PATH']}",
    )
    # the documents name the usual ports and places; this box has its own
    usual = {":8080/": f":{box.ingress}/", ":7070": f":{box.page}", "/var/lib/minipaas/": f"{box.data}/"}
    usual |= {":/tmp/": ":/tmp/"}  # inside an instance
    usual |= {"/tmp/": f"{tmp_path}/", "/backup/": f"{tmp_path}/", "mosquitto_pub ": f"mosquitto_pub -p {mqtt} "}
    typed = re.sub("|".join(usual), lambda found: usual[found[0]], f"set -e\n{script(document)}")
    ran = subprocess.run(
        ["bash", "-c", typed],
        cwd=where,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, f"{typed}\n---\n{ran.stdout}{ran.stderr}\n{box.story()}"


def _copied(example: Path, tmp_path: Path, author: Author) -> Path:
    """The directory of an example beside those of the others, with the author's keys in it."""
    where = shutil.copytree(EXAMPLES, tmp_path / "examples", symlinks=True) / example.name
    for key in (author.key, author.root):
        shutil.copy2(key, where)
    return where


def test_every_block_with_a_name_is_run_by_a_test() -> None:
    tests = [path.read_text() for path in (REPO / "tests").rglob("test_*.py")]
    for document, told in TOLD.items():
        for one in blocks(document):
            if one.name:
                assert any(document.name in text and f'"{one.name}"' in text for text in tests), f"{told}: {one.name}"


def test_no_command_stands_where_nobody_runs_it() -> None:
    for document, told in TOLD.items():
        typed = [line for one in blocks(document) for line in one.typed.splitlines()]
        for line in document.read_text().splitlines():
            if re.match(r"(    |\t)(\$ )?(sudo |./|scripts/|minipaas |curl |podman |systemctl )", line):
                assert line in typed, f"{told}: put this into a block that is run: {line.strip()}"


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document, told in TOLD.items():
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{told} points at {target}"
