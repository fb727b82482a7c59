"""`bundle build`: a directory with an `app.toml` becomes one signed file.

What always holds: everything that can be known to be wrong is said before the first image is built; each distinct
image is exported once; the output appears whole, under its name, or not at all; the same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from minipaas.author import provenance
from minipaas.author.archive import Image, read_archive
from minipaas.author.files import scratch
from minipaas.author.layers import FileView
from minipaas.author.packages import inventory, wanted
from minipaas.author.podman import Podman
from minipaas.author.progress import Progress
from minipaas.author.roots import RootChain, check_signers, load_roots
from minipaas.author.sbom import ImageContent, cyclonedx
from minipaas.author.source import Context, read_commit, read_context
from minipaas.author.write import write
from minipaas.bundle import oci
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.limits import DEFAULT_LIMITS
from minipaas.bundle.write import Contents, Layer
from minipaas.bundle.write import Image as BundleImage
from minipaas.model.errors import Invalid, Missing, Refused
from minipaas.model.spec import MAX_APP_TOML, RESERVED, AppSpec, ServiceSpec, parse_app_toml


class Request(Struct, frozen=True, kw_only=True):
    """What to build. Times are Unix seconds."""

    directory: Path
    output: Path
    keys: tuple[Path, ...]
    roots: tuple[Path, ...]
    issued: int
    reproducible: bool = False
    """Whether `issued` was chosen on purpose: then it is also the time of everything that a Containerfile makes."""
    sequence: int | None = None
    """None: `issued`."""
    min_sequence: int = 0
    valid_for: float | None = None
    """Seconds after `issued`."""
    socket: str = ""
    """`unix:///path` of Podman; empty: look for it."""


class Built(Struct, frozen=True, kw_only=True):
    """What was made."""

    app: str
    version: str
    epoch: int
    sequence: int
    digest: str
    """Of the bundle manifest: the release's identity."""
    size: int
    """Bytes of the file."""
    images: dict[str, str]
    """Service -> image id."""
    packages: int
    """Packages in the bill of materials."""
    notes: tuple[str, ...]
    """What the author should know, one sentence each."""


class _Prepared(Struct, frozen=True, kw_only=True):
    """Everything that was read and checked before Podman is asked for anything."""

    app_toml: bytes
    spec: AppSpec
    keys: tuple[SigningKey, ...]
    chain: RootChain
    contexts: dict[str, Context]
    notes: tuple[str, ...]


def build_bundle(request: Request, progress: Progress) -> Built:
    """Build, export, describe, sign and write. Raises Invalid, Missing, Refused, NoSpace, EngineError."""
    prepared = _prepare(request)
    with Podman.open(request.socket) as podman:
        ids = _images(request, prepared, podman, progress)
        with scratch(request.output) as store:  # only now: the output may lie in a build context
            images = {x: _export(podman, x, store, progress) for x in dict.fromkeys(ids.values())}
            _one_platform(ids, images)
            progress.begin("list packages", None)
            contents, packages = _contents(request, prepared, podman, ids, images)
            progress.done("list packages")
            written = write(request.output, contents, prepared.keys, progress)
    newest = prepared.chain.newest
    missing = newest.threshold - len(prepared.keys)
    notes = [*prepared.notes]
    if missing > 0:
        notes.append(
            f"{missing} more signature{'s' if missing > 1 else ''} needed: minipaas bundle sign FILE --key KEY"
        )
    return Built(
        app=prepared.spec.app.name,
        version=prepared.spec.app.version,
        epoch=newest.epoch,
        sequence=contents.sequence,
        digest=written.digest,
        size=written.size,
        images=ids,
        packages=packages,
        notes=tuple(notes),
    )


def read_app_toml(directory: Path) -> tuple[bytes, AppSpec]:
    """The `app.toml` of a directory. Raises Missing, Invalid."""
    path = directory / "app.toml"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_APP_TOML + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise Missing(
            f"cannot build {directory}: there is no app.toml in it",
            hint=f"minipaas bundle init {directory}",
            code="author.app_toml",
        ) from None
    return data, parse_app_toml(data, str(path))


def _prepare(request: Request) -> _Prepared:
    app_toml, spec = read_app_toml(request.directory)
    if spec.app.name == RESERVED:
        raise Invalid(
            f"cannot build {request.directory}: no app may be called {RESERVED}: the box's own program is",
            hint="give it another name in app.toml; to bundle minipaas itself: minipaas bundle self",
            code="author.reserved",
        )
    chain = load_roots(request.roots)
    keys = tuple(SigningKey.load(path) for path in request.keys)
    check_signers(chain.newest, keys, f"build {spec.app.name}")
    if not request.output.parent.is_dir():
        raise Missing(f"cannot write {request.output}: there is no directory {request.output.parent}")
    contexts: dict[str, Context] = {}
    notes: list[str] = []
    for name, service in spec.services.items():
        if service.build is not None and service.build not in contexts:
            contexts[service.build] = read_context(request.directory / service.build, f"service {name}")
    for context in contexts.values():
        notes += _intruders(context, request.keys)
    if chain.newest.expires <= request.issued:
        notes.append(f"trust root version {chain.newest.version} is past its date; boxes warn: minipaas trust rotate")
    return _Prepared(
        app_toml=app_toml, spec=spec, keys=keys, chain=chain, contexts=contexts, notes=tuple(dict.fromkeys(notes))
    )


