"""What a build starts from, as digests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from minipaas.author.source import read_commit, read_context
from minipaas.model.errors import Missing


@pytest.fixture
def app(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    (directory / "sub").mkdir(parents=True)
    (directory / "Containerfile").write_text("FROM scratch\nCOPY . .\n")
    (directory / ".containerignore").write_text("ignored\n")
    (directory / "main.py").write_text("print()\n")
    (directory / "sub" / "data").write_text("1")
    return directory


CHANGES: list[tuple[str, Callable[[Path], object], bool]] = [
    ("another content", lambda d: (d / "sub" / "data").write_text("2"), True),
    ("another name", lambda d: (d / "main.py").rename(d / "app.py"), True),
    ("a new file", lambda d: (d / "new").write_text(""), True),
    ("made executable", lambda d: (d / "main.py").chmod(0o755), True),
    ("a link", lambda d: (d / "link").symlink_to("main.py"), True),
    ("a link to a directory", lambda d: (d / "link").symlink_to("sub"), True),
    ("touched", lambda d: (d / "main.py").touch(), False),
    ("a finished bundle", lambda d: (d / "app.bundle").write_text("x"), False),
    ("what is ignored", lambda d: (d / "ignored").mkdir() or (d / "ignored" / "x").write_text("x"), False),
    ("git's own files", lambda d: (d / ".git").mkdir() or (d / ".git" / "HEAD").write_text("x"), False),
]


@pytest.mark.parametrize(("change", "counts"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_the_digest_follows_the_content(app: Path, change: Callable[[Path], object], counts: bool) -> None:
    before = read_context(app, "web").digest
    change(app)
    assert (read_context(app, "web").digest != before) is counts


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        ("FROM scratch\n", ()),
        ("FROM localhost/base:1 AS build\nRUN x\nFROM  docker.io/library/b\nCOPY --from=build a b\n",
         ("docker.io/library/b", "localhost/base:1")),
        ("from --platform=linux/arm64 base as one\nFROM one\n", ("base",)),
        ("ARG X=1\nFROM base:${X}\n", ()),
    ],
)  # fmt: skip
def test_base_images(app: Path, text: str, bases: tuple[str, ...]) -> None:
    (app / "Containerfile").write_text(text)
    assert read_context(app, "web").bases == bases


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("COPY . .", True),
        ("copy --chown=1:1 ./ /app", True),
        ('ADD [".", "/app"]', True),
        ("COPY * /app/", True),
        ("COPY  main.py .", False),
        ("COPY --from=build . /app", False),
        ("COPY .env /", False),
        ("RUN COPY . .", False),
    ],
)
def test_whether_the_whole_directory_goes_in(app: Path, line: str, whole: bool) -> None:
    (app / "Containerfile").write_text(f"FROM scratch\n{line}\n")
    (app / "old.bundle").write_text("x")
    context = read_context(app, "web")
    assert context.copies_all is whole
    assert context.bundles == ("old.bundle",)
    assert set(context.files) == {".containerignore", "Containerfile", "main.py", "sub/data"}


def test_a_dockerfile_will_do_and_a_containerfile_wins(app: Path) -> None:
    (app / "Dockerfile").write_text("FROM other\n")
    assert read_context(app, "web").containerfile.name == "Containerfile"
    (app / "Containerfile").unlink()
    assert read_context(app, "web").containerfile.name == "Dockerfile"


def test_what_is_missing_is_named_with_the_way_out(app: Path) -> None:
    with pytest.raises(Missing, match="there is no directory"):
        read_context(app / "nowhere", "web")
    with pytest.raises(Missing, match="no Containerfile") as caught:
        read_context(app / "sub", "web")
    assert "image =" in caught.value.hint


def git(directory: Path, *args: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, "-C", str(directory), *args], check=True, capture_output=True, timeout=30)


def test_commit_and_dirt(app: Path) -> None:
    assert read_commit(app) is None
    git(app, "init", "-q")
    assert read_commit(app) is None
    git(app, "add", ".")
    git(app, "commit", "-qm", "one")
    clean = read_commit(app)
    assert clean is not None
    assert (len(clean.id), clean.dirty) == (40, False)
    (app / "app.bundle").write_text("x")
    assert read_commit(app) == clean
    (app / "new.py").write_text("x")
    dirty = read_commit(app)
    assert dirty is not None
    assert (dirty.id, dirty.dirty) == (clean.id, True)
