"""Hosts without systemd: an OpenRC service, a System V init script, and the small supervisor that both start.

What always holds: a box that ends is started again; after an upgrade, whose successor is a process of its own, the
supervisor waits for that one instead of starting a second; stopping stops whichever of them is the box.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from minipaas.install.systemd import Service

SUPERVISOR = "supervise"
"""The supervisor's name in HOME."""
PIDFILE = Path("/run/minipaas.pid")

_SUPERVISOR = """#!/bin/sh
# Written by minipaas install. Keeps minipaas running, whatever it ends of; when this script ends, so does the box.
program={program}
lock={lock}
stopping=
child=

# the process that is the box now: after an upgrade it is not our child
box() {{
    read -r pid <"$lock" && [ -n "$pid" ] && kill -0 "$pid" && echo "$pid"
}} 2>/dev/null

finish() {{
    stopping=yes
    for one in $child $(box); do
        kill -TERM "$one" 2>/dev/null
    done
}}
trap finish TERM INT HUP

if command -v logger >/dev/null; then
    pipe=$(mktemp -u) && mkfifo -m 600 "$pipe" && {{
        logger -t minipaas <"$pipe" &
        exec >"$pipe" 2>&1
        rm -f "$pipe"
    }}
fi
ulimit -n "$(ulimit -H -n)"
while [ -z "$stopping" ]; do
    "$program" {arguments} &
    child=$!
    while kill -0 "$child" 2>/dev/null; do
        wait "$child"
    done
    child=
    while [ -n "$(box)" ]; do
        sleep 1
    done
    [ -n "$stopping" ] || sleep 2
done
"""

_SYSV = """#!/bin/sh
### BEGIN INIT INFO
# Provides:          minipaas
# Required-Start:    $local_fs $remote_fs $network
# Required-Stop:     $local_fs $remote_fs $network
# Should-Start:      $syslog $time podman cgroupfs-mount
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: minipaas: signed app bundles in, running and routed containers out
### END INIT INFO
# Written by minipaas install, which writes it again.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
supervisor={supervisor}
pidfile={pidfile}

running() {{
    read -r pid <"$pidfile" && kill -0 "$pid"
}} 2>/dev/null

start() {{
    running && {{ echo "minipaas is running"; return 0; }}
    echo "starting minipaas"
    start-stop-daemon --start --background --make-pidfile --pidfile "$pidfile" --exec /bin/sh -- "$supervisor"
}}

# Apps keep running: what stops is minipaas.
stop() {{
    running || {{ echo "minipaas is not running"; rm -f "$pidfile"; return 0; }}
    echo "stopping minipaas; the apps keep running"
    kill -TERM "$pid"
    waited=0
    while kill -0 "$pid" 2>/dev/null; do
        [ "$waited" -lt 60 ] || {{ echo "minipaas does not stop: process $pid" >&2; return 1; }}
        sleep 1
        waited=$((waited + 1))
    done
    rm -f "$pidfile"
}}

case $1 in
    start) start ;;
    stop) stop ;;
    restart | force-reload) stop && start ;;
    status) running && echo "minipaas is running (process $pid)" || {{ echo "minipaas is not running"; exit 3; }} ;;
    *) echo "usage: $0 start|stop|restart|force-reload|status" >&2; exit 2 ;;
esac
"""

_OPENRC = """#!/sbin/openrc-run
# Written by minipaas install, which writes it again.
name=minipaas
description="signed app bundles in, running and routed containers out"
command=/bin/sh
command_args={supervisor}
command_background=yes
pidfile={pidfile}
retry=TERM/60

depend() {{
    use net dns logger ntp-client cgroups podman
    after localmount mountall firewall
}}
"""


def supervisor(service: Service) -> str:
    """What both kinds of script start."""
    return _SUPERVISOR.format(
        program=shlex.quote(str(service.program)),
        lock=shlex.quote(str(service.data / "lock")),
        arguments=shlex.join(service.arguments),
    )


def sysv(service: Service) -> str:
    """/etc/init.d/minipaas in the LSB's form (init-d-script(5), insserv(8))."""
    return _SYSV.format(supervisor=shlex.quote(str(service.home / SUPERVISOR)), pidfile=PIDFILE)


def openrc(service: Service) -> str:
    """/etc/init.d/minipaas for OpenRC (openrc-run(8))."""
    return _OPENRC.format(supervisor=shlex.quote(str(service.home / SUPERVISOR)), pidfile=PIDFILE)
