"""Writing a capsule into one file (`exported` says what is in it), signed by this box.

What always holds: how long the file will be is known before its first byte, and nothing of it needs room on this box's
disk; everything that goes into it is open from the beginning, so what is let go meanwhile is in it all the same.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from minipaas.bundle import dsse, oci
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.statement import DigestSet, Subject
from minipaas.control.exported import (
    CONFIG,
    IMAGE,
    KEY,
    PREDICATE,
    SIGNATURE,
    Predicate,
    Statement,
    head_of,
    layer_name,
)
from minipaas.model.capsule import Capsule
from minipaas.model.errors import MinipaasError, Missing
from minipaas.model.typed import to_json
from minipaas.registry.blobs import BlobStore

PIECE = 256 * 1024
_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


class Export:
    """One file in the making. Blocking, for a thread. Use `opened`."""

    def __init__(self, members: dict[str, tuple[BinaryIO, int]]) -> None:
        self._members = members
        self.size = sum(_BLOCK + size + -size % _BLOCK for _, size in members.values()) + len(_END)
        """Bytes of the whole."""

    @classmethod
    @contextmanager
    def opened(
        cls, capsule: Capsule, parts: Mapping[str, Path], image: Mapping[str, Path | bytes], key: SigningKey
    ) -> Iterator[Export]:
        """`parts`, `image`: by the names that they have in the file. Raises OSError."""
        with ExitStack() as stack:
            members: dict[str, tuple[BinaryIO, int]] = {}
            digests: dict[str, str] = {}
            for name, source in {KEY: key.public.pem(), **parts, **image}.items():
                file: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
                stack.enter_context(file)
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
                members[name] = (file, file.seek(0, io.SEEK_END))
            statement = Statement(
                subject=tuple(Subject(name, DigestSet(digests[name])) for name in sorted(digests)),
                predicate_type=PREDICATE,
                predicate=Predicate(app=capsule.app, service=capsule.service, id=capsule.id),
            )
            signature = dsse.sign(to_json(statement), key)
            yield cls({SIGNATURE: (io.BytesIO(signature), len(signature)), **members})

    def pieces(self) -> Iterator[bytes]:
        """All of it. Raises OSError when a part has become shorter."""
        for name, (file, size) in self._members.items():
            yield head_of(name, size)
            file.seek(0)
            left = size
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise OSError(f"{name} became shorter while it was read")
                left -= len(piece)
                yield piece
            yield bytes(-size % _BLOCK)
        yield _END


def image_of(capsule: Capsule, blobs: BlobStore) -> dict[str, Path | bytes]:
    """The members with the image of a scene: its layers as they lie in the store. Raises Missing (`crash.no_image`)."""
    try:
        with blobs.open(capsule.image) as stream:
            manifest = stream.read()
        parsed = oci.decode(manifest, oci.Manifest)
        with blobs.open(parsed.config.digest) as stream:
            config = stream.read()
        layers = [layer.digest for layer in parsed.layers]
        if missing := blobs.missing(layers):
            raise Missing(f"cannot read blob {missing[0]}: it is not on this box", code="blob.missing")
    except (MinipaasError, msgspec.MsgspecError) as error:
        raise Missing(
            f"cannot put the image into the file: that of release {capsule.version or capsule.release[:19]} is not on "
            f"this box any more ({error})",
            hint="export it without: its scene can be opened where the image is, or with the bundle",
            code="crash.no_image",
        ) from None
    return {IMAGE: manifest, CONFIG: config} | {layer_name(one): blobs.compressed(one) for one in layers}


def image_size(capsule: Capsule, blobs: BlobStore) -> int | None:
    """About how many bytes the image would add; None: it is not here any more. Raises OSError."""
    try:
        members = image_of(capsule, blobs)
    except Missing:
        return None
    return sum(len(one) if isinstance(one, bytes) else one.stat().st_size for one in members.values())
