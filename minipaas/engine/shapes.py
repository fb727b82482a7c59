"""The parts of libpod's answers that minipaas reads, as typed structs; unknown keys are skipped.

Source: Podman API reference, libpod, versions 4.3 and 5.4. Go writes `null` for an empty list or map.
"""

from __future__ import annotations

from msgspec import Struct, field


class PortMapping(Struct, frozen=True):
    """Consecutive ports may be one mapping with a `range`."""

    host_ip: str = ""
    container_port: int = 0
    host_port: int = 0
    range: int = 1
    protocol: str = "tcp"


class ListedContainer(Struct, frozen=True):
    """One entry of `GET containers/json`. Times are Unix seconds; before 1970: never."""

    id: str = field(name="Id")
    names: list[str] | None = field(name="Names", default=None)
    labels: dict[str, str] | None = field(name="Labels", default=None)
    state: str = field(name="State", default="")
    created: str = field(name="Created", default="")
    started: int = field(name="StartedAt", default=0)
    exited_at: int = field(name="ExitedAt", default=0)
    exit_code: int = field(name="ExitCode", default=0)
    pid: int = field(name="Pid", default=0)
    """Of its first process on this host; 0: it does not run."""
    ports: list[PortMapping] | None = field(name="Ports", default=None)


class ContainerState(Struct, frozen=True):
    """`State` of an inspected container."""

    status: str = field(name="Status", default="")
    exit_code: int = field(name="ExitCode", default=0)
    oom_killed: bool = field(name="OOMKilled", default=False)
    started: str = field(name="StartedAt", default="")
    finished: str = field(name="FinishedAt", default="")


class InspectedContainer(Struct, frozen=True):
    """`GET containers/ID/json`."""

    id: str = field(name="Id")
    state: ContainerState = field(name="State")


class Named(Struct, frozen=True):
    """A network (`name`)."""

    name: str


class LogConfig(Struct, frozen=True):
    path: str = field(name="Path", default="")


class HostConfig(Struct, frozen=True):
    log_config: LogConfig = field(name="LogConfig", default_factory=LogConfig)


class InspectedLog(Struct, frozen=True):
    """`GET containers/ID/json`, where its log is."""

    host_config: HostConfig = field(name="HostConfig", default_factory=HostConfig)


class ListedVolume(Struct, frozen=True):
    name: str = field(name="Name")


class ListedImage(Struct, frozen=True):
    id: str = field(name="Id")


class ListedNames(Struct, frozen=True):
    """One entry of `GET images/json`, by its names."""

    names: list[str] | None = field(name="Names", default=None)


class ImageConfig(Struct, frozen=True):
    entrypoint: list[str] | None = field(name="Entrypoint", default=None)
    command: list[str] | None = field(name="Cmd", default=None)


class InspectedImage(Struct, frozen=True):
    """`GET images/NAME/json`."""

    id: str = field(name="Id")
    digest: str = field(name="Digest", default="")
    architecture: str = field(name="Architecture", default="")
    os: str = field(name="Os", default="")
    size: int = field(name="Size", default=0)
    config: ImageConfig | None = field(name="Config", default=None)
    repo_tags: list[str] | None = field(name="RepoTags", default=None)


class Created(Struct, frozen=True):
    """The answer to creating a container or an exec session."""

    id: str = field(name="Id")
    warnings: list[str] | None = field(name="Warnings", default=None)


class Exec(Struct, frozen=True):
    """`GET exec/ID/json`."""

    running: bool = field(name="Running", default=False)
    exit_code: int = field(name="ExitCode", default=0)
    pid: int = field(name="Pid", default=0)
    """Of its first process on this host, which leads a session."""


class Progress(Struct, frozen=True):
    """One line of a pull or build stream."""

    stream: str = ""
    error: str = ""
    id: str = ""
    images: list[str] | None = None


class Actor(Struct, frozen=True):
    id: str = field(name="ID", default="")
    attributes: dict[str, str] | None = field(name="Attributes", default=None)


class Event(Struct, frozen=True):
    """One line of `GET events`."""

    kind: str = field(name="Type", default="")
    action: str = field(name="Action", default="")
    actor: Actor = field(name="Actor", default_factory=Actor)


class Runtime(Struct, frozen=True):
    name: str = ""


class Security(Struct, frozen=True):
    rootless: bool = False
    selinux: bool = field(name="selinuxEnabled", default=False)


class HostInfo(Struct, frozen=True):
    cgroup_version: str = field(name="cgroupVersion", default="")
    cgroup_controllers: list[str] | None = field(name="cgroupControllers", default=None)
    network_backend: str = field(name="networkBackend", default="")
    runtime: Runtime = field(name="ociRuntime", default_factory=Runtime)
    security: Security = field(default_factory=Security)
    arch: str = ""
    os: str = ""


class StoreInfo(Struct, frozen=True):
    graph_root: str = field(name="graphRoot", default="")


class VersionInfo(Struct, frozen=True):
    version: str = field(name="Version", default="")


class SystemInfo(Struct, frozen=True):
    """`GET info`."""

    host: HostInfo
    store: StoreInfo = field(default_factory=StoreInfo)
    version: VersionInfo = field(default_factory=VersionInfo)
