"""`crashes` and `crash`: which instances failed and why, answered by what was kept of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from minipaas.author.files import replacing
from minipaas.model.capsule import Alive, Capsule, FileChange, Touched
from minipaas.model.errors import Invalid
from minipaas.model.typed import to_json
from minipaas.model.units import human_bytes
from minipaas.surface.cli.enter import at_terminal, conduct, visit_options
from minipaas.surface.cli.options import box_options, sure, to_option
from minipaas.surface.cli.show import Cell, ago, clean, on_terminal, paint, print_json, print_table, span, stamp
from minipaas.surface.client import Box, segment
from minipaas.surface.wire_access import RunCommand
from minipaas.surface.wire_crash import Crash, Crashes, CrashGroup, CrashKey, CrashRemoved

ENDING = ".crash"
_SHOWN = 12
"""Changed files, checks, processes and requests that are shown before `--all`."""
_MARKS = {Touched.ADDED: "A", Touched.MODIFIED: "M", Touched.REMOVED: "D"}


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
    if id.endswith(ENDING):
        _show_file(Path(id), key, everything, only_log, as_json)
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
    print_capsule(found.capsule, found.group, None if everything else _SHOWN)


def _show_file(path: Path, key: Path | None, everything: bool, only_log: bool, as_json: bool) -> None:
    from minipaas.bundle.keys import PublicKey
    from minipaas.control.exported import read

    found = read(path, PublicKey.load(key) if key is not None else None)
    if as_json:
        print_json(to_json(found))
    elif only_log:
        print(clean(found.log), end="")
    else:
        print_capsule(found.capsule, None, None if everything else _SHOWN)
        known = "that you believe" if key is not None else "that calls itself"
        print(f"signed by the box {known} {found.key_id[:16]}")


@crash.command("export")
@click.argument("id")
@click.option("-o", "file", type=click.Path(path_type=Path, dir_okay=False), help="Default: ID.crash")
@to_option
def export(id: str, file: Path | None, to: str | None) -> None:  # noqa: A002
    """Write a scene into one file, signed by the box. On any machine `minipaas crash show FILE` looks into it, and tar
    takes it apart. It may hold secrets: whatever the instance has written is in it."""
    box = Box.at(to)
    file = file or Path(f"{id}{ENDING}")
    if not file.name.endswith(ENDING):
        raise Invalid(f"cannot write {file}: its name must end in {ENDING}", code="crash.name")
    with replacing(file) as out, download_bar() as progress:
        size = box.download(f"/crashes/{segment(id)}/export", out, progress)
    print(f"{file}: {human_bytes(size)}. Look into it anywhere: minipaas crash show {file}")


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
@click.argument("id")
@click.argument("argv", metavar="[-- COMMAND [ARG]...]", nargs=-1, type=click.UNPROCESSED)
@click.option("--user", "-u", default="", metavar="USER", help="Run it as this user of the image.")
@visit_options
@to_option
def reopen(id: str, argv: tuple[str, ...], user: str, reason: str, seconds: float | None, to: str | None) -> None:  # noqa: A002
    """Open a shell, or run COMMAND, in a container made from the scene: its image, environment and files, volumes
    read-only, and no network. It is gone at the end; the scene stays.

    Exit code 125: it could not be run, or the access was ended; 126 and 127 as in a shell.
    """
    if not argv and not (on_terminal(sys.stdin) and sys.stdout.isatty()):
        raise Invalid(
            "cannot open a shell: this is not a terminal",
            hint=f"run a command: minipaas crash open {id} -- ls -l /tmp",
            code="cli.terminal",
        )
    size, env = (None, ()) if argv else at_terminal(())
    wanted = RunCommand(argv=argv, terminal=size, env=env, user=user, reason=reason, seconds=seconds)
    conduct(Box.at(to), f"/crashes/{segment(id)}/open", wanted)


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


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal; nothing elsewhere."""
    if not on_terminal() or not sys.stdout.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    with Progress(TextColumn("receiving"), BarColumn(), DownloadColumn(True), transient=True) as bar:
        task = bar.add_task("receive", total=None)
        yield lambda got, whole: bar.update(task, completed=got, total=whole)


