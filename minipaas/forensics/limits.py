"""Every size, count and time of forensics in one place. Sizes in bytes, times in seconds."""

from __future__ import annotations

from typing import Final

# Who goes in.
KEPT_LEASES: Final = 1000
"""Leases that are over and still told of."""
LEASE_FILE: Final = 16 * 1024
"""Largest file about one."""
WARNING: Final = 60.0
"""So long before its end a lease says that it ends."""
RECORDING: Final = 16 * 1024**2
"""Longest recording of one session; what comes after is not kept, and it says so."""
WRITE_EVERY: Final = 1.0
"""A recording is on disk by then, as far as a kill of minipaas is concerned."""
PIECE: Final = 64 * 1024
"""So much of a recording is written at once."""
ALIVE_PAUSES: Final = (0.1, 0.2, 0.4)
"""Between looks whether an instance has ended with the command in it."""
DRIFT_AFTER: Final = 0.5
"""Before a look at what was changed, since somebody has left: who comes and goes often causes few."""
ACCOUNTS: Final = 256 * 1024
"""Largest /etc/passwd or /etc/group that is looked into."""
ACCOUNTS_MADE: Final = 30.0
"""So long after a container was made Podman may add its line to them; what is written later is somebody else's."""
CONNECTIONS: Final = 64
"""Connections at once through one forward."""
SHOWN: Final = 200
"""Characters of a reason, a program or a path that are kept."""

# What is kept of one scene.
LOG_LINES: Final = 1000
LOG_SIZE: Final = 512 * 1024
LOG_WAIT: Final = 6.0
"""The longest that a scene waits for the lines of a log."""
LAST_WORDS: Final = 20
LINE: Final = 2000
"""Characters of one line of the last words."""
CHANGES: Final = 1000
"""Files that differ from the image, by name."""
FILES: Final = 64 * 1024**2
"""Of what it has written, uncompressed; a larger file is left out, and named."""
MEMBERS: Final = 20_000
"""Files in the archive."""
UNPACKED: Final = FILES + MEMBERS * 8 * 1024
"""The archive itself: the contents, and the heads and padding of so many members."""
TOPS: Final = 200
"""Files and directories asked for one by one."""
VARIABLES: Final = 500
CAPSULE: Final = 16 * 1024**2
"""Of what is told of one scene; more than all of the above together."""
AUDIT_ROWS: Final = 100
AUDIT_SPAN: Final = 3600.0
FIGURES: Final = 60
"""Points of ten seconds."""
GIVE_WAY: Final = 0.1
"""So long a scene waits before Podman is asked about it: the replacement comes first."""
GIVE_WAY_MOST: Final = 1.0
"""And at most so long for starts that are under way then."""
HOLD: Final = 60.0
"""The longest that the removal of a container waits for its scene."""

# What changed since it served well.
DIFFERENCES: Final = 200
"""Settings, and packages, that are told one by one."""
MACHINES: Final = 64
"""Times that something of the machine was new, and that are remembered."""

# What is read of an instance that still lives.
PROCESSES: Final = 200
COMMAND: Final = 4096
STACK: Final = 40
OPEN_FILES: Final = 200
SOCKETS: Final = 500
"""Of TCP, of UDP and of Unix each."""
THREADS: Final = 64
"""Of one process."""
WAITED_FOR: Final = 8
"""Locks and files that equal threads are told to wait for."""
TABLE: Final = 512 * 1024
"""Of one of the kernel's tables of sockets."""
LOOK_FILE: Final = 16 * 1024
"""Of any other file of /proc."""
LOOK_BYTES: Final = 4 * 1024**2
LOOK: Final = 0.1
"""For all of it: what has been read by then is kept. Less than `ALIVE`, so that it is put in order too."""
ALIVE: Final = 0.15
"""The longest that a replacement waits for it; then too what has been read is kept."""
LOOKS_AT_ONCE: Final = 4

# What is kept in all.
RECENT: Final = 256
"""Ids of a group that are remembered as counted."""
AT_ONCE: Final = 2
"""Scenes captured at the same time."""
WAITING: Final = 64
"""Scenes that wait for their turn; beyond it those that are equal to one that is kept are only counted."""
