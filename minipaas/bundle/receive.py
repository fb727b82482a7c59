"""Receiving a bundle from a stream: verify first, then take the bulk, once, front to back.

What always holds:
- nothing is written to the sink before `verify` and the caller's admission have said yes;
- a blob is committed only after its content had the signed size and digest;
- memory is bounded by the limits (metadata) and a few pieces of 1 MiB (layers), whatever the file says;
- before each member the reader knows which may come: no name, order or count is the sender's choice.
A *thin* bundle leaves out layers; that is fine for those the sink has. Hashing runs in a second thread while this one
decompresses the next piece; both release the GIL.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Final, Protocol

from minipaas.bundle import layout, tarball
from minipaas.bundle.frames import Frame, FrameReader
from minipaas.bundle.layout import Metadata
from minipaas.bundle.limits import DEFAULT_LIMITS, Limits
from minipaas.bundle.refusal import refuse
from minipaas.bundle.statement import Predicate
from minipaas.bundle.verify import Trust, Verdict, verify
from minipaas.model.units import human_bytes

__all__ = ["BlobSink", "BlobWriter", "Limits", "NullSink", "receive"]

_AHEAD: Final = 4
"""Pieces that may wait to be hashed."""
_INLINE: Final = 256 * 1024
"""Below this many bytes another thread costs more than it brings."""


class BlobWriter(Protocol):
    """One blob on its way to disk, as one zstd frame."""

    def write(self, compressed: bytes) -> None: ...
    def commit(self) -> None: ...
    def abort(self) -> None: ...


class BlobSink(Protocol):
    """Where blobs go."""

    def has(self, digest: str) -> bool: ...
    def create(self, digest: str, size: int) -> BlobWriter:
        """Begin a blob of `size` bytes, uncompressed."""
        ...


class NullSink:
    """Has nothing and keeps nothing: a full check."""

    def has(self, digest: str) -> bool:
        return False

    def create(self, digest: str, size: int) -> BlobWriter:
        return _Nowhere()


class _Nowhere:
    def write(self, compressed: bytes) -> None:
        """Let it go."""

    def commit(self) -> None:
        """Nothing to keep."""

    def abort(self) -> None:
        """Nothing to undo."""


def receive(
    source: BinaryIO,
    sink: BlobSink,
    trust: Trust,
    limits: Limits = DEFAULT_LIMITS,
    *,
    on_read: Callable[[Metadata], None] | None = None,
    on_signed: Callable[[Predicate], None] | None = None,
    on_verified: Callable[[Verdict], None] | None = None,
    on_bytes: Callable[[int], None] | None = None,
    name: str = "the bundle",
) -> Verdict:
    """Take one bundle in, and return what it is.

    `on_read` hears what comes before the first layer, of which nothing is believed yet; `on_signed` hears what trusted
    keys have signed. `on_verified` is called once, before anything reaches the sink, and may raise to turn the bundle
    away. `on_bytes` is told the content bytes of each layer as they are done. Synchronous: it belongs in a worker
    thread. The source only needs `read`; its deadline is the caller's. Raises Refused, and whatever source, sink and
    callbacks raise.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="bundle-hash") as pool:
        return _Receiver(source, sink, limits, pool, on_bytes, name).run(
            trust, on_read or (lambda metadata: None), on_signed, on_verified
        )


def read_metadata(source: BinaryIO, limits: Limits = DEFAULT_LIMITS, name: str = "the bundle") -> Metadata:
    """Everything before the first layer, and nothing after it. Not verified. Raises Refused."""
    return MetadataReader(source, limits, name).metadata()


