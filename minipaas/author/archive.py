"""An image that Podman exported, as the blobs of a bundle.

What always holds of an `Image`: its layers are uncompressed and their digests are the config's `diff_ids`, in order;
the config is byte for byte the one that Podman has, so its digest is the image id that was tested. Both forms of
export are read: `oci-archive` (OCI image layout 1.0) and `docker-archive` (what `docker save` writes). Of the two only
the second keeps the config of an image in Docker's format unchanged.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import msgspec
from msgspec import Struct

from minipaas.author.limits import LIMITS
from minipaas.bundle import oci
from minipaas.model.errors import EngineError, NoSpace

_CHUNK = 1024**2
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class Layer(Struct, frozen=True, kw_only=True):
    """One uncompressed layer in a file of its own."""

    digest: str
    size: int
    path: Path


class Image(Struct, frozen=True, kw_only=True):
    """One image, ready to be written into a bundle."""

    config: bytes
    layers: tuple[Layer, ...]

    @property
    def id(self) -> str:
        """Podman's image id: the digest of the config."""
        return oci.digest_of(self.config)

    @property
    def platform(self) -> str:
        """`linux/amd64` or `linux/arm/v7`."""
        return str(msgspec.json.decode(self.config, type=oci.ImageConfig).platform)

    @property
    def manifest(self) -> bytes:
        """The OCI image manifest over the uncompressed layers; equal images give equal bytes."""
        layers = tuple(oci.Descriptor(media_type=oci.LAYER, digest=x.digest, size=x.size) for x in self.layers)
        return oci.encode(oci.image_manifest(self.config, layers))

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)


class _Member(Struct, frozen=True):
    """A file of the archive, decompressed, stored under its digest."""

    path: Path
    digest: str
    size: int
    packed_digest: str
    """Digest of the bytes as they were in the archive."""


def read_archive(archive: BinaryIO, store: Path, on_bytes: Callable[[int], None] = lambda _: None) -> Image:
    """Read an oci-archive or docker-archive as a stream and leave its layers, decompressed, in `store`.

    `on_bytes` hears how many bytes of the archive were taken. Layers that several images share are kept once.
    Raises EngineError when the archive is not one, or contradicts itself; NoSpace when `store` is full.
    """
    try:
        members = _unpack(archive, store, on_bytes)
    except (tarfile.TarError, EOFError) as error:
        raise EngineError(f"cannot read the exported image: {error}", code="author.archive") from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise NoSpace(
            f"cannot unpack the exported image: no space left in {store}",
            hint="put the output (-o) on a disk with room for the uncompressed layers",
        ) from None
    if "manifest.json" in members:
        config, layers = _docker(members)
    elif "index.json" in members:
        config, layers = _oci(members)
    else:
        raise _broken("it has neither index.json nor manifest.json")
    image = Image(config=config, layers=tuple(Layer(digest=x.digest, size=x.size, path=x.path) for x in layers))
    _check(image)
    return image


def _unpack(archive: BinaryIO, store: Path, on_bytes: Callable[[int], None]) -> dict[str, _Member]:
    store.mkdir(parents=True, exist_ok=True)
    members: dict[str, _Member] = {}
    with tarfile.open(fileobj=cast(Any, _Counted(archive, on_bytes)), mode="r|", bufsize=_CHUNK) as tar:
        for info in tar:
            if not info.isfile():
                continue
            if len(members) >= LIMITS.archive_members:
                raise _broken(f"it has more than {LIMITS.archive_members} files")
            source = tar.extractfile(info)
            if source is not None:
                members[info.name.removeprefix("./")] = _store(source, store)
    return members


def _store(source: IO[bytes], store: Path) -> _Member:
    packed = _Hashed(source)
    size, plain = 0, hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=store)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in _plain(packed):
                size += len(chunk)
                plain.update(chunk)
                file.write(chunk)
        path = store / plain.hexdigest()
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    return _Member(path, "sha256:" + plain.hexdigest(), size, "sha256:" + packed.digest.hexdigest())


