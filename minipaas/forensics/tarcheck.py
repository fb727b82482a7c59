"""A tar on its way into an instance, looked at as it passes. No I/O.

What always holds: nothing passes whose name, or the name that a hard link points at, lies outside of the directory it
is meant for; nothing but files, directories and links; no more bytes than allowed. A member's header is judged before
any of it is handed on. Source: POSIX pax (`ustar`, `x` headers), GNU tar (`L`, `K`).
"""

from __future__ import annotations

import tarfile
from pathlib import PurePosixPath

from minipaas.model.errors import Invalid, Refused
from minipaas.model.units import human_bytes

BLOCK = tarfile.BLOCKSIZE
_LONGEST = 64 * 1024
"""Of what a header says in a body of its own."""
_PLAIN = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE})
_BODIES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}


class TarCheck:
    """One tar; `feed` each piece before it goes on, and `end` at the end."""

    def __init__(self, largest: int, verb: str = "copy") -> None:
        """`largest`: bytes of the whole tar. `verb`: what is done with it, in messages."""
        self._largest = largest
        self._verb = verb
        self._total = 0
        self._block = bytearray()
        self._skip = 0
        self._said: bytearray | None = None
        """The body of a header that says more about the next one."""
        self._said_left = 0
        self._said_kind = b""
        self._next: dict[str, str] = {}
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Raises Refused (`access.unsafe`, `access.too_large`), Invalid (`access.tar`)."""
        self._total += len(data)
        if self._total > self._largest:
            raise Refused(
                f"cannot {self._verb} more than {human_bytes(self._largest)}",
                hint="[access] copy in config.toml says so",
                code="access.too_large",
            )
        view = memoryview(data)
        while view and not self._ended:
            if self._skip:
                count = min(self._skip, len(view))
                if self._said is not None:
                    self._said += view[: max(0, min(count, self._said_left - len(self._said)))]
                self._skip -= count
                view = view[count:]
                if not self._skip and self._said is not None:
                    self._learn()
                continue
            count = min(BLOCK - len(self._block), len(view))
            self._block += view[:count]
            view = view[count:]
            if len(self._block) == BLOCK:
                block, self._block = bytes(self._block), bytearray()
                self._header(block)

    def end(self) -> None:
        """Raises Invalid for a tar that is not whole."""
        if not self._ended and (self._skip or self._block):
            raise self._damaged("it ends in the middle")

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._ended = True
            return
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._damaged(str(error)) from None
        if member.type == tarfile.XHDTYPE or member.type in _BODIES:
            if not 0 < member.size <= _LONGEST:
                raise self._damaged("a header is too long")
            self._said, self._said_left, self._said_kind = bytearray(), member.size, member.type
            self._skip = _blocks(member.size)
            return
        said, self._next = self._next, {}
        if member.type not in _PLAIN:
            raise self._unsafe(member.name, "neither a file, nor a directory, nor a link")
        self._within(said.get("path", member.name))
        if member.type == tarfile.LNKTYPE:
            self._within(said.get("linkpath", member.linkname))
        try:
            size = int(said.get("size", member.size))
        except ValueError:
            size = -1
        if size < 0:
            raise self._damaged("a size is no number")
        self._skip = _blocks(size) if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0

    def _learn(self) -> None:
        """What a header's body says about the next member."""
        said, self._said = bytes(self._said or b""), None
        if self._said_kind in _BODIES:
            self._next[_BODIES[self._said_kind]] = said.rstrip(b"\0").decode("utf-8", "surrogateescape")
            return
        while said:
            length, blank, _ = said.partition(b" ")
            if not blank or not length.isdigit() or not len(length) + 2 <= int(length) <= len(said):
                raise self._damaged("a pax header is none")
            key, _, value = said[len(length) + 1 : int(length) - 1].partition(b"=")
            if key.startswith(b"GNU.sparse"):  # a few bytes that become as many zeros as they like
                raise self._unsafe(self._next.get("path", "a file"), "it is sparse")
            self._next[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
            said = said[int(length) :]

    def _within(self, name: str) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or not name:
            raise self._unsafe(name, "it would lie outside")

    def _unsafe(self, name: str, why: str) -> Refused:
        return Refused(f"cannot {self._verb} {name[:200]!r}: {why}", code="access.unsafe")

    def _damaged(self, why: str) -> Invalid:
        return Invalid(f"cannot {self._verb}: the archive is damaged: {why}", code="access.tar")


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
