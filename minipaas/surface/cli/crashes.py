"""`crashes` and `crash`: which instances failed and why, answered by what was kept of them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from minipaas.author.files import replacing
from minipaas.model.errors import Invalid
from minipaas.model.units import human_bytes
from minipaas.surface.cli.bars import bar
from minipaas.surface.cli.enter import at_terminal, conduct, visit_options
from minipaas.surface.cli.options import box_options, sure, to_option
from minipaas.surface.cli.scene import print_capsule
from minipaas.surface.cli.show import Cell, ago, clean, on_terminal, print_json, print_table
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_access import RunCommand
from minipaas.surface.wire_crash import Crash, Crashes, CrashGroup, CrashKey, CrashRemoved

ENDING = ".crash"
SHOWN = 12
"""Changed files, checks, processes and requests that are shown before `--all`."""


@click.command()
@click.argument("app", required=False)
@box_options
def crashes(app: str | None, to: str | None, as_json: bool) -> None:
    """Instances that failed and whose scenes are kept, equal failures together, the latest first."""
    box = Box.at(to)
    answer = box.raw("GET", "/crashes", query={"app": app})
    if as_json:
        print_json(answer)
        return
    found = box.understand(answer, Crashes)
    if not found.groups:
        print(f"No instance {f'of {app} ' if app else ''}has failed, as far as scenes are kept.")
        return
    print_table(["CRASH", "APP", "SERVICE", "WHY", "TIMES", "LAST", "FIRST"], map(_row, found.groups))
    print(f"{human_bytes(found.size)} kept. Look into one: minipaas crash show {found.groups[0].id}")


def _row(group: CrashGroup) -> list[Cell]:
    why = group.reason.partition("\n")[0]
    return [group.id, group.app, group.service, (why, "red"), str(group.count), ago(group.latest), ago(group.first)]


@click.group()
def crash() -> None:
    """The scene of a failed instance. ID: of a scene, or of a group of equal failures for its latest."""


@crash.command("show")
@click.argument("id")
@click.option("--all", "everything", is_flag=True, help="Nothing shortened.")
@click.option("--log", "only_log", is_flag=True, help="Only the kept end of its log.")
@click.option("--key", type=click.Path(path_type=Path), help="Of a file: believe only the box with this public key.")
@box_options
def show(
    id: str,  # noqa: A002
    everything: bool,
    only_log: bool,
    key: Path | None,
    to: str | None,
    as_json: bool,
) -> None:
    """Why an instance ended, and everything that was kept about it. ID may be a file of `crash export`, on any machine:
    its signature is checked, and no box is asked."""
    most = None if everything else SHOWN
    if id.endswith(ENDING):
        from minipaas.surface.cli.crash_file import show_file

        show_file(Path(id), key, most, only_log, as_json)
        return
    box = Box.at(to)
    if only_log:
        print(clean(box.raw("GET", f"/crashes/{segment(id)}/log").decode(errors="replace")), end="")
        return
    answer = box.raw("GET", f"/crashes/{segment(id)}")
    if as_json:
        print_json(answer)
        return
    found = box.understand(answer, Crash)
    print_capsule(found.capsule, found.group, most)


@crash.command("export")
@click.argument("id")
@click.option("-o", "file", type=click.Path(path_type=Path, dir_okay=False), help="Default: ID.crash")
@click.option("--with-image", is_flag=True, help="Also the image, for machines that have neither it nor the bundle.")
@to_option
def export(id: str, file: Path | None, with_image: bool, to: str | None) -> None:  # noqa: A002
    """Write a scene into one file, signed by the box, to look into it (crash show FILE) and to open it (crash open
    FILE) on any machine; tar takes it apart. It may hold secrets: whatever the instance has written is in it.

    Without --with-image it is small, and is opened where the image is, or with the app's bundle.
    """
    box = Box.at(to)
    file = file or Path(f"{id}{ENDING}")
    if not file.name.endswith(ENDING):
        raise Invalid(f"cannot write {file}: its name must end in {ENDING}", code="crash.name")
    found = box.get(f"/crashes/{segment(id)}", Crash)
    image = found.image_size
    if on_terminal(sys.stderr):
        size = found.scene_size + (image or 0 if with_image else 0)
        print(f"about {human_bytes(size)}{_of_image(image, with_image)}", file=sys.stderr)
    with replacing(file) as out, bar("receiving") as progress:
        query = {"image": "true"} if with_image else None
        size = box.download(f"/crashes/{segment(id)}/export", out, progress, query)
    print(f"{file}: {human_bytes(size)}. On any machine: minipaas crash show {file}, crash open {file}")
    if not with_image and image is not None:
        print(
            f"The image ({human_bytes(image)}) is not in it: open it where the image is, or with --bundle; "
            "or export it --with-image."
        )


def _of_image(image: int | None, with_image: bool) -> str:
    if image is None:
        return ""
    return f", {human_bytes(image)} of it the image" if with_image else ""


@crash.command("key")
@box_options
def key(to: str | None, as_json: bool) -> None:
    """The public key with which the box signs the scenes that it exports, to believe no other: crash show --key."""
    box = Box.at(to)
    answer = box.raw("GET", "/crash-key")
    if as_json:
        print_json(answer)
        return
    found = box.understand(answer, CrashKey)
    print(found.public, end="")
    print(f"box {found.key_id[:16]}", file=sys.stderr)


@crash.command("open")
@click.argument("id", metavar="ID|FILE")
@click.argument("argv", metavar="[-- COMMAND [ARG]...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--user", "-u", default="", metavar="USER", help="Run it as this user of the image.")
@visit_options
@to_option
@click.option("--key", type=click.Path(path_type=Path), help="Of a file: believe only the box with this public key.")
@click.option("--yes", is_flag=True, help="Of a file: open it also when nobody here knows its box.")
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Of a file without the image: take it from this bundle."
)
@click.option("--env", "-e", multiple=True, metavar="NAME=VALUE", help="Of a file: a variable that was not kept.")
@click.option("--podman", metavar="URL", default="", help="Of a file: unix:///path. Default: the usual places.")
def reopen(
    id: str,  # noqa: A002
    argv: tuple[str, ...],
    user: str,
    reason: str,
    seconds: float | None,
    to: str | None,
    key: Path | None,
    yes: bool,
    bundle: Path | None,
    env: tuple[str, ...],
    podman: str,
) -> None:
    """Open a shell, or run COMMAND, in a container made from the scene: its image, environment and files, volumes
    read-only, and no network. It is gone at the end; the scene stays.

    FILE is one of `crash export`: it is opened on this machine with its own Podman, no box is asked, and volumes are
    not there. The key that it was signed with should be known: minipaas crash key, on the box, shows it.

    Exit code 125: it could not be run, or the access was ended; 126 and 127 as in a shell.
    """
    if not argv and not (on_terminal(sys.stdin) and sys.stdout.isatty()):
        raise Invalid(
            "cannot open a shell: this is not a terminal",
            hint=f"run a command: minipaas crash open {id} -- ls -l /tmp",
            code="cli.terminal",
        )
    size, terminal = (None, ()) if argv else at_terminal(())
    wanted = RunCommand(argv=argv, terminal=size, env=terminal, user=user, reason=reason, seconds=seconds)
    if id.endswith(ENDING):
        _no_box_for({"--reason": reason, "--for": seconds, "--to": to})
        from minipaas.surface.cli.crash_file import open_file

        open_file(Path(id), wanted, key=key, believe=yes, bundle=bundle, env=env, podman=podman)
        return
    if key or yes or bundle or env or podman:
        raise Invalid(
            "cannot use --key, --yes, --bundle, --env or --podman here: they are for a file of `crash export`",
            hint=f"minipaas crash open {id}",
            code="crash.no_such_option",
        )
    conduct(Box.at(to), f"/crashes/{segment(id)}/open", wanted)


def _no_box_for(options: dict[str, object]) -> None:
    if named := [name for name, value in options.items() if value]:
        raise Invalid(
            f"cannot use {named[0]} with a file: it is opened here, and no box is asked",
            hint="leave it out",
            code="crash.no_such_option",
        )


@crash.command("remove")
@click.argument("id")
@click.option("--yes", is_flag=True, help="Do not ask.")
@box_options
def remove(id: str, yes: bool, to: str | None, as_json: bool) -> None:  # noqa: A002
    """Let a scene go; by the id of a group all scenes of it."""
    box = Box.at(to)
    sure(f"Let the scene {id} go for good?", yes or as_json)
    answer = box.raw("DELETE", f"/crashes/{segment(id)}")
    if as_json:
        print_json(answer)
        return
    count = box.understand(answer, CrashRemoved).capsules
    print(f"let go: {count} scene{'' if count == 1 else 's'}")
