"""The proxies that are compared. All have the same duties: route by Host, tell the instance X-Forwarded-For, -Proto and
-Host, keep connections on both sides, speak TLS and WebSocket, write no access log; one worker, one core."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from kit.box import VENV_PROGRAM, Box, BoxError, Program, free_port, wait_for

from benches.ingress.started import Cores, Started, pinned, tool
from benches.many import fake_process, running
from minipaas.ingress.limits import Limits

KEPT = Limits().busy_upstream
"""Connections to an instance that each proxy keeps while they are needed; as many as ours."""


@dataclass(frozen=True)
class Site:
    """What every proxy is told: its hosts, each with the port of the instance that answers for it."""

    directory: Path
    hosts: Mapping[str, int]
    certificate: Path
    """PEM: certificate and key."""
    cores: Cores
    files: int
    """Files that a process may open."""


@dataclass(frozen=True)
class Peer:
    """A proxy that runs."""

    name: str
    version: str
    pid: int
    port: int
    secure: int


NGINX = """\
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid nginx.pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    server_names_hash_max_size 4096;
    client_max_body_size 0;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $upgrading;
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    # Larger than its defaults, which cost it a third of its speed with large answers and half with uploads.
    client_body_buffer_size 128k;
    proxy_buffer_size 64k;
    proxy_buffers 8 64k;
    proxy_busy_buffers_size 128k;
    map $http_upgrade $upgrading {{ default upgrade; "" ""; }}
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    server {{ listen {port} default_server backlog=1024; listen {secure} ssl default_server; return 404; }}
{servers}}}
"""
NGINX_SERVER = """\
    upstream {name} {{ server 127.0.0.1:{to}; keepalive {kept}; keepalive_requests 1000000000; }}
    server {{
        listen {port};
        listen {secure} ssl;
        server_name {host};
        location / {{ proxy_pass http://{name}; }}
    }}
"""


def nginx(site: Site, programs: list[Started]) -> Peer:
    """nginx."""
    here, port, secure = _place(site, "nginx")
    where = {"port": f"127.0.0.1:{port}", "secure": f"127.0.0.1:{secure}"}
    servers = [
        NGINX_SERVER.format(name=f"to_{number}", host=host, to=to, kept=KEPT, **where)
        for number, (host, to) in enumerate(site.hosts.items())
    ]
    config = here / "nginx.conf"
    config.write_text(
        NGINX.format(
            files=site.files,
            connections=site.files - 100,
            certificate=site.certificate,
            servers="".join(servers),
            **where,
        )
    )
    command = [tool("nginx"), "-p", str(here), "-c", str(config), "-e", "stderr"]
    return _start("nginx", _version("nginx", "-v"), command, site, here, (port, secure), programs)


HAPROXY = """\
global
    nbthread 1
    tune.bufsize 32768
    ulimit-n {files}
    maxconn {connections}
    no strict-limits
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h
    option forwardfor
    http-reuse always
frontend public
    bind 127.0.0.1:{port} backlog 1024
    bind 127.0.0.1:{secure} ssl crt {certificate}
    maxconn {connections}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Proto http if !{{ ssl_fc }}
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    http-request return status 404 unless {{ req.hdr(host),field(1,:),lower,map({map}) -m found }}
    use_backend %[req.hdr(host),field(1,:),lower,map({map})]
"""
HAPROXY_BACKEND = """\
backend to_{number}
    server one 127.0.0.1:{to} pool-max-conn {kept}
"""


def haproxy(site: Site, programs: list[Started]) -> Peer:
    """HAProxy."""
    here, port, secure = _place(site, "haproxy")
    hosts = here / "hosts.map"
    hosts.write_text("".join(f"{host} to_{number}\n" for number, host in enumerate(site.hosts)))
    backends = [
        HAPROXY_BACKEND.format(number=number, to=to, kept=KEPT) for number, to in enumerate(site.hosts.values())
    ]
    config = here / "haproxy.cfg"
    connections = (site.files - 200) * 2 // 3
    config.write_text(
        HAPROXY.format(
            files=site.files,
            connections=connections,
            port=port,
            secure=secure,
            certificate=site.certificate,
            map=hosts,
        )
        + "".join(backends)
    )
    command = [tool("haproxy"), "-db", "-f", str(config)]
    return _start("haproxy", _version("haproxy", "-v"), command, site, here, (port, secure), programs)


CADDY = """\
{{
    admin off
    auto_https off
    default_sni 127.0.0.1
    servers {{
        protocols h1
    }}
}}
{servers}"""
CADDY_SERVER = """\
(to_{number}) {{
    reverse_proxy 127.0.0.1:{to} {{
        transport http {{
            keepalive 60s
            keepalive_idle_conns {kept}
            keepalive_idle_conns_per_host {kept}
        }}
    }}
}}
http://{host}:{port} {{
    import to_{number}
}}
https://{host}:{secure} {{
    tls {certificate} {certificate}
    import to_{number}
}}
"""


def caddy(site: Site, programs: list[Started]) -> Peer:
    """Caddy."""
    here, port, secure = _place(site, "caddy")
    servers = [
        CADDY_SERVER.format(
            number=number, host=host, to=to, port=port, secure=secure, certificate=site.certificate, kept=KEPT
        )
        for number, (host, to) in enumerate(site.hosts.items())
    ]
    config = here / "Caddyfile"
    config.write_text(CADDY.format(servers="".join(servers)))
    command = [tool("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]
    version = _version("caddy", "version")
    environment = {"XDG_DATA_HOME": str(here), "XDG_CONFIG_HOME": str(here)}
    return _start("caddy", version, command, site, here, (port, secure), programs, **environment)


def aiohttp(site: Site, programs: list[Started]) -> Peer:
    """A proxy of eighty lines with aiohttp and uvloop."""
    import aiohttp as library

    here, port, secure = _place(site, "aiohttp")
    config = here / "site.json"
    config.write_text(
        json.dumps({"hosts": dict(site.hosts), "certificate": str(site.certificate), "port": port, "secure": secure})
    )
    command = [sys.executable, str(Path(__file__).with_name("relay.py")), str(config)]
    return _start("aiohttp", library.__version__, command, site, here, (port, secure), programs)


def _place(site: Site, name: str) -> tuple[Path, int, int]:
    here = site.directory / f"{name}-{len(site.hosts)}"
    here.mkdir()
    return here, free_port(), free_port()


def _version(name: str, word: str) -> str:
    ran = subprocess.run([tool(name), word], capture_output=True, text=True, timeout=20, check=False)
    said = (ran.stdout + ran.stderr).split("\n")[0]
    words = (part.rpartition("/")[2].partition("-")[0] for part in said.split())
    return next((one for one in words if one[:1].isdigit()), said)


def _start(
    name: str,
    version: str,
    command: list[str],
    site: Site,
    here: Path,
    ports: tuple[int, int],
    programs: list[Started],
    **environment: str,
) -> Peer:
    started = Started(name, pinned(site.cores.proxy, command), here / "log", **environment)
    programs.append(started)
    for host in site.hosts:
        started.wait_for(ports[0], host)
    return Peer(name, version, started.pid, *ports)


@contextlib.contextmanager
def minipaas(site: Site) -> Iterator[Peer]:
    """`minipaas serve` as it is: every room runs, one app a host; only the containers are made up (the tests' fake
    Podman), and at their ports the same instances answer as for the others."""
    here = site.directory / f"minipaas-{len(site.hosts)}"
    here.mkdir()
    try:
        with fake_process(here) as image:
            asyncio.run(_bring_up(here, image, [f"elsewhere={to}" for to in site.hosts.values()]))
            with _box(here, site) as box:
                for host in site.hosts:
                    wait_for(f"minipaas answers for {host}", lambda host=host: _answers(box, host))  # type: ignore[misc]
                version = box.program.run("version").out.split()[1]
                yield Peer("minipaas", version, box.pid, box.ingress, box.secure)
    finally:
        shutil.rmtree(here, ignore_errors=True)


async def _bring_up(directory: Path, image: str, fakes: list[str]) -> None:
    async with running(directory, image, len(fakes), 1, fakes):
        pass


def _box(here: Path, site: Site) -> Box:
    podman = cast(Any, SimpleNamespace(url=f"unix://{here}/podman.sock", conf="/dev/null"))
    program = Program(podman, pinned(site.cores.proxy, VENV_PROGRAM))
    box = Box(here / "box", program, tls=True, config="[tls]\nredirect = false\n")
    box.data = here
    return box


def _answers(box: Box, host: str) -> bool:
    answer = box.get("/65", host=host, timeout=5)
    if answer.status not in (200, 404, 502, 503):
        raise BoxError(f"minipaas answers {answer.status} for {host}:\n{box.tail()}")
    return answer.status == 200


STARTERS = {"nginx": nginx, "haproxy": haproxy, "caddy": caddy, "aiohttp": aiohttp}
"""Those that others have written, by name."""
OURS = "minipaas"
