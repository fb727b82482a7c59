"""`bundle` and `key`, as a person types them. No Podman is asked."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from minipaas.bundle.keys import SigningKey
from minipaas.bundle.root import new_root
from minipaas.bundle.write import Contents, Image, Layer, write_bundle
from minipaas.model.spec import parse_app_toml
from minipaas.surface.cli.main import run
from tests.author import made

ROOT_KEY, KEY, OTHER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate("ed25519")
ROOT = new_root(release_keys=[KEY.public, OTHER.public], threshold=2, root_signers=[ROOT_KEY])
APP = b'[app]\nname = "shop"\nversion = "1.0"\n[services.web]\nimage = "x"\nport = 80\nroutes = ["shop.local"]\n'
LAYER = made.layer({"bin/x": b"x" * 2000})


class Said:
    """What a command answered."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def minipaas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command line in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def command(*args: str) -> Said:
        code = run(args, lambda _config, _path: 1)
        return Said(code, *capfd.readouterr())

    return command


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that one of two keys has signed, with root.json and the keys beside it."""
    (tmp_path / "root.json").write_bytes(ROOT)
    KEY.save(tmp_path / "one.key")
    OTHER.save(tmp_path / "two.key")
    path = tmp_path / "shop.bundle"
    image = Image(made.config(LAYER), (Layer(made.digest(LAYER), len(LAYER), LAYER),))
    contents = Contents(
        app_toml=APP, images={"web": image}, roots=[ROOT], sequence=3, issued=1_700_000_000, sbom=b'{"bomFormat": 1}'
    )
    with path.open("wb") as out:
        write_bundle(out, contents, [KEY])
    return path


def test_init_writes_a_file_that_parses_and_says_what_comes_next(minipaas: Callable[..., Said], tmp_path: Path) -> None:
    said = minipaas("bundle", "init", "My Shop")
    assert said.code == 0
    assert "There is no Containerfile" in said.out
    assert "minipaas bundle build" in said.out
    spec = parse_app_toml((tmp_path / "My Shop" / "app.toml").read_bytes())
    assert (spec.app.name, spec.services["web"].build) == ("my-shop", ".")


def test_init_never_replaces_a_file(minipaas: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "app.toml").write_text("mine")
    said = minipaas("bundle", "init", ".")
    assert said.code == 2
    assert "exists already" in said.err
    assert (tmp_path / "app.toml").read_text() == "mine"


def test_init_from_compose_prints_the_notes(minipaas: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: redis, privileged: true}}")
    said = minipaas("bundle", "init", "app", "--from", "compose.yaml")
    assert said.code == 0
    assert "web: privileged" in said.out
    spec = parse_app_toml((tmp_path / "app" / "app.toml").read_bytes())
    assert spec.services["web"].image == "docker.io/library/redis:latest"


def test_a_broken_compose_file_leaves_nothing(minipaas: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {}}")
    said = minipaas("bundle", "init", "app", "--from", "compose.yaml")
    assert (said.code, (tmp_path / "app").exists()) == (2, False)


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_key_new(minipaas: Callable[..., Said], tmp_path: Path, kind: str) -> None:
    said = minipaas("key", "new", "release.key", "--type", kind, "--json")
    assert said.code == 0
    private = tmp_path / "release.key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = SigningKey.load(private)
    assert (key.kind, key.key_id) == (kind, said.json["id"])
    before = private.read_bytes()
    assert minipaas("key", "new", "release.key").code == 2
    assert private.read_bytes() == before


def test_sign_then_verify(minipaas: Callable[..., Said], bundle: Path) -> None:
    refused = minipaas("bundle", "verify", str(bundle), "--root", "root.json")
    assert refused.code == 3
    assert "→" in refused.err
    assert minipaas("bundle", "sign", str(bundle), "--key", "two.key").code == 0
    said = minipaas("bundle", "verify", str(bundle), "--root", "root.json")
    assert said.code == 0
    assert "good: shop 1.0, epoch 1, sequence 3" in said.out
    assert set(minipaas("bundle", "verify", str(bundle), "--root", "root.json", "--json").json["signers"]) == {
        KEY.key_id,
        OTHER.key_id,
    }


def test_signing_twice_is_refused_and_changes_nothing(minipaas: Callable[..., Said], bundle: Path) -> None:
    before = bundle.read_bytes()
    assert minipaas("bundle", "sign", str(bundle), "--key", "one.key").code == 2
    assert bundle.read_bytes() == before
    assert [path.name for path in bundle.parent.iterdir() if path.name.startswith(".")] == []


def test_a_refusal_as_json_names_the_rule(minipaas: Callable[..., Said], bundle: Path) -> None:
    said = minipaas("bundle", "verify", str(bundle), "--root", "root.json", "--json")
    assert (said.code, json.loads(said.err)["error"]["code"]) == (3, "signature.threshold")


def test_a_damaged_layer_is_found(minipaas: Callable[..., Said], bundle: Path) -> None:
    minipaas("bundle", "sign", str(bundle), "--key", "two.key")
    data = bytearray(bundle.read_bytes())
    data[-200] ^= 1
    bundle.write_bytes(data)
    assert minipaas("bundle", "verify", str(bundle), "--root", "root.json").code == 3


def test_inspect_shows_what_is_in_it(minipaas: Callable[..., Said], bundle: Path) -> None:
    said = minipaas("bundle", "inspect", str(bundle))
    for word in ("shop 1.0", "not verified", "sequence 3", "shop.local", made.digest(made.config(LAYER))[7:19]):
        assert word in said.out
    facts = minipaas("bundle", "inspect", str(bundle), "--json").json
    assert (facts["app"], facts["sequence"], facts["keys"]) == ("shop", 3, [KEY.key_id])
    assert minipaas("bundle", "inspect", str(bundle), "--file", "sbom.cdx.json").out == '{"bomFormat": 1}'
    missing = minipaas("bundle", "inspect", str(bundle), "--file", "nothing")
    assert missing.code == 2
    assert "app.toml, sbom.cdx.json" in missing.err


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("bundle", "verify", "nowhere.bundle", "--root", "root.json"), 4),
        (("bundle", "verify", "shop.bundle", "--root", "nowhere.json"), 4),
        (("bundle", "inspect", "nowhere.bundle"), 4),
        (("bundle", "sign", "shop.bundle", "--key", "nowhere.key"), 4),
        (("bundle", "sign", "nowhere.bundle", "--key", "one.key"), 4),
        (("bundle", "init", ".", "--from", "nowhere.yaml"), 4),
        (("bundle", "build", "nowhere", "-o", "x", "--key", "one.key", "--root", "root.json"), 4),
        (("bundle", "build", ".", "-o", "x"), 2),
        (("bundle", "build", ".", "-o", "x", "--key", "one.key", "--root", "root.json"), 4),
        (("bundle", "build", ".", "-o", "x", "--key", "one.key", "--root", "root.json", "--valid-for", "soon"), 2),
        (("bundle", "build", ".", "-o", "x", "--key", "one.key", "--root", "root.json", "--issued", "soon"), 2),
        (("bundle", "inspect", "root.json"), 3),
        (("bundle", "sign", "root.json", "--key", "one.key"), 3),
        (("bundle", "sign", "shop.bundle", "--key", "root.json"), 2),
    ],
)
def test_exit_codes(minipaas: Callable[..., Said], bundle: Path, args: tuple[str, ...], code: int) -> None:
    said = minipaas(*args)
    assert said.code == code, said.err
    assert said.err.startswith("cannot ")
