"""The figures: each against its target, and where there is one against a yardstick measured in the same run.

crash    from the death of an instance to the first answer of its replacement, its scene kept, against raw podman start;
         and how much later one that hangs is stopped because its scene is taken first
deploy   a ~200 MB app from a file to the first 200 through the ingress, against raw podman load + run;
         and the next release of it with only the app layer changed
idle     memory and CPU of `serve` and of Podman's service with 50 healthy instances probed and measured every
         10 s; a reconcile round with nothing to do for 200 instances
start    `version`, `status` and `serve` (empty, and with 50 apps), from the start of the process: from the sources,
         as the program tree and as the one file
page     the status page with 200 apps: first paint in Chromium, sizes, and what one open page costs `serve`
ingress  the data path beside nginx, HAProxy, Caddy and an aiohttp proxy: requests a second, latency, CPU and memory,
         with small and large answers, uploads, TLS, WebSockets, idle and new connections, 200 routes
logs     what apps write: CPU of a line into the searchable store, a search in 10 million lines, disk, memory of `serve`
         with 50 instances followed, the p99 of the ingress while a service floods
counting 20 services write 100,000 numbered lines each while `serve` is killed ten times: which are missing or double
size     what the binary weighs, and what each part of it costs: bytes, import time, resident memory
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benches.crash import bench_crash
from benches.deploy import bench_deploy
from benches.idle import bench_idle
from benches.ingress.bench import add_arguments, bench_ingress
from benches.logs import bench_counting, bench_logs
from benches.page import bench_page
from benches.rows import show
from benches.size import bench_size
from benches.start import bench_start
from kit.box import BoxError, terminate_cleanly
from kit.podman import PodmanError

BENCHES = {
    "crash": (bench_crash, 10),
    "deploy": (bench_deploy, 3),
    "idle": (bench_idle, 1),
    "start": (bench_start, 5),
    "size": (bench_size, 5),
    "page": (bench_page, 7),
    "logs": (bench_logs, 3),
    "counting": (bench_counting, 1),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=(*BENCHES, "ingress"))
    parser.add_argument("--runs", type=int, help="how often; the table shows the median")
    parser.add_argument("--json", action="store_true", help="all values, for programs")
    add_arguments(parser.add_argument_group("ingress"))
    asked = parser.parse_args()
    terminate_cleanly()
    try:
        if asked.what == "ingress":
            return 0 if bench_ingress(asked) else 1
        bench, runs = BENCHES[asked.what]
        rows = bench_logs(asked.runs or runs, quick=asked.quick) if asked.what == "logs" else bench(asked.runs or runs)
    except (BoxError, PodmanError, OSError, subprocess.SubprocessError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    show(rows, asked.json)
    return 0 if all(row.verdict != "MISSED" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
