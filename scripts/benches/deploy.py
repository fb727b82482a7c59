"""A ~200 MB app from a file to the first 200 through the ingress, against raw Podman; and its next release."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kit.box import Author, Box, Program, free_port, prepare
from kit.podman import PrivatePodman

from benches.answers import first_answer
from benches.rows import Row, note

BIG = """\
[app]
name = "big"
version = "{version}"

[services.web]
build = "."
port = 8000
routes = ["big.localhost"]
health = {{ http = "/", interval = "1s", timeout = "2s", grace = "30s" }}
"""
BIG_CONTAINERFILE = """\
FROM localhost/debian-guestbook:bookworm
COPY ballast /opt/ballast
COPY www /www
USER 1000:1000
CMD ["python3", "-m", "http.server", "--directory", "/www", "8000"]
"""


def bench_deploy(runs: int) -> list[Row]:
    """(a) the first deploy against raw Podman, (b) the next release against the first deploy."""
    ours: list[float] = []
    raw: list[float] = []
    second: list[float] = []
    with PrivatePodman() as maker, PrivatePodman() as podman:
        author, first, then, archive = _big_app(maker)
        sent = 0.0
        for number in range(runs):
            note(f"run {number + 1} of {runs}")
            # who goes first changes, so that neither always finds a warmer machine
            order = (_raw_once, _ours_once) if number % 2 == 0 else (_ours_once, _raw_once)
            for once in order:
                if once is _raw_once:
                    raw.append(_raw_once(podman, archive))
                else:
                    one, two = _ours_once(podman, author, first, then, number)
                    ours.append(one)
                    second.append(two)
        size = archive.stat().st_size / 1e6
        sent = first.stat().st_size / 1e6
    ratios = [a / b for a, b in zip(ours, raw, strict=True)]
    again = [b / a for a, b in zip(ours, second, strict=True)]
    return [
        Row("podman load + run, first 200", raw, "s", beside=f"image archive {size:.0f} MB"),
        Row("minipaas deploy, first 200 through the ingress", ours, "s", beside=f"bundle {sent:.0f} MB"),
        Row("  against raw Podman", ratios, "x", 1.3),
        Row("the next release, only the app layer changed", second, "s"),
        Row("  against the first deploy", again, "x", 0.25),
    ]


def _big_app(maker: PrivatePodman) -> tuple[Author, Path, Path, Path]:
    """The author, two bundles, and the first image as an archive for `podman load`."""
    note("making a ~200 MB app")
    prepare("guestbook", maker)
    author = Author(maker.directory / "author", Program(maker))
    author.make_keys()
    source = maker.directory / "big"
    (source / "www").mkdir(parents=True)
    (source / "Containerfile").write_text(BIG_CONTAINERFILE)
    # half of it compresses, as real files do
    (source / "ballast").write_bytes(b"".join(os.urandom(8192) + bytes(8192) for _ in range(20 * 1024 * 1024 // 16384)))
    bundles = []
    for sequence, version in enumerate(("1.0.0", "2.0.0"), start=1):
        (source / "app.toml").write_text(BIG.format(version=version))
        (source / "www/index.html").write_text(f"big {version}\n")
        bundles.append(author.build(source, f"big-{version}", "--sequence", str(sequence)))
        if sequence == 1:
            archive = maker.directory / "big.tar"
            maker.run("build", "--tag", "localhost/raw-big", str(source))
            maker.run("save", "--output", str(archive), "localhost/raw-big")
    return author, bundles[0], bundles[1], archive


def _empty(podman: PrivatePodman) -> None:
    podman.run("rm", "--all", "--force", "--time", "0")
    podman.run("rmi", "--all", "--force", check=False)
    podman.run("network", "prune", "--force")
    os.sync()


def _raw_once(podman: PrivatePodman, archive: Path) -> float:
    _empty(podman)
    port = free_port()
    with first_answer(port, "", "big 1.0.0") as seconds:
        podman.run("load", "--input", str(archive))
        podman.run("run", "--detach", "--publish", f"127.0.0.1:{port}:8000", "localhost/raw-big")
        taken = seconds()
    _empty(podman)
    return taken


def _ours_once(podman: PrivatePodman, author: Author, first: Path, then: Path, number: int) -> tuple[float, float]:
    _empty(podman)
    taken = []
    with Box(podman.directory / f"box{number}", Program(podman)) as box:
        box.cli("trust", "add", author.root)
        for bundle, mark in ((first, "big 1.0.0"), (then, "big 2.0.0")):
            os.sync()
            with first_answer(box.ingress, "big.localhost", mark) as seconds:
                box.cli("deploy", bundle)
                taken.append(seconds())
    _empty(podman)
    shutil.rmtree(podman.directory / f"box{number}")
    return taken[0], taken[1]