def print_capsule(one: Capsule, group: CrashGroup | None, most: int | None) -> None:
    """A capsule for people; at most `most` rows of each part."""
    print(paint(f"{one.app}/{one.service} #{one.slot}: {clean(one.reason)}", "red"))
    ran = f"after {span(one.ran)}" if one.ran else "at once"
    print(f"{stamp(one.at)} ({ago(one.at)}), {ran}, attempt {one.attempt}, release {one.version or one.release[:19]}")
    if group is not None and group.count > 1:
        print(f"the same {group.count} times since {stamp(group.first)}; kept: {', '.join(group.kept)}")
    print(f"scene {one.id}, captured in {span(one.took)}; container {one.container[:12]}, image {one.image[:19]}")
    _part("its last words", (clean(line) for line in one.last_words), None)
    if one.log_lines > len(one.last_words):
        print(paint(f"  {one.log_lines} lines: minipaas crash show {one.id} --log", "bright_black"))
    if one.probes:
        checks = (f"{_clock(each.at)} {'well' if each.ok else 'NOT WELL'}: {clean(each.detail)}" for each in one.probes)
        _part("its last health checks", checks, most, newest=True)
    if one.alive is not None:
        _alive(one.alive, most)
    _part("files it has changed", _changes(one.changes), most)
    if one.changes_left_out:
        print(f"  … and {one.changes_left_out} more")
    if one.cores:
        print(f"core files: {', '.join(one.cores)}")
    _part("command", [clean(" ".join(one.command))] if one.command else [], None)
    _part("environment", (clean(f"{name}={value}") for name, value in one.environment.items()), most)
    _machine(one)
    asked = (f"{_clock(row.at)} {row.actor}: {row.action} {row.subject}: {row.result}" for row in one.audit)
    _part("asked of the box in the hour before", map(clean, asked), most)
    _part("could not be had", map(clean, one.missing), None)


def _alive(alive: Alive, most: int | None) -> None:
    print(paint(f"before it was stopped ({_clock(alive.at)})", "bright_black"))
    rows: list[list[Cell]] = [
        [str(each.pid), each.state, str(each.threads), human_bytes(each.memory), each.wait, clean(each.command)]
        for each in alive.processes[:most]
    ]
    if rows:
        print_table(
            ["  PID", "STATE", "THREADS", "MEMORY", "WAITS IN", "COMMAND"], ([f"  {r[0]}", *r[1:]] for r in rows)
        )
    stacks = [each for each in alive.processes if each.stack]
    for each in stacks[: None if most is None else 2]:
        print(f"  {each.pid} in the kernel: {' < '.join(each.stack)}")
    sockets = (
        f"{each.local} {each.state}{'' if each.state == 'LISTEN' else f' {each.peer}'}" for each in alive.sockets
    )
    _part("its sockets", sockets, most)
    _part("could not be seen", alive.missing, None)


def _machine(one: Capsule) -> None:
    host = one.host
    if host is not None:
        clock = {True: "in sync", False: "NOT in sync", None: "unknown"}[host.clock_synced]
        print(
            f"the machine: load {host.load[0]:.1f}, memory {human_bytes(host.memory_used)} of "
            f"{human_bytes(host.memory_total)}, disk {human_bytes(host.disk_used)} of {human_bytes(host.disk_total)}, "
            f"clock {clock}, up {span(host.uptime)}, {host.kernel}, podman {host.podman}, minipaas {host.minipaas}"
        )
    if one.figures is not None:
        memory = [value for value in (*one.figures.memory, *one.figures.peak) if value is not None]
        cpu = [value for value in one.figures.cpu if value is not None]
        if memory and cpu:
            most = f"at most {human_bytes(int(max(memory)))} and {max(cpu):.2f} cores"
            print(f"its last {span(len(one.figures.cpu) * one.figures.step)}: {most}")


def _changes(changes: tuple[FileChange, ...]) -> Iterator[str]:
    for each in changes:
        yield f"{_MARKS[each.what]} {clean(each.path)}"


def _part(title: str, lines: Iterable[str], most: int | None, *, newest: bool = False) -> None:
    found = list(lines)
    if not found:
        return
    print(paint(title, "bright_black"))
    shown = found if most is None else found[-most:] if newest else found[:most]
    if newest and len(shown) < len(found):
        print(f"  … {len(found) - len(shown)} before (--all)")
    for line in shown:
        print(f"  {line}")
    if not newest and len(shown) < len(found):
        print(f"  … and {len(found) - len(shown)} more (--all)")


def _clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))
