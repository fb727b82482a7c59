"""One installation: written once, written again only where it is not right, and taken away without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.install.installation import Installation, Texts
from minipaas.install.places import Places
from minipaas.install.receipt import Receipt
from minipaas.install.service import Init, detect
from minipaas.model.config import Config, IngressConfig
from tests.install.made import tree

TEXTS = Texts(".TH MINIPAAS 1\n", {"bash": "complete minipaas", "zsh": "#compdef minipaas", "fish": "complete"})


def planned(root: Path, init: Init = Init.SYSTEMD, config: Config | None = None) -> Installation:
    return Installation.planned(
        Places.system(root), init, config or Config(), TEXTS, doors=("0.0.0.0:80", "0.0.0.0:443"), own_podman=False
    )


def write(one: Installation, tmp_path: Path, version: str = "1.0") -> list[object]:
    """What had to be done."""
    built = tmp_path / f"built-{version}"
    if not built.exists():
        tree(built, version)
    with one.places.layout.lock():
        _, changed = one.lay_out(built, version)
        return [changed, one.link(), one.write_texts(), one.write_config(), one.make_data(), one.write_service()]


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_an_image(tmp_path: Path) -> None:
    """Written below another root directory, and true when that is the root."""
    root = tmp_path / "image"
    made = write(planned(root), tmp_path)
    assert all(made)
    there = {path for path in everything(root) if "/versions/" not in path}
    assert there == {
        "opt/minipaas/current",
        "opt/minipaas/installed.json",
        "opt/minipaas/lock",
        "usr/local/bin/minipaas",
        "usr/local/share/man/man1/minipaas.1",
        "usr/local/share/bash-completion/completions/minipaas",
        "usr/local/share/zsh/site-functions/_minipaas",
        "usr/local/share/fish/vendor_completions.d/minipaas.fish",
        "etc/minipaas/config.toml",
        "etc/systemd/system/minipaas.service",
        "etc/systemd/system/minipaas-http.socket",
        "etc/systemd/system/minipaas-api.socket",
        "etc/systemd/system/minipaas-unix.socket",
    }
    assert (root / "usr/local/bin/minipaas").readlink() == Path("/opt/minipaas/current/minipaas")
    assert str(root) not in "".join((root / path).read_text() for path in there if path.startswith("etc"))
    assert (root / "var/lib/minipaas").stat().st_mode & 0o777 == 0o700


def test_a_second_time_nothing_is_to_do(tmp_path: Path) -> None:
    write(planned(tmp_path), tmp_path)
    assert not any(write(planned(tmp_path), tmp_path))


def test_what_somebody_changed_in_our_files_is_mended_and_in_theirs_kept(tmp_path: Path) -> None:
    write(planned(tmp_path), tmp_path)
    unit, config = tmp_path / "etc/systemd/system/minipaas.service", tmp_path / "etc/minipaas/config.toml"
    right = unit.read_text()
    unit.write_text("[Service]\n")
    config.write_text("[limits]\nkeep_releases = 5\n")
    made = write(planned(tmp_path), tmp_path)
    assert made[-1] == [Path("/etc/systemd/system/minipaas.service")]
    assert unit.read_text() == right
    assert "keep_releases = 5" in config.read_text()


def test_the_example_of_a_configuration_is_one(tmp_path: Path) -> None:
    from minipaas.model.config import parse_config

    write(planned(tmp_path), tmp_path)
    config = tmp_path / "etc/minipaas/config.toml"
    assert parse_config(config, config.read_bytes()) == Config()
    keys = [
        line.removeprefix("# ") for line in config.read_text().splitlines() if " = " in line or line.startswith("# [")
    ]
    shown = "\n".join(keys)
    assert "[limits]\nkeep_releases" in shown
    parse_config(config, shown.encode())


def test_a_socket_that_is_no_longer_wanted_goes(tmp_path: Path) -> None:
    write(planned(tmp_path, config=Config(ingress=IngressConfig(https=("0.0.0.0:443",)))), tmp_path)
    unit = tmp_path / "etc/systemd/system/minipaas-https.socket"
    assert "ListenStream=0.0.0.0:443" in unit.read_text()
    assert write(planned(tmp_path), tmp_path)[-1]
    assert not unit.exists()


@pytest.mark.parametrize("init", [Init.SYSTEMD, Init.SYSV, Init.OPENRC, Init.NONE])
@pytest.mark.parametrize("purge", [False, True])
def test_taken_away(tmp_path: Path, init: Init, purge: bool) -> None:
    root = tmp_path / "host"
    write(planned(root, init), tmp_path)
    write(planned(root, init), tmp_path, "1.1")
    (root / "var/lib/minipaas/registry.db").write_text("dear")
    receipt = Receipt.read(root / "opt/minipaas")
    assert receipt is not None
    one = Installation(Places.system(root), receipt, Config())
    with one.places.layout.lock():
        one.remove(purge)
    kept = {"etc/minipaas/config.toml", "var/lib/minipaas/registry.db"}
    assert everything(root) == (set() if purge else kept)
    assert not (root / "opt/minipaas").exists()


def test_the_receipt_outlives_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "installed.json").write_text("{")
    assert Receipt.read(tmp_path) is None


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (("usr/lib/systemd/systemd", "etc/init.d/x", "usr/sbin/start-stop-daemon"), Init.SYSTEMD),
        (("sbin/openrc-run", "etc/init.d/x", "sbin/start-stop-daemon"), Init.OPENRC),
        (("etc/init.d/x", "sbin/start-stop-daemon"), Init.SYSV),
        (("etc/init.d/x",), Init.NONE),
        ((), Init.NONE),
    ],
)
def test_what_starts_services_in_an_image(tmp_path: Path, there: tuple[str, ...], expected: Init) -> None:
    for path in there:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert detect(Places.system(tmp_path)) is expected


def test_places_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for places in (Places.system(), Places.of_user(tmp_path), Places.below(Path("/data/mp"))):
        assert Places.around(places.home) == places
    assert Places.around(Path("/somewhere/else")) is None
