"""A capsule as one file, signed by its box, to be looked into and opened on another machine: what is in it, and how it
is read. `exporting` writes it.

A USTAR tar of

    signature.json          a Sigstore bundle v0.3 over an in-toto Statement v1 whose subjects are the other members
    box.pub                 the key that made it
    capsule.json, log.txt   what is known, and the last lines of the log
    files.tar.zst           what the instance has written, where it has written anything
    image.json              the manifest of its image, and what that names, where the image was asked for
    image-config.json
    layers/HEX.tar.zst

What always holds: nothing of a file is believed before its signature was checked over every byte; it has no member but
these, and none is larger than `_SIZES` and the limits of bundles allow; the file is opened once, and what was checked
is what is used. The key says which box it was; that it is the right one is for people to compare (`crash key`).
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct, field

from minipaas.bundle import dsse
from minipaas.bundle.keys import PublicKey, SigningKey
from minipaas.bundle.limits import DEFAULT_LIMITS, MAX_BLOB
from minipaas.bundle.statement import STATEMENT_TYPE, Subject
from minipaas.control.image_parts import ImageParts, parts_of, section
from minipaas.forensics import limits
from minipaas.forensics.shelf import CAPSULE, FILES, LOG
from minipaas.model.capsule import Capsule
from minipaas.model.errors import Invalid, Missing, Refused

ENDING: Final = ".crash"
MEDIA_TYPE: Final = "application/vnd.minipaas.crash.v1+tar"
PREDICATE: Final = "https://minipaas.dev/crash/v1"
KEY, SIGNATURE, IMAGE, CONFIG = "box.pub", "signature.json", "image.json", "image-config.json"
_SIZES: Final = {
    CAPSULE: limits.CAPSULE,
    LOG: limits.LOG_SIZE,
    FILES: 2 * limits.FILES,
    KEY: 4096,
    SIGNATURE: 1024**2,
    IMAGE: DEFAULT_LIMITS.metadata_each,
    CONFIG: DEFAULT_LIMITS.metadata_each,
}
"""What a file may have in it, and how large."""
_BULK: Final = (FILES,)
_PADDING: Final = 2 * tarfile.RECORDSIZE
"""Zeros at the end of a tar."""
_LAYER: Final = re.compile(r"layers/([0-9a-f]{64})\.tar\.zst")
_ID: Final = re.compile(r"[0-9a-f]{1,64}(-[0-9a-f]{1,16})?")
_IMAGE_ID: Final = re.compile(r"(sha256:[0-9a-f]{64})?")


class Predicate(Struct, frozen=True, kw_only=True):
    """What the scene is of."""

    app: str
    service: str
    id: str


class Statement(Struct, frozen=True, kw_only=True, rename="camel"):
    """What the box has signed."""

    type: str = field(name="_type", default=STATEMENT_TYPE)
    subject: tuple[Subject, ...]
    predicate_type: str = PREDICATE
    predicate: Predicate


class Exported(Struct, frozen=True, kw_only=True):
    """What such a file says, after its signature was checked."""

    capsule: Capsule
    log: str
    key_id: str
    """Of the box."""
    has_image: bool


class SceneFile:
    """One that is open, and was checked."""

    def __init__(
        self, exported: Exported, public: PublicKey, file: BinaryIO, members: dict[str, tuple[int, int]]
    ) -> None:
        self.exported = exported
        self.public = public
        self._file = file
        self._members = members
        """Offset and size."""

    def files(self) -> Iterator[bytes] | None:
        """The archive of what it has written, compressed; None: it has written nothing."""
        return self._section(FILES) if FILES in self._members else None

    def image(self) -> ImageParts | None:
        """None: it was left out. Raises Invalid."""
        if not self.exported.has_image:
            return None
        manifest, config = (b"".join(self._section(name)) for name in (IMAGE, CONFIG))
        try:
            return parts_of(manifest, config, lambda digest: self._section(layer_name(digest)))
        except (ValueError, msgspec.MsgspecError) as error:
            raise _not_one(self._file.name, error) from None

    def _section(self, name: str) -> Iterator[bytes]:
        return section(self._file, *self._members[name])


def box_key(data: Path) -> SigningKey:
    """The key of this box; made when there is none yet. Blocking. Raises MinipaasError, OSError."""
    path = data / "box.key"
    if not path.exists():
        SigningKey.generate().save(path)
    return SigningKey.load(path)


def public_key(data: Path) -> PublicKey:
    """Its public part, when it has been made. Blocking. Raises Missing, MinipaasError."""
    try:
        return PublicKey.load(data / "box.key.pub")
    except Missing:
        raise Missing(
            "cannot tell the key of this box: it has none yet",
            hint="it is made when the box starts, and at the latest by the first export: minipaas doctor says whether "
            "the disk is full",
            code="crash.no_key",
        ) from None


def read(path: Path, believed: PublicKey | None = None) -> Exported:
    """Check a file and look into it. `believed`: whose it must be; None: whoever says so in it. Blocking.

    Raises Missing, Invalid (`crash.format`), Refused (`crash.signature`).
    """
    with opened(path, believed) as found:
        return found.exported


@contextmanager
def opened(path: Path, believed: PublicKey | None = None) -> Iterator[SceneFile]:
    """The same, and the file stays open for its parts."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Missing(f"cannot open {path}: there is no such file", code="crash.no_file") from None
    except OSError as error:
        raise _not_one(str(path), error) from None
    with file:
        yield _checked(path, file, believed)


