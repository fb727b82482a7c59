"""What `bundle init` writes when there is nothing to import."""

from __future__ import annotations

import re

from minipaas.model.spec import NAME, RESERVED, parse_app_toml

CONTAINERFILE_HINT = """\
There is no Containerfile in {directory} yet. A small one, for a Python program that listens on port 8080:

    FROM docker.io/library/python:3.13-slim
    WORKDIR /app
    COPY . .
    USER 1000
    CMD ["python", "main.py"]
"""

_TEMPLATE = """\
# An app of minipaas. Every key is explained in the author's handbook.
# Build it:  minipaas bundle build . -o {name}.bundle --key release.key --root root.json

[app]
name = "{name}"
version = "0.1.0"

[services.web]
build = "."                             # a directory with a Containerfile; or: image = "localhost/{name}:0.1.0"
# command = ["python", "main.py"]       # instead of the image's own
port = 8080                             # the port that routes and probes use
routes = ["{name}.local"]               # HOST, HOST/PREFIX or */PREFIX
replicas = 1
# env = {{ LOG_LEVEL = "info" }}          # readable by whoever has the bundle: no secrets
# volumes = {{ data = "/var/lib/{name}" }} # kept across releases; stopped before its successor starts
# memory = "256MiB"
# cpus = 0.5
health = {{ http = "/", interval = "5s", timeout = "2s", grace = "30s" }}
# read_only = true                      # the default: only volumes, /tmp, /var/tmp and /run can be written
# capabilities = []                     # the default: none; for example ["NET_BIND_SERVICE"]

# [services.web.hooks]
# release = ["./manage.py", "migrate"]  # once per release, before any switch; failure stops the rollout

# [services.db]
# image = "localhost/db:1"
# port = 5432                           # web reaches it as db:5432
"""


def starter(name: str) -> str:
    """A commented `app.toml` for an app of that name; it parses."""
    text = _TEMPLATE.format(name=name)
    parse_app_toml(text.encode(), "the starter app.toml")
    return text


def app_name(text: str) -> str:
    """The nearest valid app or service name: `My_Shop 2` -> `my-shop-2`."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name if name[:1].isalpha() and name != RESERVED else f"app-{name}".rstrip("-")
    name = name[:40].rstrip("-")
    return name if NAME.fullmatch(name) else "app"
