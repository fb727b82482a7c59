"""`bundle self`: the program tree of minipaas, or the one file that carries it, as a bundle that upgrades boxes.

It is a bundle like any other: an app `minipaas` with one service, `program`, whose image has one layer, the tree as a
tar. What always holds: no Podman is needed; the tree is read, never run, so it may be for another architecture; the
same tree, out of a directory or out of the one file, gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import tomli_w
from msgspec import Struct

from minipaas.author.build import Built
from minipaas.author.files import scratch
from minipaas.author.layers import FileView
from minipaas.author.packages import inventory, wanted
from minipaas.author.program import PROGRAM, Tree, read
from minipaas.author.progress import Progress
from minipaas.author.roots import check_signers, load_roots
from minipaas.author.sbom import ImageContent, cyclonedx
from minipaas.author.write import write
from minipaas.bundle import oci
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.limits import DEFAULT_LIMITS
from minipaas.bundle.write import Contents, Image, Layer
from minipaas.model.errors import Invalid
from minipaas.model.typed import to_json

APP, SERVICE = "minipaas", "program"


class Request(Struct, frozen=True, kw_only=True):
    """What to pack. Times are Unix seconds."""

    program: Path
    """A program tree, or the one file."""
    output: Path
    keys: tuple[Path, ...]
    roots: tuple[Path, ...]
    issued: int
    sequence: int | None = None
    """None: `issued`."""
    min_sequence: int = 0
    valid_for: float | None = None
    platform: str = ""
    """Empty: as the program's own file says."""


def bundle_self(request: Request, progress: Progress) -> Built:
    """Pack, describe, sign and write. Raises Missing, Invalid, NoSpace."""
    chain = load_roots(request.roots)
    keys = tuple(SigningKey.load(path) for path in request.keys)
    check_signers(chain.newest, keys, "bundle minipaas")
    with scratch(request.output) as store:
        progress.begin("read the program", None)
        tree = read(request.program, store / "layer.tar")
        progress.done("read the program")
        image, content = _image(request, tree)
        contents = _contents(request, chain.roots, tree, image, content)
        written = write(request.output, contents, keys, progress)
    missing = chain.newest.threshold - len(keys)
    note = f"{missing} more signature{'s' if missing > 1 else ''} needed: minipaas bundle sign FILE --key KEY"
    return Built(
        app=APP,
        version=tree.version,
        epoch=chain.newest.epoch,
        sequence=contents.sequence,
        digest=written.digest,
        size=written.size,
        images={SERVICE: content.config},
        packages=len(content.inventory.packages),
        notes=(note,) if missing > 0 else (),
    )


def _image(request: Request, tree: Tree) -> tuple[Image, ImageContent]:
    """One layer, and what is in it. Raises Invalid."""
    platform = request.platform or tree.platform
    if not platform:
        raise Invalid(
            f"cannot bundle {request.program}: it does not say what it runs on",
            hint="say it: --platform linux/amd64",
            code="author.platform",
        )
    image = Image(_config(platform, tree.layer), (tree.layer,))
    layer = oci.Descriptor(media_type=oci.LAYER, digest=tree.layer.digest, size=tree.layer.size)
    content = ImageContent(
        config=oci.digest_of(image.config),
        manifest=oci.digest_of(oci.encode(oci.image_manifest(image.config, (layer,)))),
        reference=f"localhost/{APP}:{tree.version}",
        platform=platform,
        services=(SERVICE,),
        inventory=inventory(FileView([tree.file], wanted)),
    )
    return image, content


def _contents(request: Request, roots: tuple[bytes, ...], tree: Tree, image: Image, content: ImageContent) -> Contents:
    app = {"name": APP, "version": tree.version}
    service = {"image": f"localhost/{APP}:{tree.version.replace('+', '_')}"}
    return Contents(
        app_toml=tomli_w.dumps({"app": app, "services": {SERVICE: service}}).encode(),
        images={SERVICE: image},
        roots=roots,
        sequence=request.issued if request.sequence is None else request.sequence,
        min_sequence=request.min_sequence,
        issued=request.issued,
        valid_until=None if request.valid_for is None else request.issued + request.valid_for,
        sbom=cyclonedx(APP, tree.version, request.issued, [content], DEFAULT_LIMITS.metadata_each),
    )


def _config(platform: str, layer: Layer) -> bytes:
    """The smallest OCI image config."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    where = {"os": system, "architecture": architecture} | ({"variant": variant} if variant else {})
    if not system or not architecture:
        raise Invalid(
            f"cannot bundle for {platform!r}: it is no platform", hint="like linux/amd64", code="author.platform"
        )
    rootfs = {"type": "layers", "diff_ids": [layer.digest]}
    return to_json(where | {"config": {"Entrypoint": [f"/{PROGRAM}"]}, "rootfs": rootfs})
