"""Checks of what root gives to a user who has a box: services that outlive the session, a way to the network."""

from __future__ import annotations

import os
import pwd
import shutil
import time
from pathlib import Path

from minipaas.install import distro, limits
from minipaas.install.facts import Facts
from minipaas.install.findings import Finding, bad, ok
from minipaas.install.service import Init
from minipaas.session import runtime_directory

LINGER = Path("/var/lib/systemd/linger")
"""A file for each user whose services run without a session (loginctl(1), enable-linger)."""
TUN = "/dev/net/tun"


def me() -> str:
    """The name of this user."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def enable_linger() -> str:
    """What root types, that this user's services start with the host and outlive the session."""
    return f"as root: loginctl enable-linger {me()}"


def lingers() -> bool:
    """Whether they do."""
    return (LINGER / me()).exists()


def linger(facts: Facts) -> Finding | None:
    """A user's services outlive the session."""
    if not facts.unprivileged or facts.init is not Init.SYSTEMD:
        return None
    if lingers():
        return ok("linger", f"on for {me()}")
    return bad("linger", f"off: minipaas and all apps of {me()} end at logout", enable_linger())


def user_services(facts: Facts) -> Finding | None:
    """The user's own systemd runs, and this process can find it."""
    if not facts.unprivileged or facts.init is not Init.SYSTEMD:
        return None
    until = time.monotonic() + limits.USER_SERVICES
    while True:
        runtime = runtime_directory()
        if runtime is not None and (runtime / "systemd/private").is_socket():
            return ok("user services", f"systemd of {me()}, in {runtime}")
        if not lingers() or time.monotonic() > until:
            break
        time.sleep(limits.GLANCE)  # loginctl does not wait until it runs
    unit = f"user@{os.getuid()}.service"
    if lingers():
        mend = f"as root: systemctl restart {unit}; why it does not run: journalctl -b -u {unit}"
    else:
        mend = f"{enable_linger()}; or log in as {me()}, as by ssh, instead of by su or sudo"
    return bad("user services", f"no systemd of {me()} runs, which would start minipaas", mend)


def user_network(facts: Facts) -> Finding | None:
    """A way out of a user's networks: a program that makes packets into connections, and its device."""
    if not facts.unprivileged or facts.podman is None:
        return None
    tools = [tool for tool in ("pasta", "slirp4netns") if shutil.which(tool)]
    wanted = "slirp4netns" if int(facts.podman.version.version.partition(".")[0] or 4) < 5 else "passt"
    if not tools or (wanted == "slirp4netns" and wanted not in tools):
        return bad("user network", f"there is no {wanted}: no app of a user gets a network", distro.install(wanted))
    if not os.access(TUN, os.R_OK | os.W_OK):
        return bad("user network", f"this user may not open {TUN}", f"as root: modprobe tun; chmod 666 {TUN}")
    return ok("user network", tools[0])


CHECKS = (linger, user_services, user_network)
