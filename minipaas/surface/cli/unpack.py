"""A tar from an instance, taken apart here. An instance is not to be trusted: what it sends must not leave its place.

What always holds: nothing is written but below the target, also not through links that came in the same tar or were
there; nothing gets set-user-id, nor an owner other than whoever copies; what is neither file, directory nor link is
left out.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Any

from minipaas.model.errors import Invalid, MinipaasError, Refused

PIECE = 256 * 1024


def unpack(stream: Any, target: Path, name: str) -> None:
    """Write the tar whose members lie below `name` (empty: at its top) to `target`: into it where it is a directory,
    else under that name. Raises Refused for what would lie elsewhere, MinipaasError when it is damaged or breaks
    off."""
    inside = target.is_dir()
    if name and inside:
        target = target / name
    elif not inside and str(target).endswith("/"):
        raise MinipaasError(f"cannot copy to {target}: there is no such directory", code="cli.file")
    elif not inside and not name:
        target.mkdir()
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                _unpack_one(tar, member, target, name)
    except tarfile.TarError as error:
        raise Invalid(f"cannot copy: what came is no whole archive: {error}", code="access.tar") from None


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, name: str) -> None:
    parts = _parts(member.name, name)
    place = target.joinpath(*parts)
    _check_way(target, parts, came=bool(name))
    if member.isdir():
        if place.is_symlink() or not place.is_dir():
            _clear(place)
            place.mkdir()
            place.chmod((member.mode & 0o777) | 0o700)
        return
    if member.isreg():
        source = tar.extractfile(member)
        if source is None:
            raise tarfile.ReadError("a file without content")
        _clear(place)
        _write(source, place, member)
    elif member.issym():
        _clear(place)
        place.symlink_to(member.linkname)
    elif member.islnk():
        linked = _parts(member.linkname, name)
        _check_way(target, linked, came=bool(name))
        _clear(place)
        os.link(target.joinpath(*linked), place, follow_symlinks=False)


def _parts(member: str, name: str) -> tuple[str, ...]:
    """The way of a member below the target."""
    path = PurePosixPath(member)
    parts = path.parts
    if path.is_absolute() or ".." in parts or (name and parts[:1] != (name,)):
        raise Refused(f"cannot copy {member[:200]!r}: it would lie outside of the target", code="access.unsafe")
    return parts[1:] if name else parts


def _check_way(target: Path, parts: tuple[str, ...], *, came: bool) -> None:
    """No directory on the way may be a link; the target too, when it `came` out of the tar."""
    if came and parts and target.is_symlink():
        raise Refused(f"cannot copy through {target}: it is a link", code="access.unsafe")
    place = target
    for part in parts[:-1]:
        place = place / part
        if place.is_symlink():
            raise Refused(f"cannot copy through {place}: it is a link", code="access.unsafe")


def _clear(place: Path) -> None:
    """Make room for a file or link; a directory with something in it stays, and that is an error."""
    if place.is_dir() and not place.is_symlink():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)


def _write(source: IO[bytes], place: Path, member: tarfile.TarInfo) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, member.mode & 0o777)
    with os.fdopen(descriptor, "wb") as file:
        while data := source.read(PIECE):
            file.write(data)
    os.utime(place, (member.mtime, member.mtime))
