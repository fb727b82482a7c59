"""A container to be, in minipaas's own words; `engine` translates it for Podman."""

from __future__ import annotations

from msgspec import Struct

from minipaas.model.spec import Published


class Launch(Struct, frozen=True, kw_only=True):
    """Everything that makes one container. Two launches with one fingerprint are interchangeable."""

    name: str
    """`minipaas-shop-web-1-3`: app, service, slot, generation."""
    app: str
    service: str
    release: str
    """Digest of the release it was started for."""
    slot: int
    """1..replicas"""
    generation: int
    """Counts the containers that have filled this slot."""
    attempt: int
    """Failures in a row before this one; 0 after a good run."""
    change: int = 0
    """The change that it was started in; 0: in none, to keep what serves alive."""
    fingerprint: str
    image: str
    """Podman image id, `sha256:<hex>`, = the config digest."""
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    env: dict[str, str]
    port: int | None
    """Published on a free port of 127.0.0.1 for ingress and probes."""
    published: tuple[Published, ...]
    """With host port 0, on a free one, for the ingress alone."""
    volumes: dict[str, str]
    """Podman volume name -> path inside."""
    memory: int | None
    cpus: float | None
    pids: int
    read_only: bool
    capabilities: tuple[str, ...]
    user: str | None
    workdir: str | None
    stop: float
    """Seconds between the polite signal and SIGKILL."""

    @property
    def network(self) -> str:
        """The app's own network; the service name is an alias in it."""
        return network_name(self.app)


def network_name(app: str) -> str:
    """The Podman network of an app."""
    return f"minipaas-{app}"


def volume_name(app: str, volume: str) -> str:
    """The Podman volume behind a volume of an app. No app name ends with a dot, so this is unambiguous."""
    return f"minipaas-{app}.{volume}"
