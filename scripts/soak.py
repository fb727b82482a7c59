"""Deploys under load on a real Podman, and the count of requests that did not get their right answer: it has to be 0.

Two services change with every deploy: `web` has two instances and is replaced side by side; `store` holds a volume, so
it is stopped before its successor starts. Each is asked by a client that keeps its connection, by one that makes a new
one for every request, and by one that sends a body, which must not be sent twice. An answer is right when it is whole,
has status 200 and comes from a release that may answer at that moment.
"""

from __future__ import annotations

import argparse
import http.client
import re
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benches.idle import resident_mb
from kit import crashing
from kit.box import Author, Box, BoxError, Program, prepare, terminate_cleanly
from kit.podman import PodmanError, PrivatePodman

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
"""
HOSTS = ("web.localhost", "store.localhost")
PAUSE = 0.02
"""Seconds between two requests of a client."""
PATIENCE = 75.0
"""Seconds for one answer; longer than requests are held."""
BODY = b"x" * 1024
SHOWN = 20
KEPT = 3
"""Containers of a service that has failed stay with Podman."""
_RELEASE = re.compile(rb"release (\d+) from ")


class Load:
    """The clients. `allowed` are the numbers of the releases that may answer now."""

    def __init__(self, box: Box) -> None:
        self.allowed = frozenset({1})
        self.asked: Counter[str] = Counter()
        self.slowest: Counter[str] = Counter()
        """Milliseconds."""
        self.failures: list[str] = []
        self._box = box
        self._stop = threading.Event()
        kinds = (("GET", True), ("GET", False), ("POST", True))
        self._threads = [
            threading.Thread(target=self._run, args=(host, method, keep), name=f"{method} {host}")
            for host in HOSTS
            for method, keep in kinds
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    @contextmanager
    def change(self, number: int) -> Iterator[None]:
        """Until the end of the block the release may still be the one of before; then it has to be this one."""
        self.allowed |= {number}
        yield
        self.allowed = frozenset({number})

    def _run(self, host: str, method: str, keep: bool) -> None:
        kind = f"{method} {host}, {'one connection' if keep else 'a connection each'}"
        connection = http.client.HTTPConnection("127.0.0.1", self._box.ingress, timeout=PATIENCE)
        while not self._stop.wait(PAUSE):
            before, begun = self.allowed, time.monotonic()
            try:
                connection.request(method, "/cgi-bin/whoami", BODY if method == "POST" else None, {"Host": host})
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._failed(kind, repr(error))
            else:
                found = _RELEASE.search(body)
                if response.status != 200 or found is None:
                    self._failed(kind, f"{response.status}: {body[:100]!r}")
                elif int(found[1]) not in before | self.allowed:
                    self._failed(kind, f"release {int(found[1])} answered instead of {sorted(self.allowed)}")
            self.asked[kind] += 1
            self.slowest[kind] = max(self.slowest[kind], round(1000 * (time.monotonic() - begun)))
            if not keep:
                connection.close()
        connection.close()

    def _failed(self, kind: str, why: str) -> None:
        self.failures.append(f"{time.strftime('%H:%M:%S')} {kind}: {why}")


def soak(deploys: int) -> int:
    """Do it. Returns the number of failed requests."""
    with PrivatePodman() as maker, PrivatePodman() as podman:
        author = Author(maker.directory / "author", Program(maker))
        author.make_keys()
        build = _builder(author, prepare("hello", maker), maker.directory / "soak")
        with Box(podman.directory / "box", Program(podman)) as box:
            box.cli("trust", "add", author.root)
            box.cli("deploy", build(1))
            with Load(box) as load:
                for number in range(2, deploys + 2):
                    _turn(box, load, number, build(number))
                    print(
                        f"{number - 1} of {deploys}: {load.asked.total()} requests, {len(load.failures)} failed",
                        flush=True,
                    )
            _tell(load)
            return len(load.failures)


def _builder(author: Author, hello: Path, source: Path) -> Callable[[int], Path]:
    shutil.copytree(hello, source, symlinks=True)

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
        box.cli("restart", "soak")
        for replicas in ("1", "4", "2"):
            box.cli("scale", "soak/web", replicas)


def _tell(load: Load) -> None:
    for kind, count in sorted(load.asked.items()):
        print(f"{count:>8}  {kind}; the slowest took {load.slowest[kind]} ms")
    for failure in load.failures[:SHOWN]:
        print(failure)
    print(f"{load.asked.total()} requests, {len(load.failures)} failed")


def crash_loop(count: int) -> list[str]:
    """Fail so often, and look at what is left. Returns what is not as it must be."""
    with PrivatePodman() as podman:
        program = Program(podman)
        author = Author(podman.directory / "author", program)
        author.make_keys()
        prepare("hello", podman)
        with Box(podman.directory / "box", program) as box:
            box.cli("trust", "add", author.root)
            before = resident_mb(box.pid)
            loop = crashing.run(box, author, count, lambda seen: print(f"{seen} failures", file=sys.stderr))
            after = resident_mb(box.pid)
            last = box.cli("crash", "open", loop.latest, "--", "cat", "/tmp/last").out
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
