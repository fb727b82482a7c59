"""systemd takes our units without a word of complaint, and finds them as shut in as they are meant to be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from minipaas.install.systemd import Service, units


def service(**given: object) -> Service:
    plain: dict[str, object] = {
        "program": Path("/bin/true"),
        "arguments": ("serve", "--config", "/etc/minipaas/config.toml", "--data", "/var/lib/minipaas"),
        "data": Path("/var/lib/minipaas"),
        "home": Path("/opt/minipaas"),
        "http": ("0.0.0.0:80", "[::]:80"),
        "api": ("127.0.0.1:7070",),
    }
    return Service(**plain | given)  # type: ignore[arg-type]


VARIANTS = {
    "podman is a service": service(),
    "podman is ours": service(own_podman=True),
    "with TLS": service(https=("0.0.0.0:443",)),
    "a user's": service(user=True, http=("0.0.0.0:8080",)),
    "a user's, podman too": service(user=True, own_podman=True),
    "on the Unix socket alone": service(http=(), api=()),
    "odd names": service(
        arguments=("serve", "--data", '/srv/100 % "mine" $HOME'), data=Path('/srv/100 % "mine" $HOME')
    ),
}


def written(directory: Path, one: Service) -> list[str]:
    made = units(one)
    for name, text in made.items():
        (directory / name).write_text(text)
    return [str(directory / name) for name in made]


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("systemd-analyze is missing: apt-get install systemd")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", VARIANTS)
def test_systemd_understands_every_word(tmp_path: Path, name: str) -> None:
    one = VARIANTS[name]
    told = analyze("verify", "--man=no", *(["--user"] if one.user else []), *written(tmp_path, one))
    ours = [line for line in told.stderr.splitlines() if "minipaas" in line or str(tmp_path) in line]
    assert ours == []


def test_it_is_shut_in_where_podman_is_another_service(tmp_path: Path) -> None:
    written(tmp_path, service())
    told = analyze("security", "--offline=true", "--threshold=35", str(tmp_path / "minipaas.service"))
    assert told.returncode == 0, told.stdout


def test_it_is_left_open_where_it_holds_podman() -> None:
    """A mount namespace would hide the containers' mounts, the rest would be inherited by every app."""
    text = units(service(own_podman=True))["minipaas.service"]
    for word in ("Protect", "Private", "NoNewPrivileges", "SystemCall", "Restrict", "ReadWritePaths", "Capability"):
        assert f"\n{word}" not in text
    assert "KillMode=process" in text
    assert "Delegate=yes" in text


def test_the_sockets_have_the_names_that_serve_knows() -> None:
    from minipaas.takeover.listeners import KINDS

    made = units(service(https=("0.0.0.0:443",)))
    assert set(made) == {"minipaas.service", *(f"minipaas-{kind}.socket" for kind in KINDS)}
    for kind in KINDS:
        assert f"\nFileDescriptorName={kind}\n" in made[f"minipaas-{kind}.socket"]
        assert f"minipaas-{kind}.socket" in made["minipaas.service"]


def test_odd_names_are_what_they_were() -> None:
    """% begins a specifier, $ a variable, blanks another word (systemd.unit(5), systemd.service(5))."""
    made = units(VARIANTS["odd names"])
    assert r'"/srv/100 %% \"mine\" $$HOME"' in made["minipaas.service"]
    assert 'ListenStream=/srv/100 %% "mine" $HOME/minipaas.sock' in made["minipaas-unix.socket"]
