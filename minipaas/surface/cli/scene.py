"""A scene for people, on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from minipaas.model.capsule import Alive, Capsule, Figures, FileChange, Process, Since, Touched, most_memory
from minipaas.model.units import counted, human_bytes
from minipaas.surface.cli.diff import show_parts
from minipaas.surface.cli.show import Cell, ago, clean, paint, print_table, span, stamp
from minipaas.surface.wire_crash import CrashGroup

_MARKS = {Touched.ADDED: "A", Touched.MODIFIED: "M", Touched.REMOVED: "D"}
_NO_PEER = ("LISTEN", "UNCONNECTED")


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
        print(paint(f"  {counted(one.log_lines, 'line')}: minipaas crash show {one.id} --log", "bright_black"))
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
    if one.since is not None:
        _since(one.since, most)
    _machine(one)
    asked = (f"{_clock(row.at)} {row.actor}: {row.action} {row.subject}: {row.result}" for row in one.audit)
    _part("asked of the box in the hour before", map(clean, asked), most)
    _part("could not be had", map(clean, one.missing), None)


def _since(since: Since, most: int | None) -> None:
    well = f"; the one that failed came {stamp(since.came)}, and had proved itself too" if since.well else ""
    if since.release:
        title = f"since {since.version}, which served well from {stamp(since.proved)} on{well}"
        print(paint(title, "bright_black"))
        print(f"  {clean(since.sentence)}")
        show_parts(since.images, since.settings[:most], since.packages[:most], since.unknown, "  ")
        left_out = since.left_out + sum(len(part) - len(part[:most]) for part in (since.settings, since.packages))
        if left_out:
            print(f"  … and {left_out} more{' (--all)' if most is not None else ''}")
    else:
        print(paint(f"{clean(since.sentence)}{well}", "bright_black"))
    changes = (
        "the machine was started anew" if each.what == "boot" else f"{each.what}: {each.before} → {each.after}"
        for each in since.machine
    )
    _part("of the machine has changed since this release came", map(clean, changes), None)


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
    _part("where its threads were", (clean(line) for each in alive.processes for line in _threads(each)), most)
    sockets = (
        f"{each.kind} {each.local} {each.state}{f' {each.peer}' if each.peer and each.state not in _NO_PEER else ''}"
        for each in alive.sockets
    )
    _part("its sockets", map(clean, sockets), most)
    files = (f"{each.pid}: {clean(file)}" for each in alive.processes for file in each.files)
    _part("what its processes had open", files, most)
    _part("could not be seen", alive.missing, None)


def _threads(one: Process) -> Iterator[str]:
    """A line for each distinct stack. One of minipaas before it read threads has that of the first alone."""
    if not one.stacks and one.stack:
        yield f"{one.pid}: {' < '.join(one.stack)}"
    for each in one.stacks:
        many = f"{each.count} threads" if each.count > 1 else f"thread {each.numbers[0]}"
        on = f"({', '.join(each.on)})" if each.on else ""
        call = f" in {each.call}{on}" if each.call else ""
        where = " < ".join(each.stack) or each.wait
        names = ", ".join(each.names)
        yield f"{one.pid}: {many} ({names}), {each.state}{call}{f': {where}' if where else ''}"


def _machine(one: Capsule) -> None:
    host = one.host
    if one.memory is not None:
        reached = ", which it reached" if one.figures is not None and one.figures.reached else ""
        print(f"its limit of memory: {human_bytes(one.memory)}{reached}")
    if host is not None:
        clock = {True: "in sync", False: "NOT in sync", None: "unknown"}[host.clock_synced]
        print(
            f"the machine: load {host.load[0]:.1f}, memory {human_bytes(host.memory_used)} of "
            f"{human_bytes(host.memory_total)}, disk {human_bytes(host.disk_used)} of {human_bytes(host.disk_total)}, "
            f"clock {clock}, up {span(host.uptime)}, {host.kernel}, podman {host.podman}, minipaas {host.minipaas}"
        )
    if one.figures is not None:
        _used(one.figures)


def _used(figures: Figures) -> None:
    memory = most_memory(figures)
    if memory is not None:
        print(f"its memory: at most {human_bytes(memory)}")
    spans = (("cores", figures.cpu), ("received", figures.received), ("sent", figures.sent))
    told = [
        f"{most:.2f} cores" if what == "cores" else f"{what} {human_bytes(int(most))}/s"
        for what, values in (*spans, ("read", figures.read), ("written", figures.written))
        if (most := max((value for value in values if value is not None), default=None)) is not None
    ]
    if told:
        print(f"in the last {span(len(figures.cpu) * figures.step)} that were seen, at most: {', '.join(told)}")


def _changes(changes: tuple[FileChange, ...]) -> Iterator[str]:
    for each in changes:
        size = "" if each.size is None else f"  {human_bytes(each.size)}"
        yield f"{_MARKS[each.what]} {clean(each.path)}{size}{'  (by Podman perhaps)' if each.podmans else ''}"


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
