"""Every bound of the engine in one place. Seconds and bytes unless a name says otherwise."""

from __future__ import annotations

from typing import Final

# Deadlines of calls to Podman. A slow disk is no failure (podman#18353), so they are generous; none is endless.
CALL: Final = 30.0
"""List, inspect, networks, volumes, exists."""
CREATE: Final = 120.0
START: Final = 120.0
REMOVE: Final = 120.0
BUSY_PAUSES: Final = (0.2, 0.5, 1.0)
"""Between attempts to remove a container whose mounts are still in use."""
STOP_SLACK: Final = 60.0
"""On top of the time that the container itself has for its end."""
PULL: Final = 1800.0
REMOVE_IMAGE: Final = 300.0
LOGS: Final = 30.0
CONNECT: Final = 20.0
"""Until a Podman service of our own must answer."""
BUILD: Final = 3600.0
"""The longest silence of a build."""
EXPORT: Final = 600.0
"""The longest silence of an export."""

# Threads. Slow calls (stop, remove, pull) have a lane of their own, so that looking and starting are never behind them.
QUICK_LANE: Final = 4
SLOW_LANE: Final = 6

# Answers.
MAX_ANSWER: Final = 64 * 1024**2
"""Larger than the list of 10,000 containers."""
MAX_LOG_ANSWER: Final = 16 * 1024**2
MAX_LINE: Final = 1024**2
"""One JSON line of a stream (events, pull, build)."""
MAX_LOG_LINES: Final = 10_000
MAX_ERROR_TEXT: Final = 600
KERNEL_RECORD: Final = 8192
"""CONSOLE_EXT_LOG_MAX of the kernel: a shorter read fails."""
KERNEL_LOG: Final = 8 * 1024**2
"""Of the kernel's log, the oldest first; its buffer is seldom larger than 1 MiB."""

# Scenes.
SCENE: Final = 60.0
"""The longest silence while a file or directory is read out of a container."""
PROBES_KEPT: Final = 30
"""The last checks of an instance..."""
PROBES_PAST: Final = 64
"""...and of so many that have ended."""

# What containers get.
LOG_SIZE: Final = 32 * 1024**2
"""A container's log file; conmon starts anew when it is full. What minipaas has not read by then is lost, so it is what
a service can write while minipaas is not running."""
RUN_TMPFS: Final = "64m"
NOFILE: Final = 65536
NPROC: Final = 32768
CORE: Final = 64 * 1024**2
"""A core file that is larger is cut off by the kernel; a scene keeps no larger file anyway."""

# Hooks.
HOOK_TAIL_LINES: Final = 20
HOOK_TAIL_BYTES: Final = 4096
HOOK_WAIT_SLICE: Final = 60.0
"""One call that waits for a hook's end; then another one."""

# Probes.
FIRST_PROBE: Final = 0.02
"""After the start; doubled up to the interval until the first success."""
SETTLE: Final = 1.0
"""A service that nobody can ask is healthy when it has run for so long."""
TCP_LOOK: Final = 0.04
"""How long a fresh connection is watched for an end: port forwarders accept before the service does."""
MAX_PROBE_HEAD: Final = 64 * 1024
PROBES_AT_ONCE: Final = 64
EXECS_AT_ONCE: Final = 4
JITTER: Final = 0.1
"""Share of the interval."""

# The event stream.
EVENT_BACKOFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
EVENT_SILENCE: Final = 900.0
"""After so long without an event the stream is opened anew, in case Podman forgot us."""
EVENT_OPENS: Final = 1.0
"""By then a stream that was asked for is open."""
EVENT_CALM: Final = 5.0
"""A stream that lasted so long was good: the back-off starts from its beginning."""

# A Podman service of our own.
SERVICE_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
SERVICE_STOP: Final = 5.0
SERVICE_STDERR: Final = 16 * 1024
MAX_SOCKET_PATH: Final = 107
"""sun_path of unix(7), less the closing NUL."""

# Ways in.
ATTACH: Final = 60.0
"""Until a command in a container has started."""
PIECE: Final = 64 * 1024
"""One read of a stream."""
MAX_ERROR_BODY: Final = 16 * 1024
DEBUG_PIDS: Final = 256
"""Processes of a container of tools."""
RESIZE: Final = 5.0
EXEC_ENDS: Final = 5.0
"""After the end of its output a command should be told as ended by then."""
EXEC_LOOK: Final = 0.02
HANG_UP: Final = 0.5
"""A command has so long to go when it is hung up on; then it is killed."""
