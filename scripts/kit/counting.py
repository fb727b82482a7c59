"""Numbered lines of several services while `serve` is killed and started again: every one must be kept once, and told
once to whoever follows."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

from kit.box import EXAMPLES, Author, Box, BoxError, fetch, wait_for

APP = "counting"
BURST = 2000
"""Lines between two pauses of a writer."""
_WRITE = """
echo ready
while [ ! -e /tmp/go ]; do sleep 0.2; done
i=0
while [ $i -lt {lines} ]; do
    i=$((i+1))
    if [ $((i % 2)) -eq 0 ]; then echo "number $i of {lines}"; else echo "number $i of {lines}" >&2; fi
    [ $((i % {burst})) -ne 0 ] || sleep {pause}
done
sleep 86400
"""


def bundle(author: Author, services: int, lines: int, pause: float) -> Path:
    """An app whose services write so many lines each, with pauses."""
    source = author.directory / f"{APP}-{services}-{lines}"
    shutil.copytree(EXAMPLES / "hello", source, symlinks=True)
    command = ["sh", "-c", _WRITE.format(lines=lines, burst=BURST, pause=pause)]
    spec: dict[str, Any] = {"app": {"name": APP, "version": "1.0.0"}}
    spec["services"] = {f"writer{n}": {"build": ".", "command": command, "stop": "1s"} for n in range(services)}
    (source / "app.toml").write_text(tomli_w.dumps(spec))
    return author.build(source, source.name)


class Follower:
    """`minipaas logs -f --json`, from before the first line to after the last."""

    def __init__(self, box: Box) -> None:
        self._out = box.directory / "followed.json"
        with self._out.open("wb") as out:
            self._process = subprocess.Popen(
                [*box.program.command, "logs", APP, "-f", "--json", "-n", "2000"],
                env=box.program.environment(MINIPAAS_HOST=box.url),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
            )

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it has shown."""
        with self._out.open("rb") as file:
            yield from map(json.loads, file)

    def count(self) -> int:
        """How many lines it has shown. Raises BoxError when it has ended."""
        if self._process.poll() is not None and self._process.stderr is not None:
            raise BoxError(f"logs -f has ended: {self._process.stderr.read().decode()}")
        return self._out.read_bytes().count(b"\n")

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self._process.send_signal(2)
        return self._process.wait(30)

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(30)
        if self._process.stderr is not None:
            self._process.stderr.close()


def kept(box: Box, service: str, secret: str) -> Iterator[dict[str, Any]]:
    """Every line of a service that the box has, read page by page, the last page first."""
    before = ""
    while True:
        path = f"/api/v1/apps/{APP}/logs?service={service}&tail=2000{before}"
        answer = fetch(box.page, path, headers={"Authorization": f"Bearer {secret}"}, timeout=60).json
        yield from answer["lines"]
        if not answer["more"] or not answer["lines"]:
            return
        before = f"&before={answer['lines'][0]['id']}"


class Tally:
    """Counts the lines of one service."""

    def __init__(self, count: int) -> None:
        self._times = bytearray(count + 1)
        self._crossed = 0
        self._said: list[str] = []

    def add(self, line: dict[str, Any]) -> None:
        """One line."""
        if line["stream"] == "minipaas":
            self._said.append(line["text"])
        elif line["text"].startswith("number "):
            number = int(line["text"].split()[1])
            self._times[number] += 1
            self._crossed += line["stream"] != ("stdout" if number % 2 == 0 else "stderr")

    def wrong(self) -> list[str]:
        """What is not as it should be."""
        missing = [number for number, times in enumerate(self._times) if number and not times]
        twice = [number for number, times in enumerate(self._times) if times > 1]
        found = [f"{len(missing)} missing, as {missing[:5]}"] if missing else []
        found += [f"{len(twice)} twice, as {twice[:5]}"] if twice else []
        found += [f"{self._crossed} in the wrong stream"] if self._crossed else []
        return found + self._said


def run(box: Box, author: Author, services: int, lines: int, kills: int, *, pause: float = 0.4) -> dict[str, list[str]]:
    """Let them write, kill `serve` again and again meanwhile; what is wrong, by reader. Empty: nothing."""
    box.cli("deploy", bundle(author, services, lines, pause), timeout=300)
    follower = Follower(box)
    try:
        wait_for("the follower has begun", lambda: follower.count() > 0, seconds=60)
        for container in box.program.podman.containers(APP):
            box.program.podman.run("exec", container, "touch", "/tmp/go")
        for number in range(kills):
            time.sleep(1.0)
            box.kill()
            time.sleep(0.1 * (number % 4))
            box.start()
        secret = box.cli("token", "new", "counter", "--role", "read", "--json").json["secret"]
        names = [f"writer{n}" for n in range(services)]
        wait_for(
            "all have written all",
            lambda: all(_last(box, name, secret, lines) for name in names),
            seconds=300,
            every=0.5,
        )
        wait_for("the follower has them too", lambda: follower.count() >= services * lines, seconds=300, every=0.5)
        if (code := follower.interrupt()) != 0:
            raise BoxError(f"logs -f ended with exit code {code} on Ctrl-C")
    finally:
        follower.close()
    tallies = {name: Tally(lines) for name in names} | {f"followed {name}": Tally(lines) for name in names}
    for line in follower.lines():
        tallies[f"followed {line['service']}"].add(line)
    for name in names:
        for line in kept(box, name, secret):
            tallies[name].add(line)
    return {name: trouble for name, tally in tallies.items() if (trouble := tally.wrong())}


def _last(box: Box, service: str, secret: str, lines: int) -> bool:
    path = f"/api/v1/apps/{APP}/logs?service={service}&tail=2&text={lines}%20of"
    answer = fetch(box.page, path, headers={"Authorization": f"Bearer {secret}"}, timeout=30).json
    return any(line["text"] == f"number {lines} of {lines}" for line in answer["lines"])
