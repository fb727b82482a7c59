"""A pull as a registry sees it: manifest, config and layers by digest, with basic authentication (OCI distribution)."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import aiohttp

from tests.fakepodman.world import Fault


async def pull_for_real(reference: str, auth_header: str) -> str:
    """The image id (hex) of `HOST:PORT/NAME@sha256:…`, after every blob was fetched and hashed. Raises Fault."""
    where, _, digest = reference.rpartition("@")
    host, _, name = where.partition("/")
    headers = {}
    if auth_header:
        login = json.loads(base64.urlsafe_b64decode(auth_header))
        both = f"{login['username']}:{login['password']}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(both).decode()}"
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            base = f"http://{host}/v2/{name}"
            manifest = json.loads(await _get(session, f"{base}/manifests/{digest}", digest))
            blobs: list[dict[str, Any]] = [manifest["config"], *manifest["layers"]]
            for blob in blobs:
                data = await _get(session, f"{base}/blobs/{blob['digest']}", blob["digest"])
                if len(data) != blob["size"]:
                    raise Fault(500, f"blob {blob['digest']} has {len(data)} bytes, not {blob['size']}")
    except (aiohttp.ClientError, OSError) as error:
        raise Fault(
            500, f"initializing source docker://{reference}: pinging container registry {host}: {error}"
        ) from None
    return str(manifest["config"]["digest"]).removeprefix("sha256:")


async def _get(session: aiohttp.ClientSession, url: str, digest: str) -> bytes:
    async with session.get(url) as answer:
        data = await answer.read()
        if answer.status != 200:
            raise Fault(500, f"reading {url}: status {answer.status}")
    if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
        raise Fault(500, f"Digest did not match, expected {digest}")
    return data
