"""Where bundles go to and come from in tests."""

from __future__ import annotations

import io
import random


class Store:
    """A sink that keeps frames in memory and remembers what happened."""

    def __init__(self, *present: str) -> None:
        self.frames: dict[str, bytes] = {}
        self.present = set(present)
        self.aborted: list[str] = []
        self.started: list[str] = []

    def has(self, digest: str) -> bool:
        return digest in self.present or digest in self.frames

    def create(self, digest: str, size: int) -> Writer:
        self.started.append(digest)
        return Writer(self, digest, size)


class Writer:
    def __init__(self, store: Store, digest: str, size: int) -> None:
        self.store, self.digest, self.size, self.parts = store, digest, size, list[bytes]()

    def write(self, compressed: bytes) -> None:
        self.parts.append(bytes(compressed))

    def commit(self) -> None:
        self.store.frames[self.digest] = b"".join(self.parts)

    def abort(self) -> None:
        self.store.aborted.append(self.digest)


class Trickle(io.RawIOBase):
    """A source that gives a few bytes at a time, as a network does."""

    def __init__(self, data: bytes, seed: int) -> None:
        self.data, self.place, self.random = data, 0, random.Random(seed)

    def read(self, size: int = -1) -> bytes:
        count = min(size, self.random.randint(1, 700))
        self.place += count
        return self.data[self.place - count : self.place]
