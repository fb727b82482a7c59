"""Deploys under load on a real Podman, and the count of requests that did not get their right answer: it has to be 0.

Three services change with every deploy: `web` has two instances and is replaced side by side; `store` holds a volume,
so it is stopped before its successor starts; `talk` says back what it hears on a WebSocket. web and store are asked by
clients that keep their connection, with and without TLS, by one that makes a new one for every request, and by one that
sends a body, which must not be sent twice; wrk asks web over many connections. An answer is right when it is whole, has
status 200 and is of a release that may answer at that moment. A WebSocket may end with its instance, and only then.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benches.idle import resident_mb
from kit import crashing
from kit.box import Author, Box, BoxError, terminate_cleanly
from kit.load import Load
from kit.podman import PodmanError
from kit.stage import stage

APP = """\
[app]
name = "soak"
version = "{version}"
[rollout]
confirm = "500ms"
drain = "10s"
[services.web]
build = "."
port = 8080
replicas = 2
routes = ["web.localhost"]
env = {{ GREETING = "release {number}" }}
health = {{ http = "/", interval = "1s", timeout = "2s", grace = "60s" }}
[services.store]
build = "."
port = 8080
routes = ["store.localhost"]
volumes = {{ data = "/data" }}
env = {{ GREETING = "release {number}" }}
health = {{ http = "/", interval = "1s", timeout = "2s", grace = "60s" }}
[services.talk]
build = "."
command = ["busybox", "nc", "-ll", "-p", "8081", "-e", "/www/talk"]
port = 8081
routes = ["talk.localhost"]
env = {{ GREETING = "release {number}" }}
"""
TALK = """\
#!/bin/sh
while read -r line; do
    line=${line%?}
    case $line in Sec-WebSocket-Key:*) key=${line#* } ;; "") break ;; esac
done
[ -n "$key" ] || { printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n'; exit 0; }
sum=$(printf '%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11' "$key" | busybox sha1sum)
accept=$(printf '%s' "${sum%% *}" | busybox xxd -r -p | busybox base64)
printf 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'
printf 'Sec-WebSocket-Accept: %s\\r\\n\\r\\n' "$accept"
exec cat
"""
HOSTS = ("web.localhost", "store.localhost")
SHOWN = 20
KEPT = 3
"""Containers of a service that has failed stay with Podman."""


def soak(deploys: int) -> int:
    """Do it. Returns the number of failed requests."""
    with stage(workshop=True, tls=True, config="[tls]\nredirect = false\n") as on:
        build = _builder(on.author, on.source("soak"))
        on.box.cli("deploy", build(1))
        with Load(on.box, HOSTS, "talk.localhost") as load:
            for number in range(2, deploys + 2):
                _turn(on.box, load, number, build(number))
                print(
                    f"{number - 1} of {deploys}: {load.asked.total()} requests, {len(load.failures)} failed", flush=True
                )
        _tell(load)
        return len(load.failures)


def _builder(author: Author, source: Path) -> Callable[[int], Path]:
    (source / "www/talk").write_text(TALK)
    (source / "www/talk").chmod(0o755)

    def build(number: int) -> Path:
        (source / "app.toml").write_text(APP.format(version=f"{number}.0.0", number=number))
        # One file for all: a box that has it needs it no more.
        return author.build(source, "soak", "--sequence", str(number))

    return build


def _turn(box: Box, load: Load, number: int, bundle: Path) -> None:
    with load.change(number):
        box.cli("deploy", bundle)
    if number % 10 == 0:
        with load.change(number - 1):
            box.cli("rollback", "soak")
        with load.change(number):
            box.cli("rollback", "soak", "--to", f"{number}.0.0")
        with load.moving():
            box.cli("restart", "soak")
            for replicas in ("1", "4", "1", "2"):
                box.cli("scale", "soak/web", replicas)


def _tell(load: Load) -> None:
    for kind, count in sorted(load.asked.items()):
        print(f"{count:>8}  {kind}" + (f"; the slowest took {load.slowest[kind]} ms" if kind in load.slowest else ""))
    for failure in load.failures[:SHOWN]:
        print(failure)
    print(f"{load.asked.total()} requests, {len(load.failures)} failed")


def crash_loop(count: int) -> list[str]:
    """Fail so often, and look at what is left. Returns what is not as it must be."""
    with stage() as on:
        before = resident_mb(on.box.pid)
        loop = crashing.run(on.box, on.author, count, lambda seen: print(f"{seen} failures", file=sys.stderr))
        after = resident_mb(on.box.pid)
        last = on.box.cli("crash", "open", loop.latest, "--", "cat", "/tmp/last").out
    print(f"{loop.failures} failures in {loop.groups} groups; {loop.kept} scenes kept, {loop.disk} bytes of them")
    print(f"{loop.half} bytes after half of the failures; {loop.containers} dead containers are left")
    print(f"serve: {before:.1f} MB before, {after:.1f} MB after")
    wrong = {
        "equal failures are not one group": loop.groups != 1,
        "not the first and the latest are kept": loop.kept != 2,
        "scenes grow with failures": loop.disk > 1.5 * loop.half,
        "containers grow with failures": loop.containers > KEPT,
        "the file written last is not in the scene": not last.strip().isdigit(),
    }
    return [what for what, is_so in wrong.items() if is_so]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--deploys", type=int, default=100, metavar="N")
    parser.add_argument("--crashes", type=int, metavar="N", help="a service that fails N times instead")
    asked = parser.parse_args()
    terminate_cleanly()
    try:
        if asked.crashes is None:
            return 1 if soak(asked.deploys) else 0
        wrong = crash_loop(asked.crashes)
        for what in wrong:
            print(f"WRONG: {what}")
        return 1 if wrong else 0
    except (BoxError, PodmanError, OSError) as error:
        print(f"cannot soak: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
