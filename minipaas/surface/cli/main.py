"""The group of all commands, and the one place that turns errors into text and exit codes.

What always holds: a command's module is imported when that command runs, not before, and `--help` imports none of
them; whatever happens, a person gets "cannot X: why" and a hint on stderr instead of a stack trace.

Exit codes: 0 done; 1 failed; 2 usage; 3 refused (signature, trust, downgrade, policy); 4 no such thing; 5 box
unreachable; 130 interrupted. `exec` and `shell` end with the exit code of what they ran, or 125, 126, 127 (`enter`).
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minipaas.model.errors import Invalid, MinipaasError, Missing, Refused, Unreachable

if TYPE_CHECKING:
    from minipaas.model.config import Config

Serve = Callable[["Config", Path], int]

EXIT_CODES: dict[type[MinipaasError], int] = {MinipaasError: 1, Invalid: 2, Refused: 3, Missing: 4, Unreachable: 5}
INTERRUPTED = 130

_HERE = "minipaas.surface.cli"
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Operate": {
        "deploy": ("deploy:deploy", "Send a bundle to a box and watch it go live."),
        "status": ("apps:status", "What runs, and how it is."),
        "top": ("top:top", "What apps use and answer, live."),
        "rollback": ("apps:rollback", "Go back to an earlier release that this box has."),
        "restart": ("run:restart", "Replace running instances by new ones of the same release."),
        "scale": ("run:scale", "Run more or fewer instances of a service."),
        "remove": ("apps:remove", "Take an app off the box."),
        "diff": ("diff:diff", "What changed between two releases of an app."),
        "changes": ("apps:changes", "What was changed, by whom, and how it ended."),
        "events": ("events:events", "What happened to an app, in one order of time."),
        "timeline": ("timeline:timeline", "What came together in an app's past, on one axis of time."),
        "logs": ("logs:logs", "What an app wrote: the last lines, live, and what was searched for."),
        "shipping": ("shipping:shipping", "Where the box sends its logs, and how far it has come."),
        "exec": ("enter:exec_", "Run a command in an instance."),
        "shell": ("enter:shell", "Open a shell in an instance."),
        "forward": ("forward:forward", "Reach a port of an instance from here."),
        "cp": ("copy:cp", "Copy files out of an instance, or into it."),
        "drift": ("leases:drift", "What was changed by hand in an instance."),
        "access": ("leases:access", "Who is in instances, and who was."),
        "crashes": ("crashes:crashes", "Which instances failed, and why."),
        "crash": ("crashes:crash", "Look into the scene of a failed instance."),
        "certs": ("certs:certs", "The certificates of a box."),
        "page": ("page:page", "Open the status page, signed in as you."),
        "token": ("access:token", "Who may use the API over TCP."),
        "audit": ("access:audit", "Who did what to this box."),
    },
    "Trust": {
        "trust": ("trust:trust", "Whose bundles a box accepts."),
        "key": ("key:key", "Release keys."),
    },
    "Author": {
        "bundle": ("bundle:bundle", "Make, sign, verify and look into bundles."),
    },
    "This program": {
        "doctor": ("doctor:doctor", "What is wrong with this host and its box, and the mend."),
        "install": ("install:install", "Make minipaas a service of this host."),
        "uninstall": ("uninstall:uninstall", "Take minipaas off this host; data stays."),
        "serve": ("serve:serve", "Run the box."),
        "upgrade": ("own:upgrade", "Put a newer minipaas in the place of this one."),
        "reload": ("own:reload", "Start minipaas anew with its config.toml, losing nothing."),
        "version": ("about:version", "The versions of this program and of the box."),
        "completion": ("about:completion", "Print the completion script of your shell."),
        "man": ("manual:man", "Show the manual, or print it as a man page."),
    },
}
"""Section -> command -> (module:attribute below `surface/cli`, what it is for)."""

COMMANDS = {name: row for section in SECTIONS.values() for name, row in section.items()}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"{_HERE}.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.6)
            hint = f"did you mean: minipaas {near[0]}" if near else "all commands: minipaas --help"
            raise Invalid(f"cannot run {args[0]!r}: there is no such command", hint=hint, code="cli.command")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Ctrl-C ends a command without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, rows in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, purpose) for name, (_, purpose) in rows.items()], col_max=14)


def _own_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from minipaas.surface.cli.about import own_version

        click.echo(f"minipaas {own_version()}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    epilog="Which box: --to URL, else MINIPAAS_HOST, else the socket of this machine's box. "
    "A token for it: MINIPAAS_TOKEN. Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 no such thing, "
    "5 box unreachable.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_own_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """Signed app bundles in; hardened, routed and visible containers out."""


def exit_code(error: MinipaasError) -> int:
    """By class; the nearest ancestor in the table."""
    return next(EXIT_CODES[cls] for cls in type(error).__mro__ if cls in EXIT_CODES)


def run(args: Sequence[str], serve: Serve) -> int:
    """Run one command line. Returns the exit code; prints every error."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # replaced by something that cannot be told
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        result = cli.main(args=list(args), prog_name="minipaas", standalone_mode=False, obj=serve)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        return _quiet_pipe()
    except SystemExit as done:  # click's answer to a broken pipe, and completion
        return _quiet_pipe(done.code)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return EXIT_CODES[Invalid]
    except Exception as error:
        return _failed(error, as_json="--json" in args)
    return result if isinstance(result, int) else 0


def _failed(error: Exception, as_json: bool) -> int:
    """Print an error. Returns its exit code."""
    if os.environ.get("MINIPAAS_DEBUG"):
        import traceback

        traceback.print_exception(error)
    known = _known(error)
    tell(known, as_json)
    return exit_code(known)


def tell(known: MinipaasError, as_json: bool) -> None:
    """Print an error on stderr, for a person or a program."""
    if as_json:
        import msgspec

        said = {"kind": known.kind, "code": known.code, "message": known.message, "hint": known.hint}
        print(msgspec.json.encode({"error": said}).decode(), file=sys.stderr)
    else:
        from minipaas.surface.cli.show import clean, paint

        print(paint(clean(known.message, sys.stderr), "red", sys.stderr), file=sys.stderr)
        if known.hint:
            print(f"→ {clean(known.hint, sys.stderr)}", file=sys.stderr)


def _known(error: Exception) -> MinipaasError:
    """Any error as one of ours."""
    if isinstance(error, MinipaasError):
        return error
    if isinstance(error, click.ClickException):
        context: Any = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "minipaas"
        return Invalid(f"cannot run {path}: {error.format_message()}", hint=f"see: {path} --help", code="cli.usage")
    if isinstance(error, OSError) and error.filename is not None:
        return MinipaasError(f"cannot use {error.filename}: {error.strerror}", code="cli.file")
    return MinipaasError(
        f"cannot go on: an error in minipaas itself ({type(error).__name__}: {error})",
        hint="run it again with MINIPAAS_DEBUG=1 to see where, and report that",
        code="internal",
    )


def _quiet_pipe(code: object = 1) -> int:
    """Whoever read our output has left: say nothing more, also not when Python flushes at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code if isinstance(code, int) else 0
