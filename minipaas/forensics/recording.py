"""What a session showed, as it can be played again: asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/).

What always holds: only output is kept, never what was typed unless it was echoed, so no password; a recording that
would be too long or cannot be written ends early and says so, and the session goes on.
"""

from __future__ import annotations

import codecs
import logging
import time
from pathlib import Path

import msgspec

from minipaas.forensics import limits
from minipaas.model.lease import Lease

log = logging.getLogger(__name__)


class Recording:
    """One being written. Bytes that are no UTF-8 are replaced: the format knows text alone."""

    def __init__(self, path: Path, lease: Lease) -> None:
        self._decoders: dict[int, codecs.IncrementalDecoder] = {}
        self._path = path
        self._lease = lease
        self._began = time.monotonic()
        self._pending = bytearray()
        self._written = 0
        self._flushed = self._began
        self._over = False
        self._open = False

    def begin(self, columns: int, rows: int, shell: str) -> None:
        """The first line; nothing is kept before it."""
        lease = self._lease
        header = {
            "version": 2,
            "width": columns,
            "height": rows,
            "timestamp": int(lease.started),
            "title": f"{lease.instance.removeprefix('minipaas-')}: {lease.reason or lease.kind.value}",
            "env": {"SHELL": shell},
        }
        self._open = True
        self._add(header)

    def output(self, data: bytes, stream: int = 1) -> None:
        """What was shown just now."""
        decoder = self._decoders.setdefault(stream, codecs.getincrementaldecoder("utf-8")("replace"))
        text = decoder.decode(data)
        if text:
            self._event("o", text)

    def resize(self, columns: int, rows: int) -> None:
        self._event("r", f"{columns}x{rows}")

    def close(self) -> None:
        """Write the rest."""
        self._flush()

    def _event(self, kind: str, text: str) -> None:
        if not self._open or self._over:
            return
        if self._written + len(self._pending) + len(text) > limits.RECORDING:
            self._over = True
            kind, text = "o", "\r\n[the recording ends here: it is too long]\r\n"
        self._add([round(time.monotonic() - self._began, 6), kind, text])
        if len(self._pending) > limits.PIECE or time.monotonic() - self._flushed > limits.WRITE_EVERY:
            self._flush()

    def _add(self, line: object) -> None:
        self._pending += msgspec.json.encode(line) + b"\n"

    def _flush(self) -> None:
        data, self._pending = bytes(self._pending), bytearray()
        self._flushed = time.monotonic()
        if not data:
            return
        try:
            with self._path.open("ab") as file:
                file.write(data)
            self._written += len(data)
        except OSError as error:
            log.warning("cannot record access %s: %s", self._lease.id, error)
            self._over = True
