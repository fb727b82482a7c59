"""Every size, number and wait that this room bounds."""

from __future__ import annotations

TREE_FILES = 5_000
"""Files and directories of an unpacked program."""
TREE_BYTES = 512 * 1024**2
"""Bytes of an unpacked program."""
MARGIN = 16 * 1024**2
"""Bytes that must stay free on the disk beside a new version."""
PIECE = 1024**2
"""Bytes copied or hashed at a time."""
LOCK_WAIT = 60.0
"""Seconds to wait for another install or upgrade of the same place."""
LOCK_GLANCE = 0.1
"""Seconds between two looks at that lock."""
VERSIONS_KEPT = 3
"""Versions that stay: the current one, the one before it, and as many more as fit this number."""
COMMAND = 120.0
"""Seconds that a command of the service manager may take; starting waits until the box is ready."""
CHECK = 8.0
"""Seconds that one check of this host may take."""
USER_SERVICES = 5.0
"""Of these, for a user's systemd that linger has just started."""
GLANCE = 0.2
"""Seconds between two looks whether it runs."""
CHECKS_AT_ONCE = 16
FILE = 1024**2
"""Bytes read of a file of the host."""
READY = 90.0
"""Seconds from the start until the box has to answer."""
