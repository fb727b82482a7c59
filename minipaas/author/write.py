"""The signed bundle as a file: whole or not at all, with a bar for what takes its time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minipaas.author.files import replacing
from minipaas.author.progress import Progress
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.write import Contents, Written, write_bundle


def write(output: Path, contents: Contents, keys: Sequence[SigningKey], progress: Progress) -> Written:
    """Compress, sign and put in place. Raises NoSpace and what the keys raise."""
    layers = {layer.digest: layer.size for image in contents.images.values() for layer in image.layers}
    progress.begin("compress", sum(layers.values()))
    last = 0

    def on_bytes(done: int, _: int) -> None:
        nonlocal last
        progress.advance(done - last)
        last = done

    with replacing(output) as out:
        written = write_bundle(out, contents, keys, on_bytes)
    progress.done("compress")
    return written
