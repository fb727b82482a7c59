"""minipaas as a service of an ordinary user's own systemd, which runs without a session because the user lingers: with
sockets, watchdog and rootless Podman, through kills, a logout and a reboot."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest
from kit.box import Author, Done, fetch, wait_for
from kit.podman import PrivatePodman

from tests.built import build
from tests.e2e.books import block
from tests.e2e.booted import Booted
from tests.e2e.hello import HOST, HelloBundles

USER = "edge"
HOME = f"/home/{USER}"
UNITS = "minipaas.service minipaas-http.socket minipaas-api.socket minipaas-unix.socket"
FILES = {
    # udev does that on a machine
    "/etc/tmpfiles.d/tun.conf": "z /dev/net/tun 0666\n",
    "/etc/systemd/logind.conf.d/soon.conf": "[Login]\nUserStopDelaySec=1s\n",
    f"{HOME}/.config/containers/storage.conf": '[storage]\ndriver = "overlay"\n',
    f"{HOME}/.config/systemd/user/minipaas.service.d/watchdog.conf": "[Service]\nWatchdogSec=10\n",
}


class Host(Booted):
    """With a user, to whom root has given nothing yet."""

    def boot(self) -> None:
        """Also what a machine and its users have."""
        super().boot()
        self.sh(f"useradd --create-home --shell /bin/bash {USER}")
        for path, text in FILES.items():
            self.write(path, text)
        self.sh("systemd-tmpfiles --create tun.conf; systemctl try-restart systemd-logind")
        self.sh(f"cp /share/minipaas /share/root.json {HOME} && chown -R {USER}: {HOME}")

    def user(self, text: str, *, check: bool = True) -> Done:
        """A line that the user types, who logs in for it and out again."""
        return self.sh(f"su --login {USER} --command {shlex.quote(text)}", check=check)

    def sudo(self, text: str) -> Done:
        """A line that somebody types as the user, without a session of that user's."""
        words = f"setpriv --reuid {USER} --regid {USER} --init-groups env --ignore-environment HOME={HOME} PATH=$PATH"
        return self.sh(f"cd {HOME} && {words} sh -c {shlex.quote(text)}")

    def service(self) -> dict[str, str]:
        """What the user's systemd says of it."""
        wanted = "MainPID,NRestarts,ActiveState,Type,WatchdogUSec,FragmentPath"
        lines = self.user(f"systemctl --user show minipaas --property {wanted}").out.splitlines()
        return dict(line.partition("=")[::2] for line in lines)  # type: ignore[misc]

    def manager(self) -> bool:
        """Whether the user's systemd runs."""
        return self.sh(f"systemctl is-active user@$(id -u {USER})", check=False).code == 0

    def answers(self, host: str = HOST) -> int | None:
        """The status of what an app, or nobody, answers; None: nothing listens."""
        try:
            return fetch(self.ingress, host=host).status
        except OSError:
            return None

    def serves(self) -> bool:
        """Whether hello answers."""
        return self.answers() == 200

    def containers(self) -> list[str]:
        """Ids and since when, of those that the user's Podman runs."""
        return sorted(self.user("podman ps --format '{{.ID}} {{.StartedAt}}'").out.splitlines())


@pytest.fixture
def host(podman: PrivatePodman, author: Author, hello: HelloBundles, request: pytest.FixtureRequest) -> Iterator[Host]:
    one = Host(podman, podman.directory / "systemd-user", door=8080)
    for name, source in {"minipaas": build() / "minipaas", "root.json": author.root, "hello": hello()}.items():
        (one.share / name).write_bytes(source.read_bytes())
    (one.share / "minipaas").chmod(0o755)
    with one.running():
        yield one
        if getattr(request.node, "failed", False):
            print(one.story())


def test_a_user_s_box_from_installing_to_uninstalling(host: Host) -> None:
    host.sh(without_linger(host))
    (line,) = block("docs/operator-handbook.md", "install-user").splitlines()
    said = host.sudo(line).out
    assert "runs, and starts with the host" in said
    assert f"{HOME}/.local/bin/minipaas status" in said, "the command is not in PATH there"
    is_a_service(host)
    host.user("minipaas deploy /share/hello")
    assert "Hello from version 1.0.0" in fetch(host.ingress, host=HOST).text
    is_well(host)
    comes_back(host)
    logged_out_and_rebooted(host)
    uninstalled(host)


