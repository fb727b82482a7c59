"""What this room needs of the rooms below it. `Control` fits; so does a smaller composition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from minipaas.certs.keeper import Keeper
from minipaas.engine.info import EngineInfo
from minipaas.model.change import Change
from minipaas.model.config import Config
from minipaas.model.observed import Observed
from minipaas.registry.blobs import BlobStore
from minipaas.registry.registry import Registry
from minipaas.telemetry.telemetry import Telemetry


class IngressPort(Protocol):
    """Where apps answer."""

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def secure(self) -> tuple[tuple[str, int], ...]: ...


class EnginePort(Protocol):
    """Podman."""

    @property
    def info(self) -> EngineInfo: ...


class LogLine(Protocol):
    """One line of an instance."""

    @property
    def instance(self) -> str: ...
    @property
    def text(self) -> str: ...


class ControlPort(Protocol):
    """What acts, and what it knows."""

    @property
    def registry(self) -> Registry: ...
    @property
    def blobs(self) -> BlobStore: ...
    @property
    def ingress(self) -> IngressPort: ...
    @property
    def engine(self) -> EnginePort: ...
    @property
    def telemetry(self) -> Telemetry: ...
    @property
    def certificates(self) -> Keeper | None: ...
    @property
    def config(self) -> Config: ...
    @property
    def observed(self) -> Observed: ...
    @property
    def trouble(self) -> str: ...

    async def receive_bundle(
        self, stream: AsyncIterator[bytes], length: int | None, *, actor: str, origin: str, by_signature: bool = False
    ) -> Change: ...
    async def rollback(self, app: str, to: str | None, *, actor: str, origin: str) -> Change: ...
    async def remove(self, app: str, *, purge: bool, actor: str, origin: str) -> Change: ...
    async def restart(self, app: str, service: str | None, *, actor: str, origin: str) -> Change: ...
    async def scale(self, app: str, service: str, replicas: int | None, *, actor: str, origin: str) -> Change: ...
    async def add_root(self, root: bytes, *, actor: str, origin: str) -> int: ...
    async def reload_certificates(self, *, actor: str, origin: str) -> None: ...
    async def log_tail(self, app: str, service: str | None, lines: int) -> Sequence[LogLine]: ...
