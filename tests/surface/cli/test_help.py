"""Every command explains itself."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from minipaas.surface.cli.main import COMMANDS, cli


def tree(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, f"{name} is listed and not there"
            yield from tree(found, (*path, name))


EVERYTHING = dict(tree(cli))


@pytest.mark.parametrize("path", EVERYTHING, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(minipaas, path, flag):
    done = minipaas(*path, flag)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: {' '.join(('minipaas', *path))}")
    command = EVERYTHING[path]
    assert command.help, "says what it is for"
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{option.name} says what it is for"


def test_the_overview_names_every_command(minipaas):
    told = minipaas("--help").out
    for name, (_, purpose) in COMMANDS.items():
        assert name in told
        assert purpose.split()[0] in told


@pytest.mark.parametrize("path", [(), ("trust",), ("token",)])
def test_a_group_alone_shows_its_help(minipaas, path):
    done = minipaas(*path)
    assert (done.code, done.out) == (2, "")
    assert done.err == minipaas(*path, "--help").out


def test_version(minipaas):
    done = minipaas("--version")
    assert (done.code, done.out.split()[0]) == (0, "minipaas")


READING = ["status", "top", "changes", "logs", "audit", "version", "trust list", "trust show", "token list"]


@pytest.mark.parametrize("name", READING)
def test_every_reading_command_takes_json(name):
    options = [option for param in EVERYTHING[tuple(name.split())].params for option in param.opts]
    assert "--json" in options


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(minipaas, shell):
    done = minipaas("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "_MINIPAAS_COMPLETE" in done.out