def without_linger(host: Host) -> str:
    """It is refused; and whoever goes on all the same is told what will happen, which happens. Returns what root has to
    type, as it is said."""
    refused = host.user("./minipaas install --user", check=False)
    assert (refused.code, "cannot install: linger is not as minipaas needs it" in refused.err) == (3, True), refused
    assert f"off: minipaas and all apps of {USER} end at logout" in refused.out
    assert host.user("ls -d .local/opt", check=False).code != 0, "nothing is done"

    said = host.user("./minipaas install --user --force && systemctl --user is-active minipaas").out
    assert f"runs, and starts when {USER} logs in" in said
    assert f"It ends, with all apps, when {USER} logs out" in said
    wait_for("all has ended with the session", lambda: not host.manager() and host.answers() is None)
    host.user("minipaas uninstall --user --yes --purge")

    found = re.search("^linger: as root: (.+)$", refused.out, re.MULTILINE)
    assert found is not None
    return found[1]


def is_a_service(host: Host) -> None:
    """Of the user's systemd alone, enabled, ready, with its sockets: who asks while it is stopped starts it."""
    assert host.user(f"systemctl --user is-enabled {UNITS}").out.split() == ["enabled"] * 4
    assert host.user(f"systemctl --user is-active {UNITS}").out.split() == ["active"] * 4
    assert "minipaas" not in host.sh("systemctl list-units --all 'minipaas*' --no-legend").out
    first = host.service()
    assert (first["ActiveState"], first["Type"], first["WatchdogUSec"]) == ("active", "notify", "10s")
    assert first["FragmentPath"] == f"{HOME}/.config/systemd/user/minipaas.service"
    owner, program = host.sh(f"stat -c %U /proc/{first['MainPID']}; readlink /proc/{first['MainPID']}/exe").out.split()
    assert (owner, program.startswith(f"{HOME}/.local/opt/minipaas/versions/")) == (USER, True)

    for asks in (lambda: host.answers("nobody.localhost"), lambda: by_tcp(host)):
        host.user("systemctl --user stop minipaas.service")
        asks()
        wait_for("who asks has started it", lambda: host.service()["ActiveState"] == "active", every=0.5)
    assert host.answers("nobody.localhost") == 404


def by_tcp(host: Host) -> Done:
    """The API, on the port of the page."""
    return host.user("MINIPAAS_HOST=http://127.0.0.1:7070 minipaas status")


def is_well(host: Host) -> None:
    assert "Everything runs." in host.user("minipaas status").out
    assert "rootless" in by_tcp(host).out
    levels = {one["name"]: one for one in host.user("minipaas doctor --json").json["findings"]}
    for name in ("podman", "linger", "user services", "user network", "user ids", "program", "service", "box", "trust"):
        assert levels[name]["level"] == "ok", levels[name]


def comes_back(host: Host) -> None:
    """It is started again when it is killed, and when it hangs; no container notices."""
    apps = host.containers()
    assert len(apps) == 2
    for signal in ("KILL", "STOP"):
        pid = host.service()["MainPID"]
        host.sh(f"kill -{signal} {pid}")

        def again(pid: str = pid) -> bool:
            seen = host.service()
            return seen["ActiveState"] == "active" and seen["MainPID"] not in ("0", pid)

        wait_for(f"systemd has started it again after a {signal}", again, every=0.5)
        wait_for("the app is routed again", host.serves)
    assert "Watchdog timeout" in host.user("journalctl --user --unit minipaas --no-pager").out
    assert host.containers() == apps


def logged_out_and_rebooted(host: Host) -> None:
    wait_for("nobody is logged in", lambda: host.sh(f"loginctl show-user {USER}").out.count("State=lingering\n"))
    assert host.serves()
    host.reboot()
    wait_for("it serves", host.serves)
    assert host.sh("loginctl list-sessions --no-legend").out == "", "without anybody's login"
    assert "Everything runs." in host.user("minipaas status").out
    assert host.user("minipaas crashes --json").json["groups"] == [], "a reboot is no crash"


def uninstalled(host: Host) -> None:
    """What it made goes, what the user made stays; with `--purge`, data and configuration go too."""
    apps = host.containers()
    said = host.user("minipaas uninstall --user --yes").out
    assert "These containers keep running: minipaas-hello-web-1" in said
    assert (
        f"They go with: podman unshare rm -r {HOME}/.config/minipaas/config.toml {HOME}/.local/share/minipaas" in said
    )
    units = host.user("systemctl --user list-unit-files --no-legend").out
    assert ("podman.socket" in units, "minipaas" in units) == (True, False), units
    assert host.answers() is None
    assert host.containers() == apps
    assert host.user("ls .local/share/minipaas/registry.db .config/minipaas/config.toml").code == 0

    host.user("./minipaas install --user")
    wait_for("it goes on where it ended", host.serves)
    host.user("minipaas exec hello -- sh -c 'mkdir -p /tmp/of/a/container'")
    host.sudo(".local/bin/minipaas uninstall --user --yes --purge")
    assert host.answers() is None
    left = host.sh(f"find {HOME} -name '*minipaas*' -not -path '*/share/containers/*'").out.split()
    assert sorted(left) == [f"{HOME}/.config/systemd/user/minipaas.service.d", f"{HOME}/minipaas"]