def _checked(path: Path, file: BinaryIO, believed: PublicKey | None) -> SceneFile:
    what = f"cannot open {path}"
    try:
        members, small, digests = _members(file)
        key = PublicKey.parse(small[KEY], f"the key in {path}")
        signed = dsse.parse(small[SIGNATURE], str(path))
        statement = msgspec.json.decode(signed.payload, type=Statement)
        capsule = msgspec.json.decode(small[CAPSULE], type=Capsule)
        if not _ID.fullmatch(capsule.id) or not _IMAGE_ID.fullmatch(capsule.image_id):
            raise ValueError("it names no scene")
        log = small[LOG].decode(errors="replace")
    except (OSError, KeyError, tarfile.TarError, msgspec.MsgspecError, ValueError) as error:
        raise _not_one(str(path), error) from None
    del digests[SIGNATURE]
    told = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if (
        statement.predicate_type != PREDICATE
        or told != digests
        or not key.verify(signed.signature, dsse.pae(signed.payload))
    ):
        raise Refused(f"{what}: it was changed after its box signed it", hint="export it again", code="crash.signature")
    if believed is not None and key != believed:
        raise Refused(
            f"{what}: it was signed by the box with key {key.key_id[:16]}, not by the one that you believe",
            hint="compare with `minipaas crash key` on the box",
            code="crash.signature",
        )
    has_image = IMAGE in members and CONFIG in members
    exported = Exported(capsule=capsule, log=log, key_id=key.key_id, has_image=has_image)
    found = SceneFile(exported, key, file, members)
    _check_image(found, path, members)
    return found


def _check_image(found: SceneFile, path: Path, members: dict[str, tuple[int, int]]) -> None:
    """Its layers are there, and no others."""
    image = found.image()
    wanted = {layer_name(layer.digest) for layer in image.layers} if image is not None else set()
    there = {name for name in members if _LAYER.fullmatch(name)}
    if wanted != there or (image is not None and image.id != found.exported.capsule.image_id):
        raise _not_one(str(path), ValueError("it does not hold the image that the instance ran"))


def _members(file: BinaryIO) -> tuple[dict[str, tuple[int, int]], dict[str, bytes], dict[str, str]]:
    """Where each member lies, the contents of the small ones, and the digests of all."""
    places: dict[str, tuple[int, int]] = {}
    small: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    at = 0
    while any(head := os.pread(file.fileno(), tarfile.BLOCKSIZE, at)):
        name, size = _parsed(head)
        layer = _LAYER.fullmatch(name) is not None
        most = MAX_BLOB if layer else _SIZES.get(name, -1)
        if most < 0 or name in places:
            raise ValueError(f"{name[:80]!r} has no business in it")
        places[name] = (at + tarfile.BLOCKSIZE, size)
        at += tarfile.BLOCKSIZE + size + -size % tarfile.BLOCKSIZE
        if size > most or at > DEFAULT_LIMITS.compressed or len(places) > DEFAULT_LIMITS.metadata_blobs:
            raise ValueError(f"{name} is too large")
        pieces = section(file, *places[name])
        if not layer and name not in _BULK:
            small[name] = b"".join(pieces)
            pieces = iter((small[name],))
        digests[name] = _digest(pieces, size)
    end = os.pread(file.fileno(), _PADDING + 1, at)
    if any(end) or not 2 * tarfile.BLOCKSIZE <= len(end) <= _PADDING:
        raise ValueError("it does not end where it should")
    return places, small, digests


def _parsed(head: bytes) -> tuple[str, int]:
    """Name and size of a member; its head must be the one that these two give, so that nothing can hide in it."""
    name = head[:100].rstrip(b"\0").decode("ascii")
    size = int(head[124:135] or b"x", 8)
    if size < 0 or head_of(name, size) != head:
        raise ValueError(f"{name[:80]!r} has no head as it should have")
    return name, size


def head_of(name: str, size: int) -> bytes:
    """The 512 bytes before a member (POSIX.1-1988 `ustar`)."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


def _digest(pieces: Iterator[bytes], size: int) -> str:
    hashed = hashlib.sha256()
    for piece in pieces:
        hashed.update(piece)
        size -= len(piece)
    if size:
        raise ValueError("it ends in the middle")
    return hashed.hexdigest()


def layer_name(digest: str) -> str:
    """Of the member with this layer."""
    return f"layers/{digest.removeprefix('sha256:')}.tar.zst"


def _not_one(name: str, error: Exception) -> Invalid:
    return Invalid(
        f"cannot open {name}: it is not a file of `minipaas crash export`: {error}",
        hint="copy it again from the box",
        code="crash.format",
    )
