"""What the proxies pass requests on to: nginx with fixed answers, and an echo for WebSockets, on another core."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kit.box import BoxError, free_port

from benches.ingress.started import Cores, Started, pinned, tool

SMALL, MEDIUM, LARGE = 65, 10_000, 1_000_000
"""Bytes of the answers."""

# /upload reads the whole body before it answers, and then asks a server that has its answer ready.
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
    sendfile on;
    tcp_nopush on;
    open_file_cache max=10;
    default_type application/octet-stream;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 0;
    client_body_buffer_size 2m;
    server {{ listen unix:{directory}/done.sock; location / {{ return 200 "done\\n"; }} }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {files_of};
        location / {{ return 200 "here\\n"; }}
        location = /65 {{ return 200 "{small}"; }}
        location = /10k {{ }}
        location = /1m {{ }}
        location = /upload {{
            proxy_pass http://unix:{directory}/done.sock;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
    }}
}}
"""


def compiled(directory: Path) -> Path:
    """The load program."""
    program = directory / "load"
    source = Path(__file__).with_name("load.c")
    built = subprocess.run(
        [tool("gcc"), "-O2", "-o", str(program), str(source)], capture_output=True, text=True, timeout=120, check=False
    )
    if built.returncode != 0:
        raise BoxError(f"gcc could not compile load.c:\n{built.stderr}")
    return program


class Upstream:
    """Both servers; they are added to `programs`, to be stopped by whoever holds that list."""

    def __init__(self, directory: Path, cores: Cores, files: int, load: Path, programs: list[Started]) -> None:
        self.port, self.echo = free_port(), free_port()
        here = directory / "upstream"
        here.mkdir()
        (here / "10k").write_bytes(b"x" * MEDIUM)
        (here / "1m").write_bytes(b"x" * LARGE)
        config = here / "nginx.conf"
        config.write_text(
            NGINX.format(
                files=files,
                connections=files - 100,
                port=self.port,
                files_of=here,
                directory=here,
                small="x" * SMALL,
            )
        )
        command = [tool("nginx"), "-p", str(here), "-c", str(config), "-e", "stderr"]
        servers = (
            (self.port, Started("the upstream nginx", pinned(cores.upstream, command), here / "log")),
            (self.echo, Started("the echo", pinned(cores.upstream, [load, "echo", str(self.echo)]), here / "echo.log")),
        )
        programs += (one for _, one in servers)
        for port, one in servers:
            one.wait_for(port, "upstream.local")
