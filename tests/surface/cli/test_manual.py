"""The manual has every command with every option, and man(1) can show it."""

from __future__ import annotations

import shutil
import subprocess

import click
import pytest

from minipaas.surface.cli.main import EXIT_CODES, INTERRUPTED
from minipaas.surface.cli.manual import EXIT_STATUS, entries
from tests.surface.cli.test_help import EVERYTHING

DOING = {
    path: command
    for path, command in EVERYTHING.items()
    if not isinstance(command, click.Group) or command.invoke_without_command
}


def test_every_command_is_in_it_with_every_option():
    told = {entry.path: entry for entry in entries()}
    assert set(told) == set(DOING)
    for path, command in DOING.items():
        named = " ".join(how for how, _ in told[path].options)
        assert all(name in named for param in command.params if isinstance(param, click.Option) for name in param.opts)


def test_it_has_the_exit_codes_of_the_program():
    assert {code for code, _ in EXIT_STATUS} == {0, INTERRUPTED, *EXIT_CODES.values()}


def test_into_a_pipe_it_is_a_man_page_that_groff_renders_without_a_warning(minipaas):
    done = minipaas("man")
    assert (done.code, done.err) == (0, "")
    assert shutil.which("groff"), "this test needs groff (Debian package groff-base)"
    shown = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou"], input=done.out.encode(), capture_output=True, check=True
    )
    text = shown.stdout.decode()
    assert shown.stderr == b""
    for title in ("NAME", "SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "FILES", "minipaas deploy"):
        assert title in text


@pytest.mark.parametrize("hostile", ["-", ".", "\\", "'"])
def test_no_text_is_taken_for_a_macro(minipaas, hostile):
    for line in minipaas("man").out.splitlines():
        if line.startswith(hostile):
            assert line.split(" ")[0] in {".TH", ".SH", ".SS", ".PP", ".TP", ".B"} or line.startswith(
                ("\\&", "\\-", "\\(")
            ), line
