"""This program as files: started again, and what its children find in their environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from minipaas import program


def test_the_words_start_it_again() -> None:
    done = subprocess.run([*program.command(), "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("minipaas ")


def test_from_the_sources() -> None:
    assert (program.form(), program.tree()) == (program.Form.SOURCES, None)


@pytest.mark.parametrize(
    ("started", "left"),
    [
        ({"PATH": "/bin"}, {"PATH": "/bin"}),
        ({"LD_LIBRARY_PATH": "/opt/m/lib/parts"}, {}),
        ({"LD_LIBRARY_PATH": "/opt/m/lib/parts:/opt/m/lib/glibc"}, {}),
        ({"LD_LIBRARY_PATH": "/opt/m/lib/parts:/usr/local/cuda"}, {"LD_LIBRARY_PATH": "/usr/local/cuda"}),
        ({"LD_LIBRARY_PATH": "/opt/mine/lib:/opt/m2/lib"}, {"LD_LIBRARY_PATH": "/opt/mine/lib:/opt/m2/lib"}),
        ({"LD_LIBRARY_PATH_ORIG": "/a", "LD_LIBRARY_PATH": "/opt/m/lib/parts:/a"}, {"LD_LIBRARY_PATH": "/a"}),
        ({"_PYI_ARCHIVE_FILE": "/opt/m/lib/minipaas", "_PYI_PARENT_PROCESS_LEVEL": "1"}, {}),
        ({"_MINIPAAS_FILE": "/root/minipaas", "MINIPAAS_HOST": "unix:///x"}, {"MINIPAAS_HOST": "unix:///x"}),
        ({"LD_LIBRARY_PATH": ""}, {}),
    ],
)
def test_children_get_the_environment_of_the_caller(started: dict[str, str], left: dict[str, str]) -> None:
    environment = dict(started)
    program.clean(environment, Path("/opt/m"))
    assert environment == left
