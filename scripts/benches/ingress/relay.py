"""A proxy as one writes it with aiohttp and uvloop: `python relay.py SITE.json`. What `scripts/bench ingress` compares
with; no part of minipaas."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

HOP = frozenset(("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"))


class Relay:
    """Host -> port of 127.0.0.1."""

    def __init__(self, hosts: dict[str, int], session: aiohttp.ClientSession) -> None:
        self.hosts = hosts
        self.session = session

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        port = self.hosts.get(request.host.partition(":")[0].lower())
        if port is None:
            return web.Response(status=404)
        address = f"http://127.0.0.1:{port}{request.raw_path}"
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP]
        headers.append(("X-Forwarded-For", request.remote or ""))
        headers.append(("X-Forwarded-Proto", request.scheme))
        headers.append(("X-Forwarded-Host", request.host))
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.talk(request, address)
        body = request.content if request.body_exists else None
        async with self.session.request(
            request.method, address, headers=headers, data=body, allow_redirects=False
        ) as from_app:
            fields = [(name, value) for name, value in from_app.headers.items() if name.lower() not in HOP]
            if (from_app.content_length or 0) <= 64 * 1024:
                return web.Response(status=from_app.status, headers=dict(fields), body=await from_app.read())
            response = web.StreamResponse(status=from_app.status, headers=dict(fields))
            await response.prepare(request)
            async for chunk in from_app.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    async def talk(self, request: web.BaseRequest, address: str) -> web.StreamResponse:
        client = web.WebSocketResponse()
        await client.prepare(request)
        async with self.session.ws_connect(address) as app, asyncio.TaskGroup() as both:
            both.create_task(pump(client, app))
            both.create_task(pump(app, client))
        return client


async def pump(one: Any, other: Any) -> None:
    """Messages from one WebSocket to another."""
    async for message in one:
        await other.send_bytes(message.data)
    await other.close()


async def main(site: dict[str, Any]) -> None:
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(
        connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        relay = Relay(site["hosts"], session)
        runner = web.ServerRunner(web.Server(relay.answer, access_log=None))
        await runner.setup()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(site["certificate"])
        await web.TCPSite(runner, "127.0.0.1", site["port"], backlog=1024).start()
        await web.TCPSite(runner, "127.0.0.1", site["secure"], ssl_context=tls, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(json.loads(Path(sys.argv[1]).read_text())))
