"""What an app's network is called in Podman: the model's name and the box, so that no two Podmans of a host collide.

Rootful Podmans share the host's bridges, its packet filter, whose chains netavark names after a hash of the network's
name, and one DNS server, which knows networks by name. With one name in two Podmans, the one that takes its network
down would cut the other's off.
"""

from __future__ import annotations

import hashlib

from minipaas.model.launch import network_name


def podman_network(box: str, app: str) -> str:
    """`minipaas-shop-cbb60163`: Podman's name of an app's network."""
    return network_name(app) + _suffix(box)


def known_as(box: str, name: str) -> str:
    """The model's name of a network that Podman listed as this box's."""
    return name.removesuffix(_suffix(box))


def bridge_name(box: str, app: str) -> str:
    """The bridge of an app's network, of 12 characters (an interface name has at most 15). Podman would take the next
    free `podmanN` when it makes the network, but the bridge itself only appears with the first container: until then
    another Podman on this host may take the same."""
    return "mp" + hashlib.sha256(f"{box} {app}".encode()).hexdigest()[:10]


def _suffix(box: str) -> str:
    return f"-{box[:8]}"
