"""Capsules: the kept scene of an instance that failed. Times are Unix seconds, sizes bytes.

A capsule answers why without the container. What could not be had is named in `missing`, never left out silently.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from minipaas.model.difference import ImageDiff, PackageDiff, SettingDiff


class Cause(StrEnum):
    """What ended an instance."""

    EXIT = "exit"
    SIGNAL = "signal"
    MEMORY = "memory"
    """The kernel killed it: it wanted more than its limit."""
    HEALTH = "health"
    """It failed its health checks, and minipaas stopped it."""


class Touched(StrEnum):
    """What became of a file."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"


class FileChange(Struct, frozen=True):
    """One file or directory that differs from the image."""

    path: str
    what: Touched
    size: int | None = None
    """Of a file whose contents were looked at; None: not known."""
    podmans: bool = False
    """Podman may have written it: it gives a numeric user whom the image does not know a line of its own. The file ends
    with such a line, and was written when the container was made."""


class Probe(Struct, frozen=True):
    """One health check."""

    at: float
    ok: bool
    detail: str


class Threads(Struct, frozen=True, kw_only=True):
    """Threads of one process that did the same: with the same state, system call and kernel stack."""

    count: int
    numbers: tuple[int, ...]
    """Inside the container."""
    names: tuple[str, ...]
    """Each once."""
    state: str
    call: str
    """The system call, `futex`; its number where minipaas has no name for it; empty: in none, or not to be known."""
    on: tuple[str, ...]
    """What the call is about, that of most of them first: of `futex` the address of the lock, `0x7f12… x 3`; of
    `read` and the like the number of the file."""
    wait: str
    stack: tuple[str, ...]


class Process(Struct, frozen=True, kw_only=True):
    """One process of an instance that still lived, as the host saw it (proc(5))."""

    pid: int
    """Inside the container."""
    parent: int
    state: str
    """The kernel's letter: `S`, `D`, `R`, `Z`, …"""
    command: str
    threads: int
    memory: int
    """Resident."""
    wait: str
    """The kernel function in which it sleeps; empty: in none, or not to be known."""
    stack: tuple[str, ...]
    """Of the kernel, of its first thread, the innermost call first; only root may read it."""
    files: tuple[str, ...]
    """What it has open, `3 -> /var/lib/x`."""
    stacks: tuple[Threads, ...] = ()
    """All its threads, as far as they could be read: the largest group first."""


class Socket(Struct, frozen=True, kw_only=True):
    """One socket of an instance that still lived."""

    kind: str = "tcp"
    """`tcp`, `udp`, `unix`, `unix datagram`, `unix packets`."""
    local: str
    """Of a Unix socket without a name its inode, as its process has it open: `socket:[4711]`."""
    peer: str
    """Empty for Unix sockets: the kernel does not tell."""
    state: str
    """`LISTEN`, `ESTABLISHED`, `UNCONNECTED`, …"""


class Alive(Struct, frozen=True, kw_only=True):
    """The scene of an instance before it was stopped for failing its health checks."""

    at: float
    processes: tuple[Process, ...] = ()
    sockets: tuple[Socket, ...] = ()
    missing: tuple[str, ...] = ()
    """What could not be read, and why."""


class HostState(Struct, frozen=True, kw_only=True):
    """The machine when it happened."""

    minipaas: str
    podman: str
    kernel: str
    boot: str
    uptime: float
    load: tuple[float, float, float]
    memory_used: int
    memory_total: int
    disk_used: int
    disk_total: int
    clock_synced: bool | None


class Figures(Struct, frozen=True, kw_only=True):
    """What this very instance used over its last minutes; None in a series: not known. Without a step of time in which
    another one of its slot may have been seen."""

    start: float
    step: int
    cpu: tuple[float | None, ...]
    memory: tuple[float | None, ...]
    peak: tuple[float | None, ...]
    pids: tuple[float | None, ...]
    received: tuple[float | None, ...] = ()
    """Bytes a second, as are the next three."""
    sent: tuple[float | None, ...] = ()
    read: tuple[float | None, ...] = ()
    written: tuple[float | None, ...] = ()
    most: int | None = None
    """The most memory that it is known to have held: what the kernel had counted when it was last read, or its limit
    where it was killed for that; None: not known."""
    reached: bool = False
    """It was killed at its limit of memory."""


