"""TCP and UDP ports in the plan: proven, switched with the routes, handed from a container to the ingress and back."""

from __future__ import annotations

from minipaas.model.change import ChangeState
from minipaas.model.release import Release
from minipaas.model.steps import ProveInstance, ProveRoutes, SetRoutes, StopInstance, SwitchRelease
from minipaas.model.stream import Stream
from minipaas.plan.launches import fingerprints, launch_for
from tests.plan.world import World, release


def broker(version: str, sequence: int, extra: str = "tcp = 1883", *, behave: str = "well") -> Release:
    return release(
        f"""
[app]
name = "iot"
version = "{version}"
[services.broker]
image = "x"
env = {{ V = "{version}", BEHAVE = "{behave}" }}
{extra}
""",
        sequence=sequence,
    )


def deployed(*releases: Release) -> World:
    world = World()
    for one in releases:
        world.deploy(one)
        world.settle()
        assert world.ended[-1].state is ChangeState.DONE, world.ended[-1].reason
    return world


def open_ports(world: World) -> dict[str, int]:
    return {str(entry.stream): len(entry.backends) for entry in world.streams}


def test_a_port_is_proven_opened_with_the_switch_and_asked_once_more() -> None:
    world = deployed(broker("1", 1, "tcp = [1883, { listen = 8884, port = 8883 }]\nudp = 514"))
    assert open_ports(world) == {"tcp 1883": 1, "tcp 8884": 1, "udp 514": 1}
    (proof,) = [step for step in world.history if isinstance(step, ProveInstance)]
    assert (proof.host, len(proof.tcp)) == ("", 2), "no route: connections only, and UDP cannot be asked"
    (switch,) = [step for step in world.history if isinstance(step, SwitchRelease)]
    assert [str(entry.stream) for entry in switch.streams] == ["tcp 1883", "tcp 8884", "udp 514"]
    asked = [step for step in world.history if isinstance(step, ProveRoutes)]
    assert asked[-1].streams == switch.streams


def test_the_next_release_comes_up_beside_the_old_one() -> None:
    """A port of the ingress pins nothing: connections go to the old instance until the new one has proved itself."""
    world = deployed(broker("1", 1))
    mark = len(world.history)
    world.deploy(broker("2", 2))
    world.settle()
    steps = world.history[mark:]
    switched = next(place for place, step in enumerate(steps) if isinstance(step, SwitchRelease))
    assert not [step for step in steps[:switched] if isinstance(step, StopInstance | SetRoutes)]
    assert world.running() == ["broker#1 2"]
    assert open_ports(world) == {"tcp 1883": 1}


def test_while_a_service_with_a_volume_is_replaced_connections_are_held() -> None:
    volume = 'tcp = 1883\nvolumes = { data = "/data" }'
    world = deployed(broker("1", 1, volume))
    mark = len(world.history)
    world.deploy(broker("2", 2, volume))
    world.settle()
    (held,) = [step for step in world.history[mark:] if isinstance(step, SetRoutes)]
    assert held.title == "hold the requests of broker"
    assert [entry.held for entry in held.streams] == [True]
    assert [entry.held for entry in world.streams] == [False]


def test_from_a_published_port_to_one_of_the_ingress_and_back() -> None:
    """The world refuses to open a port twice: it goes from the container to the ingress, and back, in due order."""
    published = 'port = 1883\nports = ["1883:1883"]'
    world = deployed(broker("1", 1, published), broker("2", 2))
    assert open_ports(world) == {"tcp 1883": 1}
    world.deploy(broker("3", 3, published))
    world.settle()
    assert world.ended[-1].state is ChangeState.DONE
    assert (open_ports(world), world.running()) == ({}, ["broker#1 3"])


def test_a_failed_move_to_the_ingress_brings_the_published_port_back() -> None:
    world = deployed(broker("1", 1, 'port = 1883\nports = ["1883:1883"]'))
    world.deploy(broker("2", 2, behave="dies"))
    world.settle()
    assert world.ended[-1].state is ChangeState.FAILED
    assert (open_ports(world), world.running()) == ({}, ["broker#1 1"])


def test_a_failed_move_to_a_published_port_opens_the_ingress_again() -> None:
    world = deployed(broker("1", 1))
    world.deploy(broker("2", 2, 'port = 1883\nports = ["1883:1883"]', behave="dies"))
    world.settle()
    assert world.ended[-1].state is ChangeState.FAILED
    assert (open_ports(world), world.running()) == ({"tcp 1883": 1}, ["broker#1 1"])


def test_removing_the_app_closes_its_ports() -> None:
    world = deployed(broker("1", 1))
    world.remove()
    world.settle()
    assert world.streams == ()


def test_another_public_port_needs_no_new_instance() -> None:
    one, two = broker("1", 1, "tcp = 1883"), broker("1", 2, "tcp = { listen = 2883, port = 1883 }")
    assert fingerprints(one) == fingerprints(two)
    world = deployed(one)
    before = set(world.instances)
    world.deploy(two)
    world.settle()
    assert set(world.instances) == before
    assert [entry.stream for entry in world.streams] == [Stream("tcp", 2883)]


def test_instances_from_before_there_were_streams_stay() -> None:
    """An upgrade of minipaas restarts nothing: what releases without `tcp` and `udp` start is what it was."""
    text = """
[app]
name = "shop"
version = "1"
[services.web]
image = "x"
port = 8080
routes = ["a.b"]
ports = ["9000:9000"]
volumes = {data="/d"}
env = {A="b"}
memory="64MiB"
[services.job]
image = "y"
"""
    assert fingerprints(release(text)) == {"web": "c92474ab7f9e1c2d", "job": "21c9ac9313786a8d"}


def test_ports_inside_are_published_once_for_the_ingress() -> None:
    one = broker("1", 1, "port = 8080\ntcp = [8080, 1883, { listen = 2883, port = 1883 }]\nudp = 1883")
    launch = launch_for(one, "broker")
    assert launch.port == 8080
    assert [(port.host, port.container, port.protocol) for port in launch.published] == [
        (0, 1883, "tcp"),
        (0, 1883, "udp"),
    ]
    assert launch_for(broker("1", 1), "broker").port == 1883, "the first tcp port is what probes use"
