"""Releases, changes and blobs for the tests of the registry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
import zstandard
from msgspec import UNSET

from minipaas.model.change import Change, ChangeState
from minipaas.model.release import ImageRef, Release
from minipaas.model.spec import AppMeta, AppSpec, ServiceSpec
from minipaas.model.stream import StreamSpecs
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry

WHO = {"actor": "root via socket", "origin": "pid 7"}


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def release(
    sequence: int = 1,
    app: str = "shop",
    *,
    version: str | None = None,
    epoch: int = 1,
    min_sequence: int = 0,
    issued: int | None = None,
    services: Mapping[str, ServiceSpec] | None = None,
    routes: tuple[str, ...] | None = None,
    ports: tuple[str, ...] = (),
    tcp: StreamSpecs = (),
    udp: StreamSpecs = (),
    salt: str = "",
) -> Release:
    """A release with one service, whose route is APP.local unless said otherwise."""
    version = version or f"1.{sequence}"
    web = ServiceSpec(
        image=f"localhost/{app}",
        port=8080,
        routes=(f"{app}.local",) if routes is None else routes,
        ports=ports,
        tcp=tcp or UNSET,
        udp=udp or UNSET,
    )
    layer = digest(f"layer {app} {epoch} {sequence} {salt}")
    return Release(
        digest=digest(f"release {app} {epoch} {sequence} {salt}"),
        app=app,
        version=version,
        epoch=epoch,
        sequence=sequence,
        min_sequence=min_sequence,
        root_version=1,
        issued=1_700_000_000 + sequence if issued is None else issued,
        valid_until=None,
        signers=("key",),
        images={
            "web": ImageRef(manifest=digest("m" + layer), config=digest("c" + layer), size=10, platform="linux/amd64")
        },
        blobs=(layer, digest("m" + layer), digest("base")),
        spec=AppSpec(app=AppMeta(name=app, version=version), services=dict(services or {"web": web})),
    )


def root(version: int, salt: str = "") -> bytes:
    """Enough of a root.json for who only stores it."""
    return msgspec.json.encode({"signed": {"version": version, "salt": salt}, "signatures": []})


async def accept(registry: Registry, made: Release, now: float = 100.0) -> Change:
    return await registry.accept(made, **WHO, now=now)


async def serve(registry: Registry, made: Release, now: float = 100.0) -> Change:
    """Accept a release and see its change through to its good end."""
    return await finish(registry, await accept(registry, made, now), now + 10)


async def finish(registry: Registry, change: Change, at: float = 200.0) -> Change:
    """The change has worked."""
    done = msgspec.structs.replace(change, state=ChangeState.DONE, switched=at, ended=at)
    await registry.save_change(done, serving=change.target, good=change.target)
    return done


async def fail(registry: Registry, change: Change, at: float = 200.0) -> Change:
    """The change has not."""
    failed = msgspec.structs.replace(change, state=ChangeState.FAILED, ended=at, reason="web #1: exit code 1")
    await registry.save_change(failed)
    return failed


def put_blob(store: BlobStore, content: bytes) -> str:
    """Publish one blob; returns its digest."""
    name = "sha256:" + hashlib.sha256(content).hexdigest()
    with store.stage() as staging:
        blob = staging.create(name, len(content))
        blob.write(zstandard.compress(content))
        blob.commit()
        staging.publish()
    return name
