"""ACME servers that others have written, as Debian has them: Caddy's (step-ca's code), and Pebble, which Let's Encrypt
tests its clients with."""

from __future__ import annotations

import contextlib
import json
import shutil
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from msgspec import Struct

from tests.certs.made import OtherCa
from tests.listening import listening

LIFE = 12 * 3600
"""Seconds that what they sign is good."""
CADDY = """{
    admin off
    auto_https disable_redirects
    skip_install_trust
    storage file_system store
}
https://acme.test:9443 {
    tls internal
    acme_server {
        lifetime 12h
    }
}
"""


class Stranger(Struct, frozen=True):
    """A server that runs. `ca`: the root that its own certificate is judged by; `root`: the one of what it signs."""

    directory: str
    ca: Path
    root: Path


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin")
    assert found, f"{name} is missing: it comes with Debian's package {name}"
    return found


@contextlib.asynccontextmanager
async def caddy(here: Path) -> AsyncIterator[Stranger]:
    """`acme.test` has to lead to 127.0.0.1."""
    (here / "Caddyfile").write_text(CADDY)
    command = (_program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile")
    async with listening(here, *command, ports=(9443,)):
        root = here / "store/pki/authorities/local/root.crt"
        yield Stranger("https://acme.test:9443/acme/local/directory", root, root)


@contextlib.asynccontextmanager
async def pebble(here: Path) -> AsyncIterator[Stranger]:
    """It refuses every fifth nonce without a reason, to see what clients make of it."""
    ca = OtherCa("Of Pebble")
    (here / "ca.pem").write_bytes(ca.pem)
    tls = ca.file(here / "tls.pem", "localhost", now=time.time() - 3600)
    settings = {
        "listenAddress": "127.0.0.1:14000",
        "managementListenAddress": "127.0.0.1:15000",
        "certificate": str(tls),
        "privateKey": str(tls),
        "httpPort": 80,
        "tlsPort": 443,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": LIFE,
    }
    (here / "settings.json").write_text(json.dumps({"pebble": settings}))
    quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "20", "PEBBLE_AUTHZREUSE": "0"}
    command = (_program("pebble"), "-strict", "-config", "settings.json")
    async with listening(here, *command, ports=(15000, 14000), **quick):
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                "https://localhost:15000/roots/0", ssl=ssl.create_default_context(cafile=here / "ca.pem")
            ) as answer,
        ):
            (here / "root.pem").write_bytes(await answer.read())
        yield Stranger("https://localhost:14000/dir", here / "ca.pem", here / "root.pem")
