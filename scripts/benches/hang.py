"""A process that hangs: how much later it is stopped because its scene is taken first, while it lives.

The same deadlock is stopped twice over: by minipaas after its health checks have failed, which takes the scene, and by
hand before they have, which takes none. Both times are from the beginning of the step that stops it, as minipaas has
written it down, until the process has died, as Podman has.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
from pathlib import Path

import tomli_w
from kit.box import Box, BoxError, wait_for
from kit.podman import PrivatePodman
from kit.stage import Stage, stage

from benches.rows import Row, note

MORE = 0.15
"""Seconds that a scene may cost."""
APP = "stuck"
PORT = 8080
THREADS = 31
"""Of the process that hangs: thirty, and the first."""
_STUCK = r"""
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;

static void *left(void *unused) {
    pthread_mutex_lock(&first);
    usleep(20000);
    pthread_mutex_lock(&second);
    return unused;
}

static void *right(void *unused) {
    pthread_mutex_lock(&second);
    usleep(20000);
    pthread_mutex_lock(&first);
    return unused;
}

int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int one = 1, door = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {.tv_usec = 200000};
    signal(SIGPIPE, SIG_IGN);
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 64)) return 1;
    for (;;) {
        int guest = accept(door, 0, 0);
        char asked[4096];
        setsockopt(guest, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (read(guest, asked, sizeof asked) > 0 && !access("/tmp/go", F_OK)) {
            pthread_t thread;
            for (int number = 0; number < 30; number++) pthread_create(&thread, 0, number % 2 ? left : right, 0);
            usleep(50000);
            pthread_mutex_lock(&first);
        }
        static const char fine[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        write(guest, fine, sizeof fine - 1);
        close(guest);
    }
}
"""


def bench_hang(runs: int) -> list[Row]:
    """Each run hangs two services that have never failed."""
    with stage(workshop=True) as on:
        on.box.cli("deploy", _bundle(on, runs))
        without, taken, replaced = [], [], []
        for number in range(1, runs + 1):
            note(f"hang {number} of {runs}")
            without.append(_by_hand(on.box, on.podman, f"by-hand-{number}"))
            seconds, until_started = _failed(on.box, on.podman, f"fails-{number}")
            taken.append(seconds)
            replaced.append(until_started)
        whole = _whole(on.box, runs)
    more = [ours - statistics.median(without) for ours in taken]
    return [
        Row("a hang: from the decision to stop it until it has died, without a scene", without, "s"),
        Row("  the same, its scene taken before", taken, "s"),
        Row(
            "  that much more, at worst",
            [max(more)],
            "s",
            MORE,
            f"{statistics.median(more):.3f} s at the median; {whole} of {runs} scenes whole",
        ),
        Row("  from the decision until its replacement is started", replaced, "s"),
    ]


def _bundle(on: Stage, runs: int) -> Path:
    source = on.source(APP)
    (source / "stuck.c").write_text(_STUCK)
    program = [source / "rootfs/bin/stuck", source / "stuck.c"]
    subprocess.run(["gcc", "-static", "-O1", "-pthread", "-w", "-o", *program], check=True, timeout=60)
    one = {
        "build": ".",
        "command": ["/bin/stuck"],
        "port": PORT,
        "memory": "32MiB",
        "stop": "2s",
        "health": {"http": "/", "interval": "1s", "timeout": "500ms", "grace": "20s", "retries": 3},
    }
    names = [f"{kind}-{number}" for kind in ("by-hand", "fails") for number in range(1, runs + 1)]
    spec = {
        "app": {"name": APP, "version": "1.0.0"},
        "services": {name: one | {"routes": [f"{name}.localhost"]} for name in names},
    }
    (source / "app.toml").write_text(tomli_w.dumps(spec))
    return on.author.build(source, APP)


def _hang(box: Box, service: str) -> str:
    """Let it lock itself up; its container."""
    (scratch,) = [one for one in (box.data / "scratch").iterdir() if f"-{service}-1-" in one.name]
    (scratch / "tmp/go").touch()
    with contextlib.suppress(OSError):
        box.get("/", host=f"{service}.localhost", timeout=0.1)
    return scratch.name


def _by_hand(box: Box, podman: PrivatePodman, service: str) -> float:
    container = _hang(box, service)
    box.cli("scale", f"{APP}/{service}", "0")
    return _ended(podman, container) - _began(box, service, "StopInstance")


def _failed(box: Box, podman: PrivatePodman, service: str) -> tuple[float, float]:
    container = _hang(box, service)
    started, stopped = _began(box, service, "StartInstance"), _began(box, service, "StopInstance")
    return _ended(podman, container) - stopped, started - stopped


def _began(box: Box, service: str, kind: str) -> float:
    """When minipaas began to do such a thing to it by itself, Unix seconds; waits for it."""

    def look() -> list[float]:
        told = box.api(f"/apps/{APP}/events?limit=200")["events"]
        return [one["at"] for one in told if one["step"] == kind and f" {service} #1" in one["title"]]

    (found,) = wait_for(f"{kind} of {service}", look)
    return float(found)


def _ended(podman: PrivatePodman, container: str) -> float:
    """When it died, Unix seconds; waits for it."""

    def look() -> list[float]:
        wanted = ("--filter", f"container={container}", "--filter", "event=died", "--format", "{{.Time.UnixNano}}")
        return [int(line) / 1e9 for line in podman.run("events", "--stream=false", *wanted).split()]

    (found,) = wait_for(f"the end of {container}", look)
    return float(found)


def _whole(box: Box, runs: int) -> int:
    """How many scenes tell of every thread that waited. Raises BoxError unless there is one of each that failed, with
    the process that hung, and none of the others."""

    def kept() -> list[str]:
        found = [one["id"] for one in box.cli("crashes", APP, "--json").json["groups"]]
        return found if len(found) >= runs else []

    scenes = [box.cli("crash", "show", one, "--json").json["capsule"] for one in wait_for("every scene", kept)]
    stuck = [[one for one in scene["alive"]["processes"] if one["threads"] == THREADS] for scene in scenes]
    lacking = sorted({word for scene in scenes for word in (*scene["missing"], *scene["alive"]["missing"])})
    for word in lacking:
        note(f"lacking: {word}")
    if len(scenes) != runs or not all(stuck):
        raise BoxError(f"of {runs} hangs there are {len(scenes)} scenes, {sum(map(bool, stuck))} with the process")
    return sum(sum(group["count"] for group in one["stacks"]) == THREADS for (one, *_) in stuck)