class Asked(Struct, frozen=True, kw_only=True):
    """A row of the audit from the hour before."""

    at: float
    actor: str
    action: str
    subject: str
    result: str


class Machine(Struct, frozen=True, kw_only=True):
    """What a box runs on, as far as it seldom changes."""

    minipaas: str
    podman: str
    runtime: str
    """Podman's: `crun`, `runc`."""
    kernel: str
    boot: str
    """The kernel's id of this boot."""
    memory: int
    disk: int
    """Of the disk with minipaas's data."""


class MachineChange(Struct, frozen=True, kw_only=True):
    """One fact of the machine that is not what it was."""

    what: str
    """`kernel`, `podman`, …; `boot`: it was started anew, and there is nothing more to say."""
    before: str
    after: str


class Since(Struct, frozen=True, kw_only=True):
    """What is different from when the app served well before: between the last other release that has proved itself
    and the one that failed, and of the machine since the latter came to this box."""

    release: str
    """Digest of the one that served well; empty: no other release has proved itself here."""
    version: str
    proved: float
    """When it first did."""
    well: bool
    """The release that failed has proved itself too, before it failed."""
    sentence: str
    """What is different between the two, in a few words."""
    images: tuple[ImageDiff, ...] = ()
    settings: tuple[SettingDiff, ...] = ()
    packages: tuple[PackageDiff, ...] = ()
    left_out: int = 0
    """Settings and packages beyond those above."""
    unknown: str = ""
    """Why not all of it could be compared."""
    came: float
    """When the release that failed came to this box."""
    machine: tuple[MachineChange, ...] = ()


class Capsule(Struct, frozen=True, kw_only=True):
    """One scene. Its log lines and its files lie beside it."""

    id: str
    group: str
    """Equal failures share it: the same app, service, cause and last words."""
    app: str
    service: str
    slot: int
    instance: str
    """Name of the container."""
    container: str
    """Podman's id of it."""
    release: str
    """Digest."""
    version: str
    image: str
    """Digest of the image's manifest."""
    image_id: str = ""
    """Digest of its config, by which Podman knows it; empty: not known."""
    cause: Cause
    exit_code: int | None
    signal: str
    """`SIGSEGV`; empty: it was none."""
    reason: str
    """In a sentence, for people."""
    at: float
    """When it ended."""
    ran: float
    """For so long it had run."""
    attempt: int
    captured: float
    took: float
    """Seconds from the first look at the end to the last byte."""
    command: tuple[str, ...]
    environment: dict[str, str]
    """Without what looks like a secret."""
    volumes: dict[str, str]
    """Mount point, by name."""
    user: str | None = None
    workdir: str | None = None
    memory: int | None = None
    """Its limit."""
    pids: int | None = None
    last_words: tuple[str, ...]
    """The end of its log; more of it lies beside."""
    log_lines: int
    changes: tuple[FileChange, ...]
    """What lies in its scratch space (/tmp, /var/tmp) first, then what differs from the image."""
    changes_left_out: int
    files_size: int
    """Compressed, of the archive of what it has written; 0: there is none."""
    cores: tuple[str, ...]
    """Core files in that archive."""
    probes: tuple[Probe, ...]
    alive: Alive | None
    """Only of those that were stopped for their health."""
    figures: Figures | None
    host: HostState | None
    audit: tuple[Asked, ...]
    since: Since | None = None
    """None: not known."""
    missing: tuple[str, ...] = ()
    """What could not be had, and why."""


class CapsuleGroup(Struct, frozen=True, kw_only=True):
    """Equal failures. The first and the latest are kept whole."""

    id: str
    app: str
    service: str
    reason: str
    count: int
    first: float
    latest: float
    kept: tuple[str, ...]
    """Ids of the capsules that are there, the oldest first."""
    size: int
    """On disk."""
    recent: tuple[str, ...] = ()
    """Ids that were counted last, so that none counts twice after a restart."""


def capsule_id(container: str, ended: float) -> str:
    """The id of the capsule of this end of this container, whoever meets it."""
    return f"{container[:12]}-{int(ended) % 0x1000000:06x}"


def most_memory(figures: Figures) -> int | None:
    """The most memory that an instance is known to have held, bytes; None: not known."""
    known = [value for value in (*figures.memory, *figures.peak, figures.most) if value is not None]
    return int(max(known)) if known else None
