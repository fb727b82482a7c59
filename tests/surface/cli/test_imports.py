"""What a client command costs: only what it needs is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "aiohttp", "asyncio", "podman", "requests", "cryptography", "tuf", "securesystemslib", "jinja2", "uvloop",
    "httptools", "rich", "yaml", "sqlite3", "psutil", "zstandard", "tomli_w", "minipaas.app", "minipaas.control",
    "minipaas.engine", "minipaas.registry", "minipaas.ingress", "minipaas.author", "minipaas.telemetry",
    "prometheus_client",
)  # fmt: skip

PROBE = """
import sys
from minipaas.surface.cli.main import run
code = run(sys.argv[1:], serve=None)
print("MODULES", code, *sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["status"],
        ["status", "--json"],
        ["top"],
        ["changes"],
        ["timeline", "shop"],
        ["logs", "shop"],
        ["trust", "list"],
        ["token", "list"],
        ["audit"],
        ["version"],
        ["rollback", "shop", "--no-wait"],
    ],
)
def test_nothing_heavy_is_imported(box, views, args):
    box.answers["GET /api/v1/apps"] = (200, views.apps(views.app()))
    box.answers["GET /api/v1/metrics"] = (200, {"at": 0.0, "step": 60, "host": None, "apps": []})
    box.answers["GET /api/v1/changes"] = (200, {"changes": []})
    past = {"start": 0.0, "step": 600, "seen": [], "cpu": [], "memory": [], "requests": [], "errors": []}
    line = {"app": "shop", "start": 0.0, "end": 1.0, "now": 1.0, "marks": [], "past": past}
    box.answers["GET /api/v1/apps/shop/timeline"] = (200, line)
    box.answers["GET /api/v1/apps/shop/logs"] = (200, {"lines": [{"instance": "web-1", "text": "hello"}]})
    box.answers["GET /api/v1/trust"] = (200, {"roots": []})
    box.answers["GET /api/v1/tokens"] = (200, {"tokens": []})
    box.answers["GET /api/v1/audit"] = (200, {"rows": []})
    accepted = {"change": 7, "app": "shop", "version": "1", "events": "/api/v1/changes/7/events", "page": "/"}
    box.answers["POST /api/v1/apps/shop/rollback"] = (202, accepted)
    box.answers["GET /api/v1/box"] = (200, views.box())
    done = subprocess.run([sys.executable, "-c", PROBE, *args], capture_output=True, text=True, timeout=60, check=True)
    word, code, *modules = done.stderr.split()
    assert (word, code) == ("MODULES", "0"), done.stderr
    loaded = {name for name in HEAVY if name in modules}
    assert loaded == set()