class MetadataReader:
    """Reads members from the front, as far as the first layer, into memory."""

    def __init__(self, source: BinaryIO, limits: Limits, name: str) -> None:
        self._frames = FrameReader(source, name, limits.compressed)
        self._limits = limits
        self._what = name
        self._compressed: dict[str, bytes] = {}
        self._blobs: dict[str, bytes] = {}
        self._held = 0

    def metadata(self) -> Metadata:
        """Everything before the first layer, in the order that each part gives to the next."""
        oci_layout, index = self._file(tarball.LAYOUT), self._file(tarball.INDEX)
        parsed = layout.parse_index(oci_layout, index, self._what)
        self._take(layout.listed(parsed, self._what), frozenset())
        outline = layout.outline(parsed, self._blobs, self._what)
        known = frozenset((*outline.metadata, *outline.configs, *outline.layers))
        self._take(outline.metadata, known)
        self._take(outline.configs, known)
        return Metadata(oci_layout, index, self._blobs, self._what)

    def _file(self, expected: str) -> bytes:
        """oci-layout or index.json."""
        name, size = self._member()
        if name != expected:
            raise refuse(self._what, "bundle.order", f"{name} stands where {expected} belongs")
        return self._small(name, size)[1]

    def _take(self, expected: dict[str, int], known: frozenset[str]) -> None:
        """These blobs, all of them, in this order. `known`: every blob there may be, once that can be told."""
        if len(self._blobs) + len(expected) > self._limits.metadata_blobs:
            raise refuse(self._what, "bundle.too_large", f"it has more than {self._limits.metadata_blobs} small blobs")
        for digest, wanted in expected.items():
            name, size = self._member()
            if name != tarball.member_name(digest):
                raise self._unexpected(name, digest, known)
            if size != wanted:
                raise refuse(self._what, "bundle.size", f"the blob {digest[7:19]} has {size} bytes, not {wanted}")
            self._compressed[digest], self._blobs[digest] = self._small(name, size)

    def _unexpected(self, name: str, wanted: str, known: frozenset[str]) -> Exception:
        """Why a member is not the blob that must come now."""
        digest = tarball.member_digest(name) if name.startswith(tarball.BLOBS) else ""
        if digest in self._blobs or (name and not digest):
            return refuse(self._what, "bundle.duplicate", f"the member {name} occurs twice")
        if not name or digest in known:
            return refuse(self._what, "bundle.missing_blob", f"the blob {wanted[7:19]} is missing, or not in its place")
        if known:
            return refuse(self._what, "bundle.extra_blob", f"it holds the extra blob {digest[7:19]}")
        why = f"{digest[7:19]} stands where the manifest {wanted[7:19]} belongs"
        return refuse(self._what, "bundle.order", why)

    def _small(self, name: str, size: int) -> tuple[bytes, bytes]:
        """The data of a member, compressed and not."""
        self._held += size
        if size > self._limits.metadata_each or self._held > self._limits.metadata_total:
            raise refuse(self._what, "bundle.too_large", f"{name[-64:][:12]} has {human_bytes(size)}, too much to hold")
        frame = self._data_frame(name, size)
        pair = self._frames.small(frame)
        self._padding(size)
        return pair

    def _member(self) -> tuple[str, int]:
        """Name and size of the next member; ("", 0) at the end of the tar."""
        frame = self._frames.next()
        if frame.size not in (tarball.BLOCK, len(tarball.END)):
            raise refuse(self._what, "bundle.tar", "a frame stands where a tar header belongs")
        data = self._frames.small(frame)[1]
        if data == tarball.END:
            return "", 0
        if frame.size != tarball.BLOCK:
            raise refuse(self._what, "bundle.tar", "a frame stands where a tar header belongs")
        return tarball.parse_header(data, self._what)

    def _data_frame(self, name: str, size: int) -> Frame:
        frame = self._frames.next()
        if frame.size != size:
            raise refuse(self._what, "bundle.size", f"{name[-64:][:12]} has {frame.size} bytes, its header says {size}")
        return frame

    def _padding(self, size: int) -> None:
        zeros = tarball.padding(size)
        if not zeros:
            return
        frame = self._frames.next()
        if frame.size != len(zeros) or self._frames.small(frame)[1] != zeros:
            raise refuse(self._what, "bundle.tar", "the padding after a tar member is not of the prescribed form")


