"""Names of networks: equal for nobody else on the host, and known again."""

from __future__ import annotations

import itertools

from minipaas.engine.networks import bridge_name, known_as, podman_network
from minipaas.model.launch import network_name

BOXES = ("cbb60163f13edc2a", "0123456789abcdef")
APPS = ("shop", "shop-a", "guestbook")


def test_no_two_share_a_name() -> None:
    pairs = list(itertools.product(BOXES, APPS))
    assert len({podman_network(*pair) for pair in pairs}) == len(pairs)
    bridges = [bridge_name(*pair) for pair in pairs]
    assert len(set(bridges)) == len(pairs)
    assert all(len(name) <= 15 and name.isalnum() for name in bridges)  # IFNAMSIZ


def test_a_name_is_known_again() -> None:
    for box, app in itertools.product(BOXES, APPS):
        assert known_as(box, podman_network(box, app)) == network_name(app)
