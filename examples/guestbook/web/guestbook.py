"""The guestbook: a page, an API, and Redis behind it."""

from __future__ import annotations

import json
import os
import socket
import time

import redis
from flask import Flask, Response, jsonify, redirect, render_template, request

KEEP = 500
SHOW = 50
LINE = 280

app = Flask(__name__)
store = redis.Redis(
    host=os.environ.get("REDIS_HOST", "redis"),
    socket_timeout=2,
    socket_connect_timeout=2,
    decode_responses=True,
)


def entries() -> list[dict[str, object]]:
    """The newest lines, newest first."""
    return [json.loads(row) for row in store.lrange("guestbook:entries", 0, SHOW - 1)]


def add(name: str, text: str) -> dict[str, object]:
    """Store one line and return it."""
    entry = {"name": name.strip()[:40] or "somebody", "text": text.strip()[:LINE], "at": int(time.time())}
    with store.pipeline() as pipe:
        pipe.lpush("guestbook:entries", json.dumps(entry))
        pipe.ltrim("guestbook:entries", 0, KEEP - 1)
        pipe.incr("guestbook:written")
        pipe.execute()
    return entry


@app.template_filter("ago")
def ago(at: int) -> str:
    """Seconds since the epoch, as people say it."""
    seconds = max(0, int(time.time()) - at)
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'s' if count > 1 else ''} ago"
    return "just now"


@app.get("/")
@app.get("/guestbook")
@app.get("/guestbook/")
def page() -> str:
    """The book."""
    return render_template(
        "page.html",
        entries=entries(),
        written=int(store.get("guestbook:written") or 0),
        schema=store.get("guestbook:schema"),
        instance=socket.gethostname(),
        base="/guestbook" if request.path.startswith("/guestbook") else "",
        limit=LINE,
    )


@app.post("/entries")
@app.post("/guestbook/entries")
def write() -> Response | tuple[Response, int]:
    """One more line, from the page's form or as JSON."""
    data = request.get_json(silent=True) or request.form
    if not str(data.get("text", "")).strip():
        return jsonify(error="text must not be empty"), 400
    entry = add(str(data.get("name", "")), str(data["text"]))
    if request.is_json:
        return jsonify(entry), 201
    return redirect("/guestbook" if request.path.startswith("/guestbook") else "/", 303)


@app.get("/entries")
@app.get("/guestbook/entries")
def read() -> Response:
    """The newest lines, as JSON."""
    return jsonify(entries=entries(), instance=socket.gethostname())


@app.get("/healthz")
def healthz() -> tuple[Response, int]:
    """Well only when Redis answers and has the schema that this release was made for."""
    try:
        schema = store.get("guestbook:schema")
    except redis.RedisError as error:
        return jsonify(ok=False, why=str(error)), 503
    if schema is None:
        return jsonify(ok=False, why="the release hook has not run"), 503
    return jsonify(ok=True, schema=int(schema)), 200