class _Receiver(MetadataReader):
    """And then the layers."""

    def __init__(
        self,
        source: BinaryIO,
        sink: BlobSink,
        limits: Limits,
        pool: ThreadPoolExecutor,
        on_bytes: Callable[[int], None] | None,
        name: str,
    ) -> None:
        super().__init__(source, limits, name)
        self._sink = sink
        self._pool = pool
        self._on_bytes = on_bytes or (lambda count: None)

    def run(
        self,
        trust: Trust,
        on_read: Callable[[Metadata], None],
        on_signed: Callable[[Predicate], None] | None,
        on_verified: Callable[[Verdict], None] | None,
    ) -> Verdict:
        """All of it, in order."""
        metadata = self.metadata()
        on_read(metadata)
        verdict = verify(metadata, trust, self._limits, on_signed=on_signed)
        self._check_sum(verdict)
        if on_verified is not None:
            on_verified(verdict)
        layers = {digest: size for digest, size in verdict.descriptors.items() if digest not in self._blobs}
        self._keep_metadata(verdict)
        self._layers(layers)
        self._frames.finish()
        return verdict

    def _check_sum(self, verdict: Verdict) -> None:
        total, count = sum(verdict.descriptors.values()), len(verdict.descriptors)
        if total > self._limits.content or count > self._limits.blobs:
            why = f"it has {count} blobs of {human_bytes(total)} in all"
            raise refuse(self._what, "bundle.too_large", why)

    def _keep_metadata(self, verdict: Verdict) -> None:
        for digest, compressed in self._compressed.items():
            if not self._sink.has(digest):
                self._store(digest, verdict.descriptors[digest], [(compressed, b"")], None)
        self._compressed.clear()

    def _layers(self, wanted: dict[str, int]) -> None:
        """The layers that are in the file, in order; those that are not must be in the sink."""
        waiting = deque(wanted)
        seen: set[str] = set()
        while True:
            name, size = self._member()
            digest = tarball.member_digest(name) if name.startswith(tarball.BLOBS) else ""
            if digest not in wanted or digest in seen:
                self._no_layer(name, digest, digest in seen or digest in self._blobs)
            while waiting and waiting[0] != digest:
                absent = waiting.popleft()
                if not self._sink.has(absent):
                    raise refuse(self._what, "bundle.missing_blob", f"the layer {absent[7:19]} is missing")
            if not name:
                return
            if not waiting:
                raise refuse(self._what, "bundle.order", f"the layer {digest[7:19]} is not in its place")
            waiting.popleft()
            seen.add(digest)
            self._layer(name, digest, size, wanted[digest])

    def _no_layer(self, name: str, digest: str, again: bool) -> None:
        """Raise, unless this is the end of the tar."""
        if again or (name and not digest):
            raise refuse(self._what, "bundle.duplicate", f"the member {name} occurs twice")
        if name:
            raise refuse(self._what, "bundle.extra_blob", f"it holds the extra blob {digest[7:19]}")

    def _layer(self, name: str, digest: str, size: int, wanted: int) -> None:
        if size != wanted:
            raise refuse(self._what, "bundle.size", f"the layer {digest[7:19]} has {size} bytes, not {wanted}")
        frame = self._data_frame(name, size)
        pieces = self._frames.pieces(frame)
        if self._sink.has(digest):
            for _ in pieces:
                pass  # what is here already was checked when it came
            self._on_bytes(size)
        else:
            self._store(digest, size, self._frames.contents(frame, pieces), hashlib.sha256())
        self._padding(size)

    def _store(self, digest: str, size: int, pieces: Iterable[tuple[bytes, bytes]], sha: hashlib._Hash | None) -> None:
        writer = self._sink.create(digest, size)
        try:
            for compressed, content in self._hashed(pieces, sha, size) if sha else pieces:
                writer.write(compressed)
                self._on_bytes(len(content))
            if sha and f"sha256:{sha.hexdigest()}" != digest:
                raise refuse(self._what, "bundle.digest", f"the layer {digest[7:19]} is damaged")
            writer.commit()
        except BaseException:
            writer.abort()
            raise

    def _hashed(
        self, pieces: Iterable[tuple[bytes, bytes]], sha: hashlib._Hash, size: int
    ) -> Iterator[tuple[bytes, bytes]]:
        """The same pieces; their content has gone through `sha` when the last one was taken."""
        if size < _INLINE:
            for pair in pieces:
                sha.update(pair[1])
                yield pair
            return
        waiting: deque[Future[None]] = deque()
        for pair in pieces:
            waiting.append(self._pool.submit(sha.update, pair[1]))
            if len(waiting) > _AHEAD:
                waiting.popleft().result()
            yield pair
        for one in waiting:
            one.result()
