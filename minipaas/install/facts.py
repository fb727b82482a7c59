"""What the checks are about: this host, its Podman, the box that should run here. Gathered once, by who asks."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from minipaas.install.places import Places
from minipaas.install.receipt import Receipt
from minipaas.install.service import Init
from minipaas.model.config import Config


class Runtime(Struct, frozen=True):
    """`host.ociRuntime`."""

    name: str = ""
    path: str = ""


class Security(Struct, frozen=True, rename="camel"):
    """`host.security`."""

    rootless: bool = False
    selinux_enabled: bool = False
    apparmor_enabled: bool = False


class PodmanHost(Struct, frozen=True, rename="camel"):
    """`host`."""

    cgroup_version: str = ""
    cgroup_controllers: tuple[str, ...] | None = ()
    network_backend: str = ""
    oci_runtime: Runtime = Runtime()
    security: Security = Security()


class PodmanStore(Struct, frozen=True, rename="camel"):
    """`store`."""

    graph_driver_name: str = ""
    graph_root: str = ""


class PodmanVersion(Struct, frozen=True, rename="pascal"):
    """`version`."""

    version: str = ""


class PodmanInfo(Struct, frozen=True):
    """Podman's `info`, by its API or its command line (Podman API, SystemInfoLibpod)."""

    host: PodmanHost = PodmanHost()
    store: PodmanStore = PodmanStore()
    version: PodmanVersion = PodmanVersion()


class Subnet(Struct, frozen=True):
    """One of a network's subnets, `10.89.0.0/24`."""

    subnet: str = ""


class Network(Struct, frozen=True):
    """One of Podman's networks."""

    name: str = ""
    network_interface: str = ""
    subnets: tuple[Subnet, ...] | None = ()


class BoxFacts(Struct, frozen=True, kw_only=True):
    """What a box says of itself."""

    id: str
    version: str
    trouble: str
    ingress: tuple[str, ...]
    api: tuple[str, ...]
    apps: int
    healthy: int
    instances: int
    root_version: int | None
    floor: int
    """The time, Unix seconds, that it cannot be before."""
    certificates: int | None
    """How many it shows; None: it does not speak TLS."""
    certificate_troubles: tuple[str, ...]
    shipping: int = 0
    """Destinations of its logs."""
    shipping_troubles: tuple[str, ...] = ()
    returned: str = ""
    """What the last upgrade was gone back from, and why; empty: it was not."""


class Facts(Struct, frozen=True, kw_only=True):
    """Everything that the checks start from."""

    places: Places
    init: Init
    config: Config = Config()
    config_error: str = ""
    socket: str = ""
    """Podman's, where there is one; empty: minipaas starts a service of its own."""
    guest: bool = False
    """Who asks is not whose box it is: Podman answers root alone."""
    podman: PodmanInfo | None = None
    podman_error: str = ""
    podman_hint: str = ""
    networks: tuple[Network, ...] = ()
    box: BoxFacts | None = None
    box_error: str = ""
    receipt: Receipt | None = None
    synced: bool = True
    """The kernel says that something keeps the clock right."""
    floor: int = 0
    """When this program was built, Unix seconds; 0: not known."""
    registry_copy: Path = Path("/nonexistent")
    """The daily copy of the registry."""

    @property
    def unprivileged(self) -> bool:
        """The box is, or would be, one user's."""
        return self.places.user

    @property
    def data(self) -> Path:
        """The data directory of the box."""
        return Path(self.receipt.data) if self.receipt is not None else self.places.data
