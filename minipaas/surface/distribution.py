"""The blob store as a read-only OCI registry on loopback, from which Podman pulls (OCI distribution-spec 1.1, pull).

What always holds: only GET and HEAD, only by digest, only with the credential that was made for this run; what is sent
is what the store says is behind the digest, and a blob that turns out damaged breaks the connection off instead of
ending it politely.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import re
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar

from aiohttp import web

from minipaas.model.errors import MinipaasError, Missing
from minipaas.registry.blobs import BlobStore
from minipaas.surface.limits import LIMITS, Limits

log = logging.getLogger("minipaas.distribution")

T = TypeVar("T")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MANIFEST_TYPES = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
_DEFAULT_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Distribution:
    """`start`, give `reference`, `username` and `password` to Podman, `close`."""

    def __init__(self, blobs: BlobStore, limits: Limits = LIMITS) -> None:
        self._blobs = blobs
        self._limits = limits
        self.username = "minipaas"
        self.password = secrets.token_urlsafe(32)
        pair = f"{self.username}:{self.password}".encode()
        self._expected = b"Basic " + base64.b64encode(pair)
        self._threads = ThreadPoolExecutor(limits.blob_threads, thread_name_prefix="distribution")
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/v2/", self._version)
        app.router.add_get("/v2/{name:.+}/tags/list", self._tags)
        app.router.add_get("/v2/{name:.+}/manifests/{digest}", self._manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{digest}", self._blob)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=self._limits.shutdown)
        await self._runner.setup()
        sock = socket.create_server(("127.0.0.1", 0))
        self._port = sock.getsockname()[1]
        await web.SockSite(self._runner, sock).start()

    async def close(self) -> None:
        """Stop answering; pulls under way break off."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)

    def reference(self, app: str, manifest: str) -> str:
        """What Podman is to pull for an image manifest (`sha256:<hex>`) of an app."""
        return f"127.0.0.1:{self._port}/minipaas/{app}@{manifest}"

    # -- requests ----------------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._expected):
            response = _error(401, "UNAUTHORIZED", "a credential is needed")
            response.headers["WWW-Authenticate"] = 'Basic realm="minipaas"'
            return response
        try:
            answer: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            return _error(error.status, "UNSUPPORTED", error.reason)
        except Missing as error:
            return _error(404, "BLOB_UNKNOWN", error.message)
        except MinipaasError as error:
            log.error("%s: %s", request.path, error.message)
            return _error(500, "UNKNOWN", error.message)
        return answer

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})

    async def _tags(self, request: web.Request) -> web.Response:
        """None: everything goes by digest. `skopeo inspect` asks nevertheless."""
        return web.json_response({"name": request.match_info["name"], "tags": []})

    async def _manifest(self, request: web.Request) -> web.Response:
        digest = _digest(request)
        body = await self._run(self._read_manifest, digest)
        headers = _headers(digest) | {"Content-Type": _media_type(body)}
        return web.Response(body=body, headers=headers)

    def _read_manifest(self, digest: str) -> bytes:
        with self._blobs.open(digest) as blob:
            body = blob.read(self._limits.manifest + 1)
        if len(body) > self._limits.manifest:
            raise Missing(f"cannot serve {digest}: it is too large for a manifest")
        return body

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        digest = _digest(request)
        size = await self._run(self._blobs.content_size, digest)
        response = web.StreamResponse(headers=_headers(digest) | {"Content-Type": "application/octet-stream"})
        response.content_length = size
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        blob = await self._run(self._blobs.open, digest)
        try:
            await response.prepare(request)
            await self._send(response, blob)
            await response.write_eof()
        except (MinipaasError, TimeoutError) as error:
            # The head is out: the only honest answer left is a connection that breaks off.
            log.error("cannot send %s: %s", digest, error or "nobody takes it")
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            log.info("a reader of %s went away", digest)
        finally:
            await asyncio.shield(self._run(blob.close))
        return response

    async def _send(self, response: web.StreamResponse, blob: BinaryIO) -> None:
        """Decompress the next piece in a thread while the last one is being written."""
        size = self._limits.blob_chunk
        following = self._run(blob.read, size)
        try:
            while chunk := await following:
                following = self._run(blob.read, size)
                async with asyncio.timeout(self._limits.blob_wait):
                    await response.write(chunk)
        finally:
            await asyncio.wait([following])  # a thread cannot be stopped, and reads from what is closed next
            if not following.cancelled():
                following.exception()

    def _run(self, work: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Begin something in a thread."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def _digest(request: web.Request) -> str:
    digest = request.match_info["digest"]
    if not _DIGEST.fullmatch(digest):
        raise Missing(f"cannot serve {digest[:100]!r}: only digests are served")
    return digest


def _headers(digest: str) -> dict[str, str]:
    return {
        "Docker-Distribution-API-Version": "registry/2.0",
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
    }


def _media_type(body: bytes) -> str:
    """What the manifest calls itself; a manifest without a name is an OCI image manifest."""
    try:
        kind = json.loads(body).get("mediaType", "")
    except (ValueError, AttributeError):
        raise Missing("cannot serve this as a manifest: it is none") from None
    return kind if kind in _MANIFEST_TYPES else _DEFAULT_TYPE


def _error(status: int, code: str, message: str) -> web.Response:
    """An error as the specification has it."""
    headers = {"Docker-Distribution-API-Version": "registry/2.0"}
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status, headers=headers)
