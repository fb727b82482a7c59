"""Podman's lists, read."""

from __future__ import annotations

import msgspec
import pytest

from minipaas.engine.shapes import ListedContainer
from minipaas.engine.sighting import parse_time, to_hook, to_instance
from minipaas.model.observed import Instance, InstanceState

# As Podman 4.3.1 gives it, shortened.
LISTED = {
    "AutoRemove": False,
    "Command": ["sh"],
    "Created": "2026-11-23T08:48:36.540172079Z",
    "CreatedAt": "",
    "Exited": False,
    "ExitedAt": -62135596800,
    "ExitCode": 0,
    "Id": "f9c91ebd17e6bee3a4b77d3b4a21a5e6e655476b75ca341576f6c604901cb9f4",
    "Labels": {
        "io.buildah.version": "1.28.2",
        "io.minipaas.app": "shop",
        "io.minipaas.attempt": "0",
        "io.minipaas.box": "b1",
        "io.minipaas.fingerprint": "f",
        "io.minipaas.generation": "3",
        "io.minipaas.kind": "instance",
        "io.minipaas.port": "8080",
        "io.minipaas.release": "sha256:aa",
        "io.minipaas.service": "web",
        "io.minipaas.slot": "1",
    },
    "Names": ["minipaas-shop-web-1-3"],
    "Namespaces": {},
    "Pid": 0,
    "Ports": [{"host_ip": "127.0.0.1", "container_port": 8080, "host_port": 39199, "range": 1, "protocol": "tcp"}],
    "Size": None,
    "StartedAt": 1795423716,
    "State": "running",
    "Status": "",
}


def read(**changes: object) -> Instance | None:
    return to_instance(msgspec.json.decode(msgspec.json.encode(LISTED | changes), type=ListedContainer))


def read_labels(**changes: str | None) -> Instance | None:
    labels = LISTED["Labels"] | {f"io.minipaas.{key}": value for key, value in changes.items()}  # type: ignore[operator]
    return read(Labels={key: value for key, value in labels.items() if value is not None})


def test_an_instance_of_a_change_and_one_of_none() -> None:
    assert [one and one.change for one in (read_labels(change="7"), read_labels(change=None))] == [7, 0]
    assert read_labels(change="x") is None


def test_hooks_are_told_from_instances() -> None:
    listed = LISTED | {"Labels": LISTED["Labels"] | {"io.minipaas.kind": "hook", "io.minipaas.change": "7"}}  # type: ignore[operator]
    hook = to_hook(msgspec.json.decode(msgspec.json.encode(listed), type=ListedContainer))
    assert hook is not None
    assert (hook.app, hook.service, hook.change, hook.id) == ("shop", "web", 7, LISTED["Id"])
    assert to_hook(msgspec.json.decode(msgspec.json.encode(LISTED), type=ListedContainer)) is None


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("configured", InstanceState.CREATED),
        ("created", InstanceState.CREATED),
        ("running", InstanceState.RUNNING),
        ("stopping", InstanceState.STOPPING),
        ("stopped", InstanceState.EXITED),
        ("exited", InstanceState.EXITED),
        ("paused", InstanceState.UNKNOWN),
        ("removing", InstanceState.UNKNOWN),
        ("a word of Podman 9", InstanceState.UNKNOWN),
    ],
)
def test_states(word: str, state: InstanceState) -> None:
    found = read(State=word)
    assert found is not None
    assert found.state is state
    assert (found.exit_code is None) == (state is not InstanceState.EXITED)


@pytest.mark.parametrize(
    ("ports", "backend"),
    [
        ([{"host_ip": "127.0.0.1", "container_port": 8080, "host_port": 4000, "range": 1, "protocol": "tcp"}], 4000),
        ([{"host_ip": "127.0.0.1", "container_port": 8078, "host_port": 4000, "range": 5, "protocol": "tcp"}], 4002),
        ([{"host_ip": "0.0.0.0", "container_port": 8080, "host_port": 80, "range": 1, "protocol": "tcp"}], None),
        ([{"host_ip": "127.0.0.1", "container_port": 8080, "host_port": 80, "range": 1, "protocol": "udp"}], None),
        ([{"host_ip": "127.0.0.1", "container_port": 9090, "host_port": 80, "range": 1, "protocol": "tcp"}], None),
        (None, None),
        ([], None),
    ],
)
def test_where_it_listens(ports: object, backend: int | None) -> None:
    found = read(Ports=ports)
    assert found is not None
    assert (found.backend.port if found.backend else None) == backend


@pytest.mark.parametrize(
    "labels", [{"kind": "hook"}, {"kind": None}, {"slot": None}, {"slot": "one"}, {"app": None}, {"port": "many"}]
)
def test_what_is_no_instance_of_ours(labels: dict[str, str | None]) -> None:
    assert read_labels() is not None
    assert read_labels(**labels) is None


def test_times() -> None:
    found = read()
    assert found is not None
    assert found.created == pytest.approx(1795423716.540172)
    assert (found.started, found.finished) == (1795423716.0, None)
    assert parse_time("0001-01-01T00:00:00Z") is None
    assert parse_time("") is None


def test_nulls_of_go_are_nothing() -> None:
    assert read(Labels=None) is None
    assert read(Names=None) is not None
