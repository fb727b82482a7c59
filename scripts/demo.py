"""The demo: a private Podman, a signed bundle of the guestbook, a box, and the app behind its ingress.

Everything lives in one temporary directory and on free ports of 127.0.0.1, and is gone at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import signal
import subprocess
import sys
from pathlib import Path

from kit.box import (
    EXAMPLES,
    VENV_PROGRAM,
    Author,
    Box,
    BoxError,
    Program,
    free_port,
    prepare,
    terminate_cleanly,
    wait_for,
)
from kit.podman import PodmanError, PrivatePodman
from kit.words import paint, say, step

HOST = "guestbook.localhost"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--once", action="store_true", help="ask the app for an answer, clean up, and say how it went")
    once = parser.parse_args().once
    terminate_cleanly()
    say(paint("minipaas demo", "1") + ": one box on Podmans of its own; nothing else on this machine is touched")
    say()
    code = 0
    with contextlib.ExitStack() as stack:
        stack.callback(say, "  everything is cleaned up")
        try:
            _run(stack, once)
        except KeyboardInterrupt:
            say("\n  stopped")
            code = 130
        except (BoxError, PodmanError, OSError, subprocess.SubprocessError, http.client.HTTPException) as error:
            say(f"\n{paint('the demo failed', '31')}: {error}\n")
            code = 1
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it behind
            say("  cleaning up …")
    if once and code == 0:
        say(paint("the demo works", "32"))
    return code


def _run(stack: contextlib.ExitStack, once: bool) -> None:
    with step("start a private Podman for the box, and one for the author") as told:
        podman = stack.enter_context(PrivatePodman())
        workshop = stack.enter_context(PrivatePodman())
        told.detail = podman.run("version", "--format", "{{.Version}}").strip()
    directory = podman.directory / "demo"  # so that whatever cleans up after this Podman takes it along
    with step("make the base image from Debian packages", slow="half a minute the first time, then cached"):
        source = prepare("guestbook", workshop)
    author = Author(directory / "author", Program(workshop))
    with step("make a release key, and a trust root that names it"):
        author.make_keys()
    with step("build and sign the bundle", slow="a few seconds") as told:
        bundle = author.build(source, "guestbook")
        told.detail = f"{bundle.name}, {bundle.stat().st_size / 1e6:.0f} MB"
    box = Box(directory / "box", Program(podman), ingress=free_port(8080), page=free_port(7070))
    with step("start the box: minipaas serve"):
        stack.enter_context(box)
    with step("tell the box whom to trust: minipaas trust add root.json"):
        box.cli("trust", "add", author.root)
    say("  deploy it: minipaas deploy guestbook.bundle")
    _deploy(box, bundle)
    with step("ask the app through the ingress") as told:
        answer = wait_for("an answer of the app through the ingress", lambda: _answer(box), seconds=20)
        told.detail = f"200, {len(answer)} lines in the guestbook"
    if once:
        return
    _invite(box)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    say()


def _deploy(box: Box, bundle: Path) -> None:
    """The real command, its own progress on the terminal."""
    ran = subprocess.run(
        [*VENV_PROGRAM, "deploy", str(bundle)],
        env=box.program.environment(MINIPAAS_HOST=box.url),
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if ran.returncode != 0:
        raise BoxError(f"minipaas deploy ended with {ran.returncode}; the box says:\n{box.story()}")


def _answer(box: Box) -> list[object]:
    answer = box.get("/entries", host=HOST)
    return list(answer.json["entries"]) if answer.status == 200 else []


def _invite(box: Box) -> None:
    rows = (
        ("the app", f"http://{HOST}:{box.ingress}/"),
        ("the box", f"http://127.0.0.1:{box.page}/"),
        ("or type", f"curl -H 'Host: {HOST}' http://127.0.0.1:{box.ingress}/entries"),
        ("and", f"MINIPAAS_HOST={box.url} {EXAMPLES.parent}/.venv/bin/minipaas status guestbook"),
    )
    say()
    for name, value in rows:
        say(f"  {name:8} {paint(value, '36')}")
    say("\n  Ctrl-C ends it, and takes everything away again.")


if __name__ == "__main__":
    sys.exit(main())
