"""From a directory to a signed file, on a private real Podman."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.box import Done, Program
from kit.podman import PodmanError, PrivatePodman

from minipaas.author.podman import Podman

pytestmark = pytest.mark.e2e

BUSYBOX = Path("/bin/busybox")
ISSUED = "2026-01-31T12:00:00Z"
STATUS = "Package: ghost\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n"
CONTAINERFILE = """\
FROM scratch
COPY busybox /bin/busybox
COPY www/ /www/
RUN ["/bin/busybox", "touch", "/made"]
ENTRYPOINT ["/bin/busybox"]
CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]
"""
APP = """\
[app]
name = "hello"
version = "1.0.0"
[services.web]
{source}
port = 8080
routes = ["hello.localhost"]
"""


@pytest.fixture(scope="module")
def podman() -> Iterator[PrivatePodman]:
    """A Podman of our own; gone at the end, with everything in it."""
    try:
        with PrivatePodman() as started:
            yield started
    except PodmanError as error:
        pytest.fail(f"these tests need a working Podman: {error}")


class Workshop:
    """A directory with an app, keys and a trust root, and the command line in it."""

    def __init__(self, directory: Path, podman: PrivatePodman) -> None:
        self.podman = podman
        self.program = Program(podman)
        self.directory = directory
        self.app = directory / "app"
        (self.app / "www").mkdir(parents=True)
        shutil.copy(BUSYBOX, self.app / "busybox")
        (self.app / "www" / "index.html").write_text("hello\n")
        (self.app / "Containerfile").write_text(CONTAINERFILE)
        self.source('build = "."')
        self.key, self.root = directory / "release.key", directory / "root.json"
        self.program.run("key", "new", self.key)
        self.program.run("trust", "new", "--key", f"{self.key}.pub", "-o", self.root)

    def source(self, line: str) -> None:
        (self.app / "app.toml").write_text(APP.format(source=line))

    def build(self, name: str, *more: str | Path, check: bool = True, **env: str) -> Done:
        out = self.directory / name
        return self.program.run(
            "bundle", "build", self.app, "-o", out, "--key", self.key, "--root", self.root, *more, check=check, **env
        )

    def built(self, name: str, *more: str | Path) -> dict[str, Any]:
        return dict(self.build(name, "--json", *more).json)

    def inspect(self, name: str, *more: str) -> dict[str, Any]:
        return dict(self.program.run("bundle", "inspect", self.directory / name, *more).json)


@pytest.fixture
def workshop(tmp_path: Path, podman: PrivatePodman) -> Workshop:
    return Workshop(tmp_path, podman)


def test_build_verify_inspect(workshop: Workshop) -> None:
    built = workshop.built("a.bundle", "--issued", ISSUED)
    assert (built["app"], built["version"], built["sequence"]) == ("hello", "1.0.0", 1769860800)
    file = workshop.directory / "a.bundle"
    verdict = workshop.program.run("bundle", "verify", file, "--root", workshop.root, "--json").json
    assert verdict["accepted"] is True
    assert verdict["digest"] == built["digest"]
    seen = workshop.inspect("a.bundle", "--json")
    image = seen["images"]["web"]
    assert image["config"] == built["images"]["web"]
    tested = workshop.podman.run("image", "inspect", "--format", "{{.Id}}", "localhost/hello-web:1.0.0").strip()
    assert image["config"] == f"sha256:{tested}"
    text = workshop.program.run("bundle", "inspect", file).out
    assert "hello.localhost" in text
    assert image["config"][7:19] in text
    assert sorted(path.name for path in workshop.directory.iterdir() if path.name.startswith(".")) == []


def test_the_same_inputs_give_the_same_bytes(workshop: Workshop) -> None:
    workshop.build("a.bundle", "--sequence", "7", "--issued", ISSUED)
    workshop.podman.run("image", "rm", "--all", "--force")
    (workshop.app / "www" / "index.html").touch()
    workshop.build("b.bundle", "--sequence", "7", SOURCE_DATE_EPOCH="1769860800")
    a, b = (workshop.directory / name for name in ("a.bundle", "b.bundle"))
    assert a.read_bytes() == b.read_bytes()


def test_an_image_in_dockers_format_keeps_its_id(workshop: Workshop) -> None:
    (workshop.app / "Containerfile").write_text(CONTAINERFILE + 'HEALTHCHECK CMD ["/bin/busybox", "true"]\n')
    workshop.podman.run("build", "--format", "docker", "-t", "localhost/docker:1", str(workshop.app))
    tested = workshop.podman.run("image", "inspect", "--format", "{{.Id}}", "localhost/docker:1").strip()
    workshop.source('image = "localhost/docker:1"')
    assert workshop.built("a.bundle")["images"] == {"web": f"sha256:{tested}"}
    workshop.program.run("bundle", "verify", workshop.directory / "a.bundle", "--root", workshop.root)


def test_the_bill_of_materials_shows_the_final_file_system(workshop: Workshop) -> None:
    (workshop.app / "status").write_text(STATUS)
    metadata = workshop.app / "x.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: x\nVersion: 1\n")
    (workshop.app / "Containerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/busybox\nCOPY status /var/lib/dpkg/status\nCOPY x.dist-info /lib/x.dist-info\n"
        'RUN ["/bin/busybox", "rm", "/var/lib/dpkg/status"]\n'
    )
    assert workshop.built("a.bundle")["packages"] == 1
    bom = workshop.inspect("a.bundle", "--file", "sbom.cdx.json")
    assert [x["purl"] for x in bom["components"] if "purl" in x] == ["pkg:pypi/x@1"]
    provenance = workshop.inspect("a.bundle", "--file", "provenance.json")
    names = [x["name"] for x in provenance["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert names[:3] == ["app.toml", "context .", "Containerfile of ."]


def test_a_missing_image_says_how_to_get_it(workshop: Workshop) -> None:
    workshop.source('image = "localhost/nowhere:1"')
    done = workshop.build("a.bundle", check=False)
    assert done.code == 4
    assert "there is no image localhost/nowhere:1" in done.err
    assert "podman build -t localhost/nowhere:1" in done.err
    assert not (workshop.directory / "a.bundle").exists()


def test_a_failing_build_shows_its_last_words(workshop: Workshop) -> None:
    (workshop.app / "Containerfile").write_text(
        'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "echo the reason; exit 7"]\n'
    )
    done = workshop.build("a.bundle", check=False)
    assert done.code == 2
    assert "the reason" in done.err
    assert "cannot build" in done.err
    assert not (workshop.directory / "a.bundle").exists()


def test_a_key_that_would_go_into_the_image_is_noted(workshop: Workshop) -> None:
    with (workshop.app / "Containerfile").open("a") as file:
        file.write("COPY . /all\n")
    inside = workshop.app / "release.key"
    inside.write_bytes(workshop.key.read_bytes())
    workshop.key = inside
    assert "release.key goes into the image" in workshop.build("a.bundle").out
    (workshop.app / ".containerignore").write_text("*.key\n")
    assert "release.key goes into the image" not in workshop.build("a.bundle").out


def test_a_podman_of_ones_own_is_started_where_none_listens(
    podman: PrivatePodman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "storage.conf"
    own = podman.directory / "own"
    storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{own}/root"\nrunroot = "{own}/run"\n')
    monkeypatch.setenv("CONTAINERS_CONF", str(podman.conf))
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    monkeypatch.delenv("CONTAINER_HOST", raising=False)
    with Podman.open("") as found:
        assert found.version == podman.run("version", "--format", "{{.Client.Version}}").strip()
        assert found.find("localhost/hello-web:1.0.0") is None