def _intruders(context: Context, keys: Sequence[Path]) -> Iterator[str]:
    """Notes about files that COPY . would put into the image, and nobody wants there."""
    if not context.copies_all:
        return
    ours = [key.resolve() for key in keys]
    for path in context.files:
        if (context.directory / path).resolve() in ours:
            yield f"the private key {path} goes into the image with COPY .: keep it elsewhere, or in .containerignore"
    for path in context.bundles:
        yield f"{path} goes into the image with COPY .: write *.bundle into .containerignore"


def _images(request: Request, prepared: _Prepared, podman: Podman, progress: Progress) -> dict[str, str]:
    """Service -> image id, after building what is to be built. Local images are looked for first: it is quick."""
    services = prepared.spec.services
    found = {service.image: _local(podman, name, service) for name, service in services.items() if service.image}
    built: dict[str, str] = {}
    for build, context in prepared.contexts.items():
        owner = next(name for name, service in services.items() if service.build == build)
        app = prepared.spec.app
        tag = f"localhost/{app.name}-{owner}:{app.version.replace('+', '_')}"
        progress.begin(f"build {owner}", None)
        timestamp = request.issued if request.reproducible else None
        built[build] = podman.build(context.directory, context.containerfile.name, tag, timestamp, progress.line)
        progress.done(f"build {owner}")
    return {
        name: found[service.image] if service.image else built[service.build or ""]
        for name, service in services.items()
    }


def _local(podman: Podman, name: str, service: ServiceSpec) -> str:
    found = podman.find(service.image or "")
    if found is None:
        raise Missing(
            f"cannot build service {name}: there is no image {service.image} in the local Podman",
            hint=f'podman pull {service.image}, or podman build -t {service.image} DIR, or build = "." in app.toml',
            code="author.image",
        )
    return found.id


def _export(podman: Podman, image_id: str, store: Path, progress: Progress) -> Image:
    title = f"export {image_id[7:19]}"
    found = podman.find(image_id)
    progress.begin(title, found.size if found is not None else None)
    with podman.export(image_id) as stream:
        image = read_archive(stream, store, progress.advance)
    progress.done(title)
    if image.id != image_id:
        raise Refused(
            f"cannot export image {image_id[7:19]}: Podman makes it {image.id[7:19]}, which is not what was tested",
            hint="report this with the output of `podman version`; building it anew in OCI format may help",
            code="author.image_id",
        )
    return image


def _one_platform(ids: Mapping[str, str], images: Mapping[str, Image]) -> None:
    platforms = {name: images[image_id].platform for name, image_id in ids.items()}
    if len(set(platforms.values())) > 1:
        raise Invalid(
            "cannot build: the images are for different platforms: "
            + ", ".join(f"{name} {platform}" for name, platform in platforms.items()),
            hint="all services of an app run on one box",
            code="author.platform",
        )


def _contents(
    request: Request, prepared: _Prepared, podman: Podman, ids: Mapping[str, str], images: Mapping[str, Image]
) -> tuple[Contents, int]:
    """What goes into the file, and how many packages its bill of materials has."""
    spec, chain = prepared.spec, prepared.chain
    described = [_describe(spec, ids, image) for image in images.values()]
    sbom = cyclonedx(spec.app.name, spec.app.version, request.issued, described, DEFAULT_LIMITS.metadata_each)
    bases = {base for context in prepared.contexts.values() for base in context.bases}
    base_images = {base: podman.find(base) for base in sorted(bases)}
    made = provenance.statement(
        provenance.Inputs(
            spec=spec,
            app_toml=oci.digest_of(prepared.app_toml),
            contexts=prepared.contexts,
            bases={base: found.id for base, found in base_images.items() if found is not None},
            images=ids,
            manifests={name: oci.digest_of(images[image_id].manifest) for name, image_id in ids.items()},
            commit=read_commit(request.directory),
            podman=podman.version,
            issued=request.issued,
        )
    )
    contents = Contents(
        app_toml=prepared.app_toml,
        images={name: _packed(images[image_id]) for name, image_id in ids.items()},
        roots=chain.roots,
        sequence=request.issued if request.sequence is None else request.sequence,
        min_sequence=request.min_sequence,
        issued=request.issued,
        valid_until=None if request.valid_for is None else request.issued + request.valid_for,
        sbom=sbom,
        provenance=made,
    )
    return contents, sum(len(x.inventory.packages) for x in described)


def _describe(spec: AppSpec, ids: Mapping[str, str], image: Image) -> ImageContent:
    services = tuple(name for name, image_id in ids.items() if image_id == image.id)
    first = spec.services[services[0]]
    return ImageContent(
        config=image.id,
        manifest=oci.digest_of(image.manifest),
        reference=first.image or f"{spec.app.name}-{services[0]}",
        platform=image.platform,
        services=services,
        inventory=inventory(FileView([layer.path for layer in image.layers], wanted)),
    )


def _packed(image: Image) -> BundleImage:
    return BundleImage(image.config, tuple(Layer(layer.digest, layer.size, layer.path) for layer in image.layers))
