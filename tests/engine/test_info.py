"""What this Podman and this host can do."""

from __future__ import annotations

import resource

import msgspec

from minipaas.engine.info import boot_id, read_info
from minipaas.engine.shapes import SystemInfo

# As Podman 4.3.1 gives it, shortened.
ANSWER = b"""{"host":{"arch":"arm64","cgroupManager":"cgroupfs","cgroupVersion":"v1","cgroupControllers":["cpu","pids"],
"networkBackend":"netavark","ociRuntime":{"name":"runc","version":"1.1.5"},"os":"linux","security":{"rootless":true,
"selinuxEnabled":false}},"store":{"graphRoot":"/srv/storage"},"version":{"APIVersion":"4.3.1","Version":"4.3.1"}}"""


def test_facts() -> None:
    info = read_info("/s", msgspec.json.decode(ANSWER, type=SystemInfo))
    assert (info.version, info.runtime, info.cgroup, info.platform) == ("4.3.1", "runc", "v1", "linux/arm64")
    assert info.rootless
    assert not info.userns_auto  # only root has ranges to give
    assert info.controllers == {"cpu", "pids"}
    assert info.graph_root == "/srv/storage"
    assert info.boot == boot_id() != ""


def test_limits_never_exceed_our_own() -> None:
    info = read_info("/s", msgspec.json.decode(ANSWER, type=SystemInfo))
    for which, asked in ((resource.RLIMIT_NOFILE, info.nofile), (resource.RLIMIT_NPROC, info.nproc)):
        hard = resource.getrlimit(which)[1]
        assert asked > 0
        assert hard == resource.RLIM_INFINITY or asked <= hard
