"""What minipaas asks Podman for: the hardening is here or nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from minipaas.engine.body import HOOK, create_body, insists_on_process_one
from minipaas.engine.info import EngineInfo
from minipaas.model.launch import Launch
from minipaas.model.spec import Published
from tests.engine.conftest import make_launch

INFO = EngineInfo(
    socket="/s",
    version="4.3.1",
    rootless=False,
    runtime="crun",
    cgroup="v2",
    controllers=frozenset({"cpu", "memory", "pids"}),
    network_backend="netavark",
    selinux=False,
    userns_auto=False,
    init=True,
    boot="b",
    nofile=1024,
    nproc=512,
    graph_root="/g",
    platform="linux/amd64",
)
SCRATCH = Path("/data/scratch/x")


def body_of(launch: Launch, info: EngineInfo = INFO, **options: Any) -> dict[str, Any]:
    return create_body(launch, box="b1", info=info, scratch=SCRATCH, init=True, **options)


def changed(**changes: Any) -> EngineInfo:
    return msgspec.structs.replace(INFO, **changes)


LAUNCH = make_launch("sha256:" + "1" * 64)


def test_the_default_is_hardened() -> None:
    body = body_of(LAUNCH)
    assert body["cap_drop"] == ["all"]
    assert body["cap_add"] == []
    assert body["no_new_privileges"] is True
    assert body["read_only_filesystem"] is True
    assert body["restart_policy"] == "no"
    assert "privileged" not in body
    assert body["httpproxy"] is False


def test_limits_are_asked_for_and_clamped() -> None:
    body = body_of(make_launch(LAUNCH.image, memory=64 * 1024**2, cpus=0.5, pids=100))
    assert body["resource_limits"] == {
        "memory": {"limit": 67108864, "swap": 67108864},
        "cpu": {"quota": 50000, "period": 100000},
        "pids": {"limit": 100},
    }
    assert {(entry["type"], entry["hard"]) for entry in body["r_limits"]} == {
        ("nofile", 1024),
        ("nproc", 512),
        ("core", 0),
    }
    assert body["log_configuration"]["driver"] == "k8s-file"
    assert 0 < body["log_configuration"]["size"] <= 64 * 1024**2


def test_without_a_pids_controller_none_is_asked_for() -> None:
    assert "pids" not in body_of(LAUNCH, changed(controllers=frozenset({"memory"})))["resource_limits"]


def test_scratch_is_kept_on_disk_and_mounted_without_rights() -> None:
    mounts = {mount["destination"]: mount for mount in body_of(LAUNCH)["mounts"]}
    assert set(mounts) == {"/tmp", "/var/tmp", "/run"}
    assert mounts["/tmp"]["source"] == "/data/scratch/x/tmp"
    assert mounts["/var/tmp"]["source"] == "/data/scratch/x/var-tmp"
    assert mounts["/run"]["type"] == "tmpfs"
    for mount in mounts.values():
        assert {"nosuid", "nodev"} <= set(mount["options"])


@pytest.mark.parametrize("path", ["/tmp", "/var/tmp/", "/run"])
def test_a_volume_takes_the_place_of_scratch(path: str) -> None:
    body = body_of(make_launch(LAUNCH.image, volumes={"minipaas-shop.data": path}))
    assert path.rstrip("/") not in {mount["destination"] for mount in body["mounts"]}
    assert [volume["Dest"] for volume in body["volumes"]] == [path]


def test_ports() -> None:
    published = (Published("0.0.0.0", 1883, 1883, "tcp"), Published("127.0.0.1", 53, 5353, "udp"))
    body = body_of(make_launch(LAUNCH.image, port=8080, published=published))
    assert body["portmappings"] == [
        {"host_ip": "127.0.0.1", "container_port": 8080, "protocol": "tcp"},
        {"host_ip": "0.0.0.0", "host_port": 1883, "container_port": 1883, "protocol": "tcp"},
        {"host_ip": "127.0.0.1", "host_port": 53, "container_port": 5353, "protocol": "udp"},
    ]
    assert body_of(make_launch(LAUNCH.image, port=None))["portmappings"] == []


def test_a_hook_is_nobody_s_peer() -> None:
    body = body_of(make_launch(LAUNCH.image, published=(Published("0.0.0.0", 1883, 1883, "tcp"),)), kind=HOOK)
    assert body["portmappings"] == []
    assert list(body["Networks"].values()) == [{"aliases": []}]
    assert list(body_of(LAUNCH)["Networks"].values()) == [{"aliases": ["web"]}]


def test_what_the_launch_does_not_say_is_the_image_s() -> None:
    body = body_of(LAUNCH)
    assert not {"entrypoint", "command", "user", "work_dir"} & set(body)
    said = body_of(make_launch(LAUNCH.image, entrypoint=("/e",), command=("a", "b"), user="1000", workdir="/w"))
    assert (said["entrypoint"], said["command"], said["user"], said["work_dir"]) == (["/e"], ["a", "b"], "1000", "/w")


def test_user_namespaces_where_the_host_has_ids_for_them() -> None:
    launch = make_launch(LAUNCH.image, volumes={"minipaas-shop.data": "/data"})
    assert "userns" not in body_of(launch)
    body = body_of(launch, changed(userns_auto=True))
    assert body["userns"] == {"nsmode": "auto"}
    assert "U" in body["volumes"][0]["Options"]  # else the files belong to nobody inside


def test_selinux_hosts_get_relabelled_scratch() -> None:
    mounts = body_of(LAUNCH, changed(selinux=True))["mounts"]
    assert [mount["destination"] for mount in mounts if "Z" in mount["options"]] == ["/tmp", "/var/tmp"]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("/init",), True),
        (("/sbin/init",), True),
        (("/usr/lib/systemd/systemd",), True),
        (("s6-svscan", "/etc/s6"), True),
        (("tini", "--", "x"), False),
        (("python3", "/init"), False),
        ((), False),
    ],
)
def test_who_insists_on_being_process_one(argv: tuple[str, ...], expected: bool) -> None:
    assert insists_on_process_one(argv) is expected
