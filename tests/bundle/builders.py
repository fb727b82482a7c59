"""Tiny valid bundles for tests of every room: real keys, real signatures, real layers of a few bytes, no Podman.

    keys, root = make_trust()
    path = make_bundle(tmp_path, app="shop", version="1.0.0", sequence=1, keys=keys, root=root)
    trust = make_box(root)                       # what a box believes

Without `keys` and `root`, all bundles of a test run share `default_trust()`.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from minipaas.bundle.keys import Kind, SigningKey
from minipaas.bundle.root import new_root
from minipaas.bundle.verify import Trust
from minipaas.bundle.write import Contents, Image, Layer, write_bundle
from minipaas.model.release import Floor, TrustedTime

ISSUED = 1_760_000_000
"""When bundles of tests are made, Unix seconds."""


def make_trust(*, keys: int = 1, threshold: int = 1, kind: Kind = "ecdsa") -> tuple[tuple[SigningKey, ...], bytes]:
    """(release keys, root.json version 1). The first key is the root key too."""
    made = tuple(SigningKey.generate(kind) for _ in range(keys))
    root = new_root(release_keys=[key.public for key in made], threshold=threshold, root_signers=made[:1])
    return made, root


@functools.cache
def default_trust() -> tuple[tuple[SigningKey, ...], bytes]:
    """One key and its root, the same throughout a test run."""
    return make_trust()


def make_box(
    root: bytes | None = None,
    *,
    floors: Mapping[str, Floor] | None = None,
    accepted: Mapping[str, str] | None = None,
    clock: float = ISSUED + 60,
    floor: float = 0,
    synced: bool = True,
    platform: str = "linux/amd64",
) -> Trust:
    """What a box believes; by default it trusts `default_trust()` and has seen nothing."""
    return Trust(
        root=default_trust()[1] if root is None else root,
        floors=dict(floors or {}),
        accepted=dict(accepted or {}),
        time=TrustedTime(clock=clock, floor=floor, synced=synced),
        platform=platform,
    )


def tar_layer(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed layer with these files, executable, owned by root."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_image(
    *layers: bytes, platform: str = "linux/amd64", command: Sequence[str] = ("/hello",), env: Sequence[str] = ()
) -> Image:
    """An image of these layers (uncompressed tars)."""
    system, architecture, *variant = platform.split("/")
    digests = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    config = {
        "architecture": architecture,
        "os": system,
        **({"variant": variant[0]} if variant else {}),
        "config": {"Cmd": list(command), "Env": list(env)},
        "rootfs": {"type": "layers", "diff_ids": digests},
        "history": [{"created_by": "test"} for _ in layers],
    }
    made = tuple(Layer(digest, len(layer), layer) for digest, layer in zip(digests, layers, strict=True))
    return Image(json.dumps(config).encode(), made)


def make_app_toml(app: str = "shop", version: str = "1.0.0", services: Sequence[str] = ("web",)) -> str:
    """The smallest app.toml with these services."""
    parts = [f'[app]\nname = "{app}"\nversion = "{version}"\n']
    parts += [f'[services.{name}]\nimage = "localhost/{app}-{name}:{version}"\n' for name in services]
    return "\n".join(parts)


def make_contents(
    *,
    app: str = "shop",
    version: str = "1.0.0",
    sequence: int = 1,
    min_sequence: int = 0,
    issued: float = ISSUED,
    valid_until: float | None = None,
    root: bytes | None = None,
    roots: Sequence[bytes] | None = None,
    app_toml: str | None = None,
    services: Sequence[str] = ("web",),
    platform: str = "linux/amd64",
    images: Mapping[str, Image] | None = None,
    sbom: bytes | None = b'{"bomFormat":"CycloneDX"}',
    provenance: bytes | None = None,
) -> Contents:
    """What `write_bundle` takes. Without `images`, each service gets a layer of its own over a common one."""
    text = app_toml if app_toml is not None else make_app_toml(app, version, services)
    common = tar_layer({"etc/os": b"a test"})
    made = images or {
        name: make_image(common, tar_layer({"hello": f"{app} {version} {name}\n".encode()}), platform=platform)
        for name in services
    }
    return Contents(
        app_toml=text.encode(),
        images=made,
        roots=roots or [root if root is not None else default_trust()[1]],
        sequence=sequence,
        min_sequence=min_sequence,
        issued=issued,
        valid_until=valid_until,
        sbom=sbom,
        provenance=provenance,
    )


def make_bundle(
    tmp_path: Path,
    *,
    keys: Sequence[SigningKey] | None = None,
    root: bytes | None = None,
    name: str | None = None,
    app: str = "shop",
    version: str = "1.0.0",
    **contents: object,
) -> Path:
    """A valid bundle in `tmp_path`, signed by each of `keys`. Further parameters: those of `make_contents`."""
    made = make_contents(app=app, version=version, root=root, **contents)  # type: ignore[arg-type]
    path = tmp_path / (name or f"{app}-{version}.bundle")
    with path.open("wb") as out:
        write_bundle(out, made, keys if keys is not None else default_trust()[0])
    return path
