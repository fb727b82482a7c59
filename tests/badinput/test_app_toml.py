"""app.toml, wrong in one place: where the author builds, and in a signed bundle; and what clashes with other apps."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.bundle.keys import SigningKey
from tests.badinput.live import LiveBox, refused, told
from tests.badinput.shop import author, forge
from tests.boxes import toml

APP = '[app]\nname = "shop"\nversion = "3.0"\n'
WEB = APP + '[services.web]\nimage = "x"\n'
ROUTED = WEB + 'port = 80\nroutes = ["shop.local"]\n[services.web.ingress]\n'


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An author's directory, with keys and root."""
    place = tmp_path_factory.mktemp("desk")
    keys, root = author()
    for number, key in enumerate(keys):
        assert isinstance(key, SigningKey)
        key.save(place / f"{number}.key")
    (place / "root.json").write_bytes(root)
    return place


WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown key": (WEB + "replica = 2\n", ("services.web.replica: unknown key", "did you mean replicas?")),
    "unknown table": (WEB + "[service.db]\nimage = 'x'\n", ("service: unknown key", "did you mean services?")),
    "unknown key in a table": (
        WEB + "health = { htp = '/' }\n",
        ("services.web.health.htp: unknown key", "did you mean http?"),
    ),
    "a key like no other": (WEB + "zzzzzz = 1\n", ("services.web.zzzzzz: unknown key", "valid keys here: ")),
    "no app": ("[services.web]\nimage = 'x'\n", ("app",)),
    "no services": (APP, ("services",)),
    "empty services": (APP + "[services]\n", ("an app has 1 to 64 services",)),
    "no version": ('[app]\nname = "shop"\n[services.web]\nimage = "x"\n', ("version",)),
    "app name": (WEB.replace('"shop"', '"Shop!"'), ("app: name 'Shop!' must be a lower-case DNS label",)),
    "a path as app name": (WEB.replace('"shop"', '"../etc"'), ("must be a lower-case DNS label",)),
    "version": (WEB.replace('"3.0"', '"3 0"'), ("version '3 0' must be letters, digits",)),
    "service name": (WEB + '[services.Db]\nimage = "x"\n', ("'Db' must be a lower-case DNS label",)),
    "no image": (APP + "[services.web]\nport = 80\n", ("services.web: give exactly one of image and build",)),
    "image and build": (WEB + 'build = "."\n', ("give exactly one of image and build",)),
    "port": (WEB + "port = 70000\n", ("services.web: port must be 1 to 65535",)),
    "port as text": (WEB + 'port = "http"\n', ("services.web.port: Expected `int",)),
    "route without port": (WEB + 'routes = ["shop.local"]\n', ("routes need a port",)),
    "ingress without routes": (
        WEB + "port = 80\ningress = { sticky = true }\n",
        ("ingress is for services with routes",),
    ),
    "unknown key of ingress": (ROUTED + "max_bodi = 1\n", ("services.web.ingress.max_bodi", "did you mean max_body?")),
    "a queue for nothing": (ROUTED + "queue = 5\n", ("queue and queue_timeout need max_in_flight",)),
    "nobody at once": (ROUTED + "max_in_flight = 0\n", ("services.web.ingress: max_in_flight must be 1 to 65536",)),
    "a size as words": (ROUTED + 'max_body = "much"\n', ("services.web.ingress.max_body", "is not a size")),
    "held for ever": (ROUTED + 'hold = "1d"\n', ("hold must be 0s to 10m",)),
    "no time at all": (ROUTED + 'first_byte = "1ms"\n', ("first_byte must be 1s to 24h",)),
    "route": (WEB + 'port = 80\nroutes = ["http://shop.local"]\n', ("services.web", "http://shop.local")),
    "same route twice": (
        WEB + 'port = 80\nroutes = ["s.local"]\n[services.b]\nimage = "x"\nport = 80\nroutes = ["s.local/"]\n',
        ("services.b.routes: s.local is already a route of web",),
    ),
    "same host port twice": (
        WEB + 'ports = ["1883:80"]\n[services.b]\nimage = "x"\nports = ["127.0.0.1:1883:81"]\n',
        ("services.b.ports: 127.0.0.1:1883/tcp is already published by web",),
    ),
    "tcp port": (WEB + "tcp = 70000\n", ("services.web: tcp: 70000 is not a port; ports are 1 to 65535",)),
    "udp of text": (WEB + 'udp = "514"\n', ("services.web.udp: ",)),
    "unknown key of tcp": (
        WEB + "tcp = { lisen = 1883 }\n",
        ("services.web.tcp.lisen: unknown key", "did you mean listen?"),
    ),
    "unknown key of one tcp": (
        WEB + "tcp = [1883, { listen = 1, prot = 2 }]\n",
        ("services.web.tcp.1.prot: unknown key", "did you mean port?"),
    ),
    "no listen": (WEB + "tcp = { port = 1883 }\n", ("services.web.tcp: ", "listen")),
    "idle": (WEB + 'tcp = { listen = 1, idle = "0s" }\n', ("services.web.tcp: idle must be 1s to 30d",)),
    "one port twice": (
        WEB + "tcp = [1883, 1883]\n",
        ("services.web.tcp: port 1883 is already one of web",),
    ),
    "one port of two services": (
        WEB + 'tcp = 1883\n[services.b]\nimage = "x"\ntcp = { listen = 1883, port = 80 }\n',
        ("services.b.tcp: port 1883 is already one of web",),
    ),
    "a port published and of the ingress": (
        WEB + 'tcp = 1883\n[services.b]\nimage = "x"\nports = ["127.0.0.1:1883:81"]\n',
        ("services.b.ports: 127.0.0.1:1883/tcp is already a tcp port of web",),
    ),
    "host port": (WEB + 'ports = ["99999:80"]\n', ("ports are 1 to 65535",)),
    "host port as text": (WEB + 'ports = ["http"]\n', ("'http' is not a port; write HOST:CONTAINER",)),
    "volume with a slash": (
        WEB + 'volumes = { "a/b" = "/data" }\n',
        ("'a/b' is not a volume name; use letters, digits, dot, dash and underscore, no '/'",),
    ),
    "volume that leads out": (WEB + 'volumes = { "../x" = "/data" }\n', ("'../x' is not a volume name",)),
    "volume at a relative path": (
        WEB + 'volumes = { data = "data" }\n',
        ("volumes.data: 'data' must be an absolute path",),
    ),
    "volume at a path that leads out": (WEB + 'volumes = { data = "/a/../../b" }\n', ("must be an absolute path",)),
    "volume and replicas": (
        WEB + 'volumes = { data = "/d" }\nreplicas = 2\n',
        ("a service with a volume or a published port has one replica",),
    ),
    "replicas": (WEB + "replicas = -1\n", ("replicas must be 0 to 64",)),
    "health without port": (WEB + "health = { http = '/' }\n", ("an http or tcp health check needs a port",)),
    "two ways of health": (
        WEB + "port = 80\nhealth = { http = '/', tcp = true }\n",
        ("services.web.health: give exactly one of http, tcp and command",),
    ),
    "health path": (WEB + "port = 80\nhealth = { http = 'x' }\n", ("http must be a path that starts with /",)),
    "duration": (
        WEB + "stop = '2 minutes'\n",
        ("services.web.stop: '2 minutes' is not a duration; write it like 500ms, 2s, 1m30s or 24h",),
    ),
    "size": (WEB + "memory = 'much'\n", ("services.web.memory: 'much' is not a size; write it like 512KiB",)),
    "little memory": (WEB + "memory = '1KiB'\n", ("memory must be at least 4MiB",)),
    "cpus": (WEB + "cpus = 0.0\n", ("cpus must be 0.01 or more",)),
    "capability": (WEB + "capabilities = ['root please']\n", ("'root please' is not a capability",)),
    "environment": (WEB + 'env = { "A-B" = "1" }\n', ("env: 'A-B' is not a variable name",)),
    "dependency": (WEB + 'depends_on = ["db"]\n', ("services.web.depends_on: there is no service 'db'",)),
    "a circle": (
        WEB + 'depends_on = ["b"]\n[services.b]\nimage = "x"\ndepends_on = ["web"]\n',
        ("depends_on goes in a circle",),
    ),
    "not TOML": (WEB + "= 3\n", ("app.toml",)),
    "not text": ("\udcff\udcfe", ("app.toml",)),
    "a key twice": (WEB + 'image = "y"\n', ("app.toml",)),
    "larger than anybody writes": (WEB + "# " + "x" * 300_000, ("it is larger than 256 KiB",)),
}


