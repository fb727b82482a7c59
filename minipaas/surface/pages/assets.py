"""Style, scripts, icon and their licences: read once, named by their content, so that a browser keeps them for good."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from aiohttp import web

from minipaas.model.errors import Missing
from minipaas.surface.call import Call

HERE = Path(__file__).parents[1] / "static"
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


async def static(call: Call) -> web.Response:
    """A file of ours or of `vendor`, by its bare name."""
    name = call.request.match_info["file"]
    found = _files().get(name)
    if found is None:
        raise Missing(f"cannot find {call.request.path[:200]}: no such file", code="api.path")
    body, kind, tag = found
    headers = {"Cache-Control": "no-cache", "ETag": f'"{tag}"'}
    if call.request.query.get("v") == tag:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    if tag in call.request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)


def asset(name: str) -> str:
    """The address of a file, with its tag."""
    return f"/static/{name}?v={_files()[name][2]}"


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Name -> (content, media type, tag)."""
    found = {path.name: path.read_bytes() for path in HERE.rglob("*") if path.suffix in _TYPES}
    return {
        name: (body, _TYPES[Path(name).suffix], hashlib.sha256(body).hexdigest()[:16]) for name, body in found.items()
    }