def _plain(packed: _Hashed) -> Iterator[bytes]:
    """The content, decompressed when it is gzip or zstd; afterwards `packed` was read to its end."""
    import zstandard

    magic = packed.peek()
    reader: Any = packed
    if magic.startswith(_GZIP):
        reader = gzip.GzipFile(fileobj=cast(Any, packed), mode="rb")
    elif magic == _ZSTD:
        reader = zstandard.ZstdDecompressor().stream_reader(cast(Any, packed), read_across_frames=True)
    try:
        while chunk := reader.read(_CHUNK):
            yield chunk
    except (zlib.error, zstandard.ZstdError, EOFError, gzip.BadGzipFile) as error:
        raise _broken(f"a layer does not decompress: {error}") from None
    while packed.read(_CHUNK):
        pass


class _Hashed:
    """A reader that hashes what passes through, and can look at the first four bytes beforehand."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._ahead = b""
        self.digest = hashlib.sha256()

    def peek(self) -> bytes:
        self._ahead = self._source.read(4)
        return self._ahead

    def read(self, size: int = -1) -> bytes:
        if self._ahead:
            end = size if size >= 0 else len(self._ahead)
            data, self._ahead = self._ahead[:end], self._ahead[end:]
        else:
            data = self._source.read(size)
        self.digest.update(data)
        return data


class _Counted:
    """A reader that reports how much was taken."""

    def __init__(self, source: BinaryIO, on_bytes: Callable[[int], None]) -> None:
        self._source = source
        self._on_bytes = on_bytes

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._on_bytes(len(data))
        return data


def _docker(members: dict[str, _Member]) -> tuple[bytes, list[_Member]]:
    entries = _json(members, "manifest.json")
    if not isinstance(entries, list) or len(entries) != 1:
        raise _broken("manifest.json does not list exactly one image")
    try:
        config, layers = entries[0]["Config"], entries[0]["Layers"]
        return _bytes(members[config]), [members[name] for name in layers]
    except (KeyError, TypeError):
        raise _broken("manifest.json names files that are not there") from None


def _oci(members: dict[str, _Member]) -> tuple[bytes, list[_Member]]:
    index = _json(members, "index.json")
    try:
        manifests = index["manifests"]
        if len(manifests) != 1:
            raise _broken("index.json does not list exactly one image")
        manifest = _json(members, _blob(manifests[0]))
        config = _named(members, manifest["config"])
        return _bytes(config), [_named(members, layer) for layer in manifest["layers"]]
    except (KeyError, TypeError):
        raise _broken("index.json leads to blobs that are not there") from None


def _named(members: dict[str, _Member], descriptor: dict[str, Any]) -> _Member:
    member = members[_blob(descriptor)]
    if member.packed_digest != descriptor["digest"]:
        raise _broken(f"blob {descriptor['digest']} has the digest {member.packed_digest}")
    return member


def _blob(descriptor: dict[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/", 1)


def _json(members: dict[str, _Member], name: str) -> Any:
    try:
        return msgspec.json.decode(_bytes(members[name]))
    except msgspec.DecodeError as error:
        raise _broken(f"{name}: {error}") from None


def _bytes(member: _Member) -> bytes:
    if member.size > LIMITS.archive_json:
        raise _broken(f"{member.path.name} is larger than {LIMITS.archive_json // 1024**2} MiB")
    return member.path.read_bytes()


def _check(image: Image) -> None:
    """The rule that everything rests on: layer digests are the config's diff_ids."""
    try:
        config = msgspec.json.decode(image.config, type=oci.ImageConfig)
    except msgspec.MsgspecError as error:
        raise _broken(f"its config: {error}") from None
    if config.rootfs.diff_ids != tuple(layer.digest for layer in image.layers):
        raise _broken("its layers are not the ones that its config names (rootfs.diff_ids)")


def _broken(why: str) -> EngineError:
    return EngineError(f"cannot read the exported image: {why}", code="author.archive")