@pytest.mark.parametrize("name", WRONG)
def test_at_bundle_build(box: LiveBox, desk: Path, name: str) -> None:
    text, words = WRONG[name]
    (desk / "app.toml").write_bytes(text.encode(errors="surrogateescape"))
    output = desk / "out.bundle"
    keys = (word for number in range(2) for word in ("--key", desk / f"{number}.key"))
    said = box.cli(
        "bundle", "build", desk, "-o", output, *keys, "--root", desk / "root.json", "--podman", "unix:///nonexistent"
    )
    told(said, 2, "app.toml", *words, hint="unknown" in name)
    assert not output.exists()


@pytest.mark.parametrize("name", WRONG)
def test_in_a_signed_bundle(box: LiveBox, name: str) -> None:
    text, words = WRONG[name]
    bent = forge(services=("web",))
    bent.app_toml = text.encode(errors="surrogateescape")
    refused(box, bent.build(), "bundle.app_toml", *words)


def test_a_directory_without_app_toml(box: LiveBox, desk: Path, tmp_path: Path) -> None:
    said = box.cli(
        "bundle", "build", tmp_path, "-o", tmp_path / "x", "--key", desk / "0.key", "--root", desk / "root.json"
    )
    told(said, 4, "app.toml", "minipaas bundle init")


# -- other apps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["shop.local", "SHOP.local/"])
def test_a_route_of_another_app(box: LiveBox, where: str) -> None:
    data = forge("two", "1.0", 1, app_toml=toml("two", "1.0", routes=f'"{where}"')).build()
    answer = refused(
        box,
        data,
        "route.taken",
        "cannot run two 1.0: its route shop.local belongs to shop (web, 2.0)",
        kind="conflict",
        status=409,
    )
    assert answer.json["error"]["hint"] == "choose another route, or remove the other app: minipaas remove shop"


@pytest.mark.parametrize("address", ["", "127.0.0.1:"])
def test_a_host_port_of_another_app(box: LiveBox, port: int, address: str) -> None:
    text = toml("two", "1.0", routes="", extra=f'ports = ["{address}{port}:80"]')
    data = forge("two", "1.0", 1, app_toml=text).build()
    words = f"{port}/tcp of web belongs to radio (web, 1.0)"
    answer = refused(box, data, "port.taken", words, kind="conflict", status=409)
    assert answer.json["error"]["hint"] == "choose another port, or remove the other app: minipaas remove radio"
