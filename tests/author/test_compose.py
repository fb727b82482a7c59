"""The import of Compose files: what they mean, written as app.toml, and what is said aloud."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from minipaas.author.compose import Imported, import_compose
from minipaas.author.limits import LIMITS
from minipaas.model.errors import Invalid, Missing
from minipaas.model.spec import AppSpec, Health, ServiceSpec, parse_app_toml
from minipaas.model.typed import to_json

DEFAULTS = (
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT"),
    "KILL",
)


def imported(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Imported:
    project = tmp_path / "My_Shop"
    project.mkdir(exist_ok=True)
    file = project / "compose.yaml"
    file.write_text(textwrap.dedent(text))
    return import_compose(file, project, environ or {})


def app(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> AppSpec:
    return parse_app_toml(imported(tmp_path, text, environ).text.encode())


def service(tmp_path: Path, body: str, environ: Mapping[str, str] | None = None) -> tuple[ServiceSpec, str]:
    """One service of these keys (image: x unless given), and all notes as one text."""
    source = "" if "image:" in body or "build:" in body else "image: x\n"
    text = "services:\n  web:\n" + textwrap.indent(source + textwrap.dedent(body), "    ")
    result = imported(tmp_path, text, environ)
    return parse_app_toml(result.text.encode()).services["web"], "\n".join(result.notes)


KEPT: list[tuple[str, dict[str, Any]]] = [
    ("image: redis", {"image": "docker.io/library/redis:latest"}),
    ("image: redis:7", {"image": "docker.io/library/redis:7"}),
    ("image: me/app:1", {"image": "docker.io/me/app:1"}),
    ("image: ghcr.io/me/app", {"image": "ghcr.io/me/app:latest"}),
    ("image: localhost/app:1", {"image": "localhost/app:1"}),
    ("image: localhost:5000/app", {"image": "localhost:5000/app:latest"}),
    ("build: .", {"build": ".", "image": None}),
    ("build: ../other", {"build": "../other"}),
    ("build: {context: ./sub}\nimage: me/app", {"build": "sub", "image": None}),
    ("command: python -m 'my app'", {"command": ["python", "-m", "my app"]}),
    ("command: [python, -u, 3]", {"command": ["python", "-u", "3"]}),
    ("entrypoint: /run.sh --x", {"entrypoint": ["/run.sh", "--x"]}),
    ('ports: ["8080:80"]', {"ports": ["8080:80"], "port": 80}),
    ("ports: [22:22]", {"ports": ["22:22"], "port": 22}),
    ('ports: ["127.0.0.1:53:53/udp", "9:9"]', {"ports": ["127.0.0.1:53:53/udp", "9:9"], "port": 9}),
    ('ports: ["3000-3002:4000-4002"]', {"ports": ["3000:4000", "3001:4001", "3002:4002"]}),
    ("ports: [{target: 80, published: '8080', host_ip: 127.0.0.1}]", {"ports": ["127.0.0.1:8080:80"]}),
    ("ports: [{target: 53, published: 53, protocol: udp}]", {"ports": ["53:53/udp"], "port": None}),
    ('ports: ["9000:9999", "8443:443", "8080:8080"]', {"port": 8080}),
    ("expose: [5432]", {"port": 5432, "ports": []}),
    ("ports: [1000]\nexpose: ['9/udp']", {"port": 1000, "ports": []}),
    ("environment: {A: 1, B: true, C: on, D: 1.50, E: '', F: 0644}",
     {"env": {"A": "1", "B": "true", "C": "on", "D": "1.5", "E": "", "F": "0644"}}),
    ("environment: [A=1, B=x=y, 'C=']", {"env": {"A": "1", "B": "x=y", "C": ""}}),
    ("environment: {HOME: }", {"env": {"HOME": "/home/me"}}),
    ("environment: [HOME]", {"env": {"HOME": "/home/me"}}),
    ('environment: {PW: "${PW:-none}", H: "${HOME}/x", D: "$$5"}',
     {"env": {"PW": "none", "H": "/home/me/x", "D": "$5"}}),
    ("volumes: [data:/var/lib]", {"volumes": {"data": "/var/lib"}}),
    ("volumes: [{type: volume, source: Data, target: /d}]", {"volumes": {"data": "/d"}}),
    ("volumes: [/var/cache]", {"volumes": {"web-var-cache": "/var/cache"}}),
    ("healthcheck: {test: [CMD, ok, --now], interval: 1m30s, timeout: 5s, retries: 5, start_period: 500ms}",
     {"health": {"command": ["ok", "--now"], "interval": 90.0, "timeout": 5.0, "retries": 5, "grace": 0.5}}),
    ("healthcheck: {test: curl -f http://localhost/}",
     {"health": {"command": ["/bin/sh", "-c", "curl -f http://localhost/"], "interval": 30.0, "timeout": 30.0,
                 "retries": 3, "grace": 0.0}}),
    ("healthcheck: {test: [CMD-SHELL, 'a | b']}", {"health.command": ["/bin/sh", "-c", "a | b"]}),
    ("healthcheck: {disable: true}", {"health": None}),
    ("healthcheck: {test: [NONE]}", {"health": None}),
    ("deploy: {replicas: 3}", {"replicas": 3}),
    ("scale: 2", {"replicas": 2}),
    ("deploy: {resources: {limits: {cpus: '0.50', memory: 50M, pids: 30}}}",
     {"cpus": 0.5, "memory": 50 * 1024**2, "pids": 30}),
    ("mem_limit: 1.5g\ncpus: 2\npids_limit: -1", {"memory": 1536 * 1024**2, "cpus": 2.0, "pids": 1_000_000}),
    ("mem_limit: 536870912", {"memory": 512 * 1024**2}),
    ("user: 1000:1000", {"user": "1000:1000"}),
    ("user: 1000", {"user": "1000"}),
    ("working_dir: /srv", {"workdir": "/srv"}),
    ("stop_grace_period: 1m30s", {"stop": 90.0}),
    ("restart: always", {"read_only": False, "capabilities": list(DEFAULTS)}),
    ("read_only: true", {"read_only": True}),
    ("cap_drop: [ALL]", {"capabilities": []}),
    ("cap_drop: [ALL]\ncap_add: [CAP_NET_ADMIN, chown]", {"capabilities": ["NET_ADMIN", "CHOWN"]}),
    ("cap_drop: [KILL, CAP_CHOWN]\ncap_add: [SYS_TIME]",
     {"capabilities": [*(x for x in DEFAULTS if x not in ("KILL", "CHOWN")), "SYS_TIME"]}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), KEPT, ids=[case[0][:50] for case in KEPT])
def test_keeps_the_meaning(tmp_path: Path, body: str, expected: dict[str, Any]) -> None:
    spec, _ = service(tmp_path, body, {"HOME": "/home/me"})
    found = json.loads(to_json(spec))
    for key, value in expected.items():
        if key == "health" and value is not None:
            assert spec.health is not None
            assert {name: found["health"][name] for name in value} == value
        elif key == "health.command":
            assert found["health"]["command"] == value
        else:
            assert found[key] == value


SAID: list[tuple[str, str]] = [
    ("privileged: true", "privileged"),
    ("network_mode: host", "network_mode"),
    ("secrets: [token]", "secrets"),
    ("configs: [nginx]", "configs"),
    ("devices: [/dev/ttyUSB0]", "devices"),
    ("sysctls: {a: 1}", "sysctls: not carried over"),
    ("volumes: [./src:/src]", "./src on /src: a directory of the host"),
    ("volumes: [/etc/localtime:/etc/localtime:ro]", "/etc/localtime"),
    ("volumes: ['~/x:/x']", "a directory of the host"),
    ("volumes: [{type: bind, source: ./a, target: /a}]", "a directory of the host"),
    ("volumes: [{type: tmpfs, target: /cache}]", "tmpfs on /cache"),
    ("volumes: [data:/d:ro]", "read-only and is now writable"),
    ("volumes: [data:/a, data:/b]", "data on /b: a second mount"),
    ("volumes: [/anon]", "had no name; it is now web-anon"),
    ("tmpfs: /cache:size=1m", "tmpfs: /cache"),
    ("ports: ['80']", "random port"),
    ("ports: ['[::1]:80:80']", "IPv6"),
    ("ports: ['80:80']", "prefer a route"),
    ("env_file: missing.env", "missing.env is not there"),
    ("environment: [NOT_SET]", "NOT_SET has no value here"),
    ("environment: {'a.b': 1}", "'a.b' is not a variable name"),
    ("environment: {A: '$NOT_SET'}", "became empty: NOT_SET"),
    ("environment: {A: '$HOME'}", "written out for HOME"),
    ("build: {context: ., args: {A: 1}, target: prod}", "build.args, build.target"),
    ("build: {context: ., dockerfile: docker/x}", "docker/x"),
    ("build: https://example.invalid/x.git", "not a directory here"),
    ("depends_on: {job: {condition: service_completed_successfully}}", "job: not carried over"),
    ("deploy: {replicas: 2}\nvolumes: [d:/d]", "one instance only, because it has a volume"),
    ("deploy: {replicas: 2}\nports: ['1:1']", "one instance only, because it publishes a port"),
    ("deploy: {mode: global, update_config: {parallelism: 2}}", "update_config, mode global"),
    ("deploy: {resources: {reservations: {memory: 1g}}}", "reservations"),
    ("mem_limit: 1m", "below 4MiB"),
    ("healthcheck: {interval: 5s}", "without a test"),
    ("healthcheck: {test: x, start_interval: 1s}", "start_interval"),
    ("cap_add: [ALL]", "cap_add: ALL"),
    ("security_opt: [seccomp=unconfined]", "seccomp"),
    ("restart: 'no'", "release hook"),
    ("command: []", "an empty one"),
    ("networks: {default: {aliases: [www]}}", "aliases"),
]


@pytest.mark.parametrize(("body", "word"), SAID, ids=[case[0][:50] for case in SAID])
def test_says_what_is_not_carried_over(tmp_path: Path, body: str, word: str) -> None:
    _, notes = service(tmp_path, body, {"HOME": "/home/me"})
    assert word in notes


SILENT = [
    "labels: {a: b}",
    "restart: unless-stopped",
    "x-mine: 1",
    "security_opt: [no-new-privileges:true]",
    "privileged: false",
    "tmpfs: [/tmp, '/run:mode=755']",
    "volumes: [{type: tmpfs, target: /run}]",
    "init: true",
    "networks: [default]",
    "pull_policy: always",
]


@pytest.mark.parametrize("body", SILENT)
def test_is_silent_where_nothing_is_lost(tmp_path: Path, body: str) -> None:
    assert service(tmp_path, body)[1] == ""


def test_depends_on_and_names(tmp_path: Path) -> None:
    text = """
        services:
          web: {image: w, depends_on: {db_1: {condition: service_healthy}, tool: {condition: service_started}}}
          worker: {image: w, depends_on: [web]}
          db_1: {image: d}
          tool: {image: t, profiles: [debug]}
        networks: {front: }
        volumes: {pg: {external: true}}
        secrets: {s: {file: x}}
    """
    result = imported(tmp_path, text)
    spec = parse_app_toml(result.text.encode())
    assert spec.app.name == "my-shop"
    assert spec.start_order() == ("db-1", "web", "worker")
    notes = "\n".join(result.notes)
    for word in ("db_1 is now db-1", "tool: left out", "depends_on: tool", "front", "pg: external", "secrets"):
        assert word in notes


def test_the_notes_are_also_in_the_file(tmp_path: Path) -> None:
    assert "# " in (text := imported(tmp_path, "services: {w: {image: x, privileged: true}}").text)
    assert "a privileged container is not offered" in text


def test_an_http_service_gets_a_route_to_uncomment(tmp_path: Path) -> None:
    text = imported(tmp_path, 'services: {web: {image: x, ports: ["80:80"]}, db: {image: y, expose: [5432]}}').text
    assert '# routes = ["web.local"]' in text
    assert "db.local" not in text
    opened = text.replace("# routes", "routes")
    assert parse_app_toml(opened.encode()).services["web"].routes == ("web.local",)


def test_a_curl_check_gets_an_http_check_to_uncomment(tmp_path: Path) -> None:
    check = "curl -fsS http://localhost:8080/healthz || exit 1"
    text = imported(
        tmp_path, f'services: {{web: {{image: x, expose: [8080], healthcheck: {{test: "{check}", interval: 5s}}}}}}'
    ).text
    lines = [line for line in text.splitlines() if not line.startswith("health")]
    opened = parse_app_toml("\n".join(lines).replace("# health", "health").encode())
    assert opened.services["web"].health == Health(http="/healthz", interval=5, timeout=30, grace=0, retries=3)  # type: ignore[arg-type]


def test_two_services_on_one_host_port(tmp_path: Path) -> None:
    result = imported(tmp_path, 'services: {a: {image: x, ports: ["1:1"]}, b: {image: x, ports: ["1:2"]}}')
    assert parse_app_toml(result.text.encode()).services["b"].ports == ()
    assert any("already published by a" in note for note in result.notes)


def test_env_files_are_below_environment_and_dotenv_below_the_shell(tmp_path: Path) -> None:
    project = tmp_path / "My_Shop"
    project.mkdir()
    (project / "a.env").write_text("A=file\nB=file\nC\n")
    (project / "b.env").write_text("B=second\n")
    (project / ".env").write_text("TAG=1\nWHO=dotenv\nC=c\n")
    body = """
        image: x:${TAG}
        env_file: [a.env, {path: b.env, required: false}]
        environment: {A: direct, W: $WHO}
    """
    spec, _ = service(tmp_path, body, {"WHO": "shell"})
    assert spec.image == "docker.io/library/x:1"
    assert spec.env == {"A": "direct", "B": "second", "C": "c", "W": "shell"}


def test_merge_keys_and_strange_texts_survive(tmp_path: Path) -> None:
    text = """
        x-base: &base {image: x, environment: {T: "a \\"b\\" \\\\ \\n \\u007f é # ="}}
        services:
          web: {<<: *base, user: root}
    """
    assert app(tmp_path, text).services["web"].env == {"T": 'a "b" \\ \n \x7f é # ='}


BAD: list[tuple[str, str]] = [
    ("", "not a Compose file"),
    ("- 1", "not a Compose file"),
    ("services: {}", "no services"),
    ("services: {a: 1}", "not a mapping"),
    ("services: {a: {}}", "neither image nor build"),
    ("services: {a: {image: x, profiles: [p]}}", "profile"),
    ("services: {a_b: {image: x}, a-b: {image: y}}", "same name"),
    ("services: {a: {image: x, ports: ['x:y']}}", "'x:y' is not a port"),
    ("services: {a: {image: x, ports: ['1-3:1-2']}}", "differ in length"),
    ("services: {a: {image: x, ports: ['1-60000:1-60000']}}", "in a range"),
    ("services: {a: {image: x, ports: ['70000:1']}}", "1 to 65535"),
    ("services: {a: {image: x, mem_limit: much}}", "'much' is not a size"),
    ("services: {a: {image: x, stop_grace_period: soon}}", "'soon' is not a duration"),
    ("services: {a: {image: x, deploy: {replicas: 1000}}}", "1000 is not 0 to"),
    ("services: {a: {image: x, command: 'a \"b'}}", "command"),
    ("services: {a: {image: '${X:?ask}'}}", "X must be set: ask"),
    ("services: [", "cannot import"),
    ("services: !!python/object/apply:os.system [true]", "cannot import"),
    ("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}", "circle"),
]


@pytest.mark.parametrize(("text", "why"), BAD, ids=[case[0][:50] or "empty" for case in BAD])
def test_what_is_not_compose_is_refused_with_the_reason(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        imported(tmp_path, text)


def test_limits_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="larger than"):
        imported(tmp_path, "# " + "x" * LIMITS.compose_file)
    with pytest.raises(Missing, match="no such file"):
        import_compose(tmp_path / "nowhere.yaml", tmp_path, {})
