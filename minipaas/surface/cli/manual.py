"""The manual, made from the commands themselves: `--help`, the man page and docs/commands.md cannot disagree.

`page()` is roff for man(7); `markdown()` is docs/commands.md, which `scripts/docs` renews.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import click
from msgspec import Struct

from minipaas.surface.cli.main import COMMANDS, SECTIONS, cli

ENVIRONMENT = (
    ("MINIPAAS_HOST", "The box that commands talk to, as --to."),
    ("MINIPAAS_TOKEN", "The token for it, where the way in is not the Unix socket."),
    ("MINIPAAS_CA", "A PEM file, as --ca: the CA that signed the certificate of an https box."),
    ("MINIPAAS_DATA", "The data directory, as --data."),
    ("MINIPAAS_DEBUG", "Set to anything: an error also shows where in the program it happened."),
    ("CONTAINER_HOST", "Podman's socket, as for podman(1)."),
    ("NO_COLOR", "Set to anything: no colours, also on a terminal."),
)
FILES = (
    ("/etc/minipaas/config.toml", "What the operator sets. Every key may be left out."),
    ("/var/lib/minipaas", "The data of a box that runs as root: registry, images, socket, scratch space."),
    ("~/.local/share/minipaas", "The same for a box that runs as an ordinary user."),
)
EXIT_STATUS = (
    (0, "Done."),
    (1, "Failed; standard error says why."),
    (2, "Usage: the command line, a file or a value is malformed."),
    (3, "Refused: signature, trust, downgrade, policy, or not allowed to this caller."),
    (4, "There is no such thing."),
    (5, "The box cannot be reached."),
    (130, "Interrupted."),
)


class Entry(Struct, frozen=True, kw_only=True):
    """One command. `path`: its words without `minipaas`; `usage`: what follows them; `options`: (how, what for)."""

    path: tuple[str, ...]
    usage: str
    paragraphs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """As it is typed."""
        return " ".join(("minipaas", *self.path))


def entries() -> Iterator[Entry]:
    """Every command that does something, in the order of `--help`; groups only lead to theirs."""
    root = click.Context(cli, info_name="minipaas", **cli.context_settings)
    for name in COMMANDS:
        command = cli.get_command(root, name)
        if command is not None:
            yield from _entries(command, root, (name,))


def _entries(command: click.Command, parent: click.Context, path: tuple[str, ...]) -> Iterator[Entry]:
    context = click.Context(command, info_name=path[-1], parent=parent)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _entries(inner, context, (*path, name))
        if not command.invoke_without_command:
            return
    options = [param for param in command.get_params(context) if isinstance(param, click.Option)]
    records = [option.get_help_record(context) for option in options]
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    yield Entry(
        path=path,
        usage=" ".join(command.collect_usage_pieces(context)),
        paragraphs=tuple(part.replace("\b\n", "") for part in re.split(r"\n\s*\n", text) if part.strip("\b\n ")),
        options=tuple(record for record in records if record is not None and "--help" not in record[0]),
    )


def page() -> str:
    """The man page, section 1, in the macros of man(7). The same for the same program: it bears no date."""
    lines = [
        '.TH MINIPAAS 1 "" "minipaas" "minipaas"',
        ".SH NAME",
        "minipaas \\- signed app bundles in; hardened, routed and visible containers out",
        ".SH SYNOPSIS",
        ".B minipaas",
        "[\\-\\-version] [\\-\\-help] COMMAND [ARGUMENT...]",
        ".SH DESCRIPTION",
        _roff("One program for the author of an app, for the box that runs it, and for its operator."),
    ]
    for title, commands in SECTIONS.items():
        lines.append(f".SH {_roff(title.upper())}")
        for entry in entries():
            if entry.path[0] in commands:
                lines += _command(entry)
    for title, rows in (
        ("EXIT STATUS", [(str(code), said) for code, said in EXIT_STATUS]),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
    ):
        lines.append(f".SH {title}")
        for name, said in rows:
            lines += [".TP", f".B {_roff(name)}", _roff(said)]
    return "\n".join(lines) + "\n"


def _command(entry: Entry) -> list[str]:
    lines = [f".SS {_roff(f'{entry.title} {entry.usage}'.strip())}"]
    for index, text in enumerate(entry.paragraphs):
        lines += [*([".PP"] if index else []), _roff(" ".join(text.split()))]
    for how, what in entry.options:
        lines += [".TP", f".B {_roff(how)}", _roff(what)]
    return lines


def _roff(text: str) -> str:
    """Text that no macro or escape of roff can be mistaken for (groff_char(7))."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\`").replace("'", "\\(aq").replace("…", "...")
    return f"\\&{text}" if text.startswith(".") else text


def markdown() -> str:
    """docs/commands.md."""
    parts = [
        "# Commands\n\nMade from the program's own help; do not edit. `minipaas COMMAND --help` and the man page "
        "(`minipaas man`) say the same.\n"
    ]
    for title, commands in SECTIONS.items():
        parts.append(f"\n## {title}\n")
        for entry in entries():
            if entry.path[0] in commands:
                parts.append(
                    f"\n### {entry.title}\n\n`{entry.title} {entry.usage}`\n\n" + "\n\n".join(entry.paragraphs)
                )
                parts.append(
                    "\n" + "".join(f"\n- `{how}`: {what}" for how, what in entry.options) + "\n" * bool(entry.options)
                )
    parts.append("\n## Exit status\n\n| code | meaning |\n| --- | --- |\n")
    parts += [f"| {code} | {said} |\n" for code, said in EXIT_STATUS]
    parts.append("\n## Environment\n\n| variable | meaning |\n| --- | --- |\n")
    parts += [f"| `{name}` | {said} |\n" for name, said in ENVIRONMENT]
    return "".join(parts)


@click.command()
def man() -> None:
    """Show this manual; where its output goes to a file or a pipe, print the man page (roff)."""
    if not sys.stdout.isatty():
        print(page(), end="")
    elif shutil.which("man"):
        subprocess.run(["man", "--local-file", "-"], input=page().encode(), check=False)
    else:  # a small server without man(1)
        click.echo_via_pager(markdown())
