"""What a build starts from, as digests: directories, Containerfiles, the git commit.

What always holds: the same files give the same digests, on every machine and in every order of reading; what
`.containerignore` names, bundles and git's own directory do not count, so that a build does not change what it is built
from.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from minipaas.author.limits import LIMITS
from minipaas.engine.context import IGNORE_FILES, Ignore
from minipaas.model.errors import Invalid, Missing

CONTAINERFILES = ("Containerfile", "Dockerfile")
_BUNDLE = ".bundle"
_COPY_ALL = re.compile(
    r"^\s*(?:COPY|ADD)\s+(?:--(?!from)\S+\s+)*(?:\[\s*\")?(?:\./?|\*)\"?[\s,]", re.IGNORECASE | re.MULTILINE
)
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE | re.MULTILINE)


class Context(Struct, frozen=True, kw_only=True):
    """A build directory and what is in it."""

    directory: Path
    containerfile: Path
    containerfile_digest: str
    """`sha256:<hex>`"""
    digest: str
    """Of the sorted list of `files`: `KIND SHA256 PATH`, one a line."""
    files: tuple[str, ...]
    """What a build can see, relative to the directory; without git's own directory and finished bundles."""
    bundles: tuple[str, ...]
    """Finished bundles that a build can see."""
    copies_all: bool
    """Whether the Containerfile copies the whole directory."""
    bases: tuple[str, ...]
    """Images named by FROM, except scratch and stages; build arguments stay unresolved and are left out."""


class Commit(Struct, frozen=True, kw_only=True):
    """Where a git work tree stands."""

    id: str
    dirty: bool
    """Whether files under the directory differ from the commit, or are not in it."""


def read_context(directory: Path, what: str) -> Context:
    """Look at a build directory. Raises Missing when it or its Containerfile is not there; `what`: who asks."""
    if not directory.is_dir():
        raise Missing(f"cannot build {what}: there is no directory {directory}", code="author.context")
    found = next((directory / name for name in CONTAINERFILES if (directory / name).is_file()), None)
    if found is None:
        raise Missing(
            f"cannot build {what}: there is no Containerfile in {directory}",
            hint='write one, or name a local image: image = "localhost/name:tag"',
            code="author.containerfile",
        )
    data = found.read_bytes()
    if len(data) > LIMITS.containerfile:
        raise Invalid(f"cannot build {what}: {found} is larger than {LIMITS.containerfile // 1024} KiB")
    files = sorted(_files(directory, found.name))
    text = data.decode("utf-8", "replace")
    return Context(
        directory=directory,
        containerfile=found,
        containerfile_digest="sha256:" + hashlib.sha256(data).hexdigest(),
        digest=_tree_digest(directory, files),
        files=tuple(path for path, _ in files if not path.endswith(_BUNDLE)),
        bundles=tuple(path for path, _ in files if path.endswith(_BUNDLE)),
        copies_all=_COPY_ALL.search(text) is not None,
        bases=_bases(text),
    )


def _bases(text: str) -> tuple[str, ...]:
    stages: set[str] = set()
    bases: list[str] = []
    for match in _FROM.finditer(text):
        image, stage = match[1], match[2]
        if image.lower() != "scratch" and image.lower() not in stages and "$" not in image:
            bases.append(image)
        if stage:
            stages.add(stage.lower())
    return tuple(sorted(set(bases)))


def _tree_digest(directory: Path, files: Sequence[tuple[str, os.stat_result]]) -> str:
    total = hashlib.sha256()
    for path, info in files:
        if path.endswith(_BUNDLE):
            continue
        if stat.S_ISLNK(info.st_mode):
            target = os.readlink(directory / path)  # noqa: PTH115 (Path would tidy it up)
            kind, content = "link", hashlib.sha256(os.fsencode(target)).hexdigest()
        else:
            kind = "exec" if info.st_mode & stat.S_IXUSR else "file"
            with (directory / path).open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{kind} {content} {path}\n".encode("utf-8", "surrogateescape"))
    return "sha256:" + total.hexdigest()


def _files(directory: Path, containerfile: str) -> Iterator[tuple[str, os.stat_result]]:
    """Regular files and symbolic links that a build can see, by path relative to `directory`."""
    ignore = Ignore.read(directory)
    count = 0
    for here, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name != ".git"]
        linked = [name for name in directories if Path(here, name).is_symlink()]
        for name in (*files, *linked):
            path = Path(here, name)
            relative = path.relative_to(directory).as_posix()
            info = path.lstat()
            wanted = not ignore(relative) or relative in (containerfile, *IGNORE_FILES)
            if not wanted or not (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)):
                continue
            count += 1
            if count > LIMITS.context_files:
                raise Invalid(
                    f"cannot build from {directory}: it holds more than {LIMITS.context_files} files",
                    hint="give the Containerfile a directory of its own",
                    code="author.context",
                )
            yield relative, info


def read_commit(directory: Path) -> Commit | None:
    """The commit that the directory is at; None outside a git work tree or without git."""
    head = _git(directory, "rev-parse", "--verify", "HEAD")
    if head is None:
        return None
    changed = _git(directory, "status", "--porcelain", "--", ".", ":(exclude,glob)**/*.bundle")
    return Commit(id=head.strip(), dirty=changed is None or bool(changed.strip()))


def _git(directory: Path, *args: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(directory), *args]
    try:
        done = subprocess.run(command, capture_output=True, timeout=LIMITS.git, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
