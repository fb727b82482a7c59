"""Every kind of error leaves as the status it should, with its words, and nothing else."""

from __future__ import annotations

import logging

import pytest

from minipaas.model.errors import KINDS, Forbidden, MinipaasError
from minipaas.surface import problems
from tests.surface.small import SmallBox

STATUS = {
    "failed": 500,
    "invalid": 422,
    "refused": 422,
    "conflict": 409,
    "forbidden": 403,
    "missing": 404,
    "unreachable": 502,
    "no_space": 507,
    "engine": 502,
    "engine_down": 503,
    "deadline": 504,
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_error_has_its_status_and_keeps_its_words(box: SmallBox, kind: str) -> None:
    box.control.refuse_uploads = KINDS[kind]("cannot do X: why", hint="do Y", code="some.rule")
    async with box.local() as session, session.put("/api/v1/bundles", data=b"x" * 100_000) as response:
        assert response.status == STATUS[kind]
        assert await response.json() == {
            "error": {"kind": kind, "code": "some.rule", "message": "cannot do X: why", "hint": "do Y"}
        }


async def test_what_nobody_foresaw_is_logged_and_not_shown(box: SmallBox, caplog: pytest.LogCaptureFixture) -> None:
    box.control.broken = RuntimeError("a secret detail")
    with caplog.at_level(logging.ERROR):
        async with box.local() as session, session.post("/api/v1/apps/shop/rollback", json={}) as response:
            text = await response.text()
    assert response.status == 500
    assert "secret" not in text
    assert "Traceback" not in text
    number = (await response.json())["error"]["message"].rpartition(" ")[2]
    assert number in caplog.text
    assert "a secret detail" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "api.path"),
        ("GET", "/api/v1/nothing", 404, "api.path"),
        ("GET", "/api/v2/apps", 404, "api.path"),
        ("POST", "/api/v1/apps", 405, "api.method"),
        ("PATCH", "/api/v1/box", 405, "api.method"),
        ("GET", "/api/v1/apps/NOT-a-name", 404, "api.path"),
        ("GET", "/api/v1/apps/shop", 404, "app.missing"),
        ("GET", "/api/v1/changes/7", 404, "change.missing"),
        ("GET", "/api/v1/changes/seven", 404, "api.path"),
        ("GET", "/api/v1/changes/99999999999999999999", 404, "api.path"),
        ("GET", "/api/v1/changes/7/events", 404, "change.missing"),
        ("GET", "/api/v1/changes?limit=0", 400, "api.request"),
        ("GET", "/api/v1/changes?limit=501", 400, "api.request"),
        ("GET", "/api/v1/changes?limit=many", 400, "api.request"),
        ("GET", "/api/v1/changes?limit=1&limit=2", 400, "api.request"),
        ("GET", "/api/v1/changes?app=", 400, "api.request"),
        ("GET", "/api/v1/changes?apps=shop", 400, "api.request"),
        ("DELETE", "/api/v1/apps/shop?volumes=yes", 400, "api.request"),
        ("DELETE", "/api/v1/apps/shop?volume=true", 400, "api.request"),
        ("DELETE", "/api/v1/tokens/none", 404, "token.missing"),
        ("GET", "/static/nothing.js", 404, "api.path"),
        ("GET", "/static/..%2fpage.py", 404, "api.path"),
    ],
)
async def test_requests_that_lead_nowhere(box: SmallBox, method: str, path: str, status: int, code: str) -> None:
    async with box.local() as session, session.request(method, path) as response:
        body = await response.json()
    assert (response.status, body["error"]["code"]) == (status, code)
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    if status == 405:
        assert response.headers["Allow"]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b'{"name": "ci"}', {"Content-Type": "application/json"}, 400),
        (b'{"name": "ci", "role": "god"}', {"Content-Type": "application/json"}, 400),
        (b'{"name": "ci", "role": "read", "more": 1}', {"Content-Type": "application/json"}, 400),
        (b'{"name": "../x", "role": "read"}', {"Content-Type": "application/json"}, 400),
        (b"\xff\xfe", {"Content-Type": "application/json"}, 400),
        (b"", {"Content-Type": "application/json"}, 400),
        (b'{"name": "ci", "role": "read"}', {"Content-Type": "text/plain"}, 415),
        (b'{"name": "ci", "role": "read"}' + b" " * 65536, {"Content-Type": "application/json"}, 413),
        (b'{"name": "ci", "role": "read"}', {"Content-Type": "application/json; charset=utf-8"}, 201),
    ],
)
async def test_bodies(box: SmallBox, body: bytes, headers: dict[str, str], status: int) -> None:
    async with box.local() as session:
        async with session.post("/api/v1/tokens", data=body, headers=headers) as response:
            assert response.status == status
        async with session.get("/api/v1/tokens") as after:
            assert len((await after.json())["tokens"]) == (status == 201)


async def test_a_body_without_a_length_is_also_bounded(box: SmallBox) -> None:
    async def endless():  # type: ignore[no-untyped-def]
        for _ in range(1000):
            yield b" " * 4096

    headers = {"Content-Type": "application/json"}
    async with box.local() as session, session.post("/api/v1/tokens", data=endless(), headers=headers) as response:
        assert response.status == 413


def test_only_a_missing_credential_is_unauthorized() -> None:
    assert problems.status_of(Forbidden("x", code="api.credentials")) == 401
    assert problems.status_of(Forbidden("x", code="api.role")) == 403
    assert problems.answer(Forbidden("x", code="api.credentials")).headers["WWW-Authenticate"].startswith("Bearer")


def test_codes_of_http_have_a_status_of_an_error() -> None:
    assert all(400 <= status < 600 for status in problems.STATUS_BY_CODE.values())
    assert problems.status_of(MinipaasError("x", code="api.busy")) == 503
