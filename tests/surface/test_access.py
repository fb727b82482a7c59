"""Who may do what: every row of the table for every kind of caller, and the doors before it."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from minipaas.model.config import ApiConfig, Config
from minipaas.model.errors import Forbidden
from minipaas.surface.access import Access, Caller, check_host, check_site, require
from minipaas.surface.limits import Limits
from minipaas.surface.rows.row import Row
from minipaas.surface.table import TABLE
from minipaas.surface.wire import Role
from tests.registry.made import digest, release, serve
from tests.surface.small import SmallBox, csrf_of, small_box

CALLERS = ("socket", "anonymous", "read", "deploy", "admin")
MAY = {
    Access.DOOR: {"socket", "anonymous", "read", "deploy", "admin"},
    Access.OPEN: {"socket", "anonymous", "read", "deploy", "admin"},
    Access.READ: {"socket", "read", "deploy", "admin"},
    Access.DEPLOY: {"socket", "deploy", "admin"},
    Access.UPLOAD: {"socket", "deploy", "admin"},
    Access.ADMIN: {"socket", "admin"},
    Access.ENTER: {"socket", "admin"},
}
BODIES: dict[str, object] = {
    "/api/v1/bundles/missing": {"digests": [digest("x")]},
    "/api/v1/apps/{app}/rollback": {},
    "/api/v1/apps/{app}/restart": {},
    "/api/v1/apps/{app}/scale": {"service": "web", "replicas": 2},
    "/api/v1/tokens": {"name": "ci", "role": "read"},
}
FORMS: dict[str, dict[str, str]] = {
    "/apps/{app}/remove": {"name": "shop"},
    "/box/tokens": {"name": "ci", "role": "read"},
    "/box/tokens/revoke": {"name": "old"},
    "/box/trust": {"root": "nonsense"},
}
ADVERTISED = {
    ("GET", "/sign-in"): Access.DOOR,
    ("POST", "/sign-in"): Access.DOOR,
    ("POST", "/sign-out"): Access.DOOR,
    ("GET", "/static/{file}"): Access.DOOR,
    ("GET", "/audit"): Access.READ,
    ("GET", "/upload/held/{held}"): Access.DEPLOY,
    ("POST", "/upload/held/{held}/deploy"): Access.DEPLOY,
    ("POST", "/upload/held/{held}/drop"): Access.DEPLOY,
    ("POST", "/box/self/seen"): Access.ADMIN,
    ("POST", "/box/tokens"): Access.ADMIN,
    ("POST", "/box/tokens/revoke"): Access.ADMIN,
    ("POST", "/box/trust"): Access.ADMIN,
    ("PUT", "/api/v1/self"): Access.ADMIN,
    ("POST", "/api/v1/self/rollback"): Access.ADMIN,
    ("POST", "/api/v1/self/seen"): Access.ADMIN,
    ("POST", "/api/v1/self/reload"): Access.ADMIN,
    ("POST", "/api/v1/page-links"): Access.READ,
    ("GET", "/crashes/{crash}"): Access.READ,
    ("GET", "/apps/{app}/logs"): Access.READ,
    ("GET", "/apps/{app}/accesses"): Access.READ,
    ("GET", "/apps/{app}/accesses/{lease}"): Access.READ,
    ("GET", "/apps/{app}/rollback"): Access.DEPLOY,
    ("POST", "/apps/{app}/rollback"): Access.DEPLOY,
    ("GET", "/apps/{app}/restart"): Access.DEPLOY,
    ("POST", "/apps/{app}/restart"): Access.DEPLOY,
    ("GET", "/apps/{app}/scale"): Access.DEPLOY,
    ("POST", "/apps/{app}/scale"): Access.DEPLOY,
    ("GET", "/apps/{app}/remove"): Access.ADMIN,
    ("POST", "/apps/{app}/remove"): Access.ADMIN,
    ("PUT", "/api/v1/bundles"): Access.UPLOAD,
    ("POST", "/api/v1/bundles/missing"): Access.DEPLOY,
    ("POST", "/api/v1/apps/{app}/rollback"): Access.DEPLOY,
    ("POST", "/api/v1/apps/{app}/restart"): Access.DEPLOY,
    ("POST", "/api/v1/apps/{app}/scale"): Access.DEPLOY,
    ("GET", "/api/v1/apps/{app}/preview"): Access.DEPLOY,
    ("GET", "/api/v1/held"): Access.DEPLOY,
    ("GET", "/api/v1/held/{held}"): Access.DEPLOY,
    ("POST", "/api/v1/held/{held}/deploy"): Access.DEPLOY,
    ("DELETE", "/api/v1/held/{held}"): Access.DEPLOY,
    ("DELETE", "/api/v1/apps/{app}"): Access.ADMIN,
    ("GET", "/api/v1/apps/{app}/logs"): Access.READ,
    ("GET", "/api/v1/apps/{app}/exec"): Access.ENTER,
    ("GET", "/api/v1/leases"): Access.READ,
    ("DELETE", "/api/v1/leases/{lease}"): Access.ENTER,
    ("GET", "/api/v1/leases/{lease}/recording"): Access.ENTER,
    ("GET", "/api/v1/crashes"): Access.READ,
    ("GET", "/api/v1/crashes/{crash}"): Access.READ,
    ("GET", "/api/v1/crashes/{crash}/log"): Access.READ,
    ("GET", "/api/v1/crashes/{crash}/files"): Access.ADMIN,
    ("GET", "/api/v1/crashes/{crash}/export"): Access.ADMIN,
    ("GET", "/api/v1/crashes/{crash}/open"): Access.ENTER,
    ("DELETE", "/api/v1/crashes/{crash}"): Access.ADMIN,
    ("GET", "/api/v1/apps/{app}/files"): Access.ENTER,
    ("GET", "/api/v1/apps/{app}/logs/live"): Access.READ,
    ("GET", "/api/v1/shipping"): Access.READ,
    ("GET", "/api/v1/apps/{app}/drift"): Access.READ,
    ("GET", "/apps/{app}/shell"): Access.ENTER,
    ("GET", "/crashes/{crash}/shell"): Access.ENTER,
    ("POST", "/apps/{app}/access/{lease}/end"): Access.ENTER,
    ("GET", "/api/v1/apps/{app}/forward"): Access.ENTER,
    ("GET", "/api/v1/leases/{lease}/connect"): Access.ENTER,
    ("POST", "/api/v1/trust"): Access.ADMIN,
    ("POST", "/api/v1/certificates/reload"): Access.ADMIN,
    ("GET", "/api/v1/audit"): Access.READ,
    ("GET", "/api/v1/tokens"): Access.ADMIN,
    ("POST", "/api/v1/tokens"): Access.ADMIN,
    ("DELETE", "/api/v1/tokens/{name}"): Access.ADMIN,
}
"""Everything that is not just open to this machine. A new row has to be put here on purpose."""


def test_what_is_not_open_is_what_we_think() -> None:
    assert {(row.method, row.path): row.access for row in TABLE if row.access is not Access.OPEN} == ADVERTISED


async def session_for(box: SmallBox, caller: str) -> aiohttp.ClientSession:
    if caller == "socket":
        return box.local()
    return await box.remote(None if caller == "anonymous" else caller)


async def status_of(session: aiohttp.ClientSession, row: Row) -> int:
    path = (
        row.path.replace("{app}", "shop")
        .replace("{id}", "1")
        .replace("{name}", "old")
        .replace("{held}", "0" * 16)
        .replace("{crash}", "0" * 12)
        .replace("{lease}", "0" * 12)
        .replace("{file}", "page.js")
    )
    body = BODIES.get(row.path)
    data = None if row.method == "GET" else b"{}" if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if data is not None else {}
    if row.form is not None:
        data = urlencode(FORMS.get(row.path, {}) | {"csrf": await csrf_of(session)}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with session.request(row.method, path, data=data, headers=headers) as response:
        if response.content_type != "text/event-stream":
            await response.read()
        return response.status


@pytest.mark.parametrize(
    "row",
    [row for row in TABLE if (row.method, row.path) != ("POST", "/sign-in")],  # where a token comes in the form
    ids=lambda row: f"{row.method} {row.path}",
)
async def test_every_row_for_every_caller(box: SmallBox, row: Row) -> None:
    await serve(box.registry, release(1))
    for caller in CALLERS:
        async with await session_for(box, caller) as session:
            status = await status_of(session, row)
        if caller in MAY[row.access]:
            assert status not in (401, 403), f"{caller} should be let in"
        elif caller == "anonymous":
            assert status == 401
        else:
            assert status == 403, f"{caller} should be kept out"


async def test_a_token_that_is_not_known_is_refused_everywhere(box: SmallBox) -> None:
    async with aiohttp.ClientSession(box.url, headers={"Authorization": "Bearer nonsense"}) as session:
        for row in TABLE:
            assert await status_of(session, row) == 401


async def test_a_revoked_token_no_longer_counts(box: SmallBox) -> None:
    async with box.local() as root, await box.remote() as guest:
        async with root.post("/api/v1/tokens", json={"name": "ci", "role": "read"}) as made:
            assert made.status == 201
            headers = {"Authorization": f"Bearer {(await made.json())['secret']}"}
        async with guest.get("/api/v1/audit", headers=headers) as let_in:
            assert let_in.status == 200
        async with root.delete("/api/v1/tokens/ci") as gone:
            assert gone.status == 204
        async with guest.get("/api/v1/audit", headers=headers) as refused:
            assert refused.status == 401
            assert "minipaas token new" in (await refused.json())["error"]["hint"]


async def test_a_refusal_says_how_to_be_let_in_and_is_audited(box: SmallBox) -> None:
    async with await box.remote("read") as session, session.delete("/api/v1/apps/shop") as response:
        body = await response.json()
    assert response.status == 403
    assert "admin" in body["error"]["message"]
    assert "minipaas token new NAME --role admin" in body["error"]["hint"]
    row = (await box.registry.audit_log(1))[0]
    assert (row.action, row.subject, row.origin) == ("refused", "DELETE /api/v1/apps/shop", "tcp 127.0.0.1")
    assert row.actor.startswith("token read-")


async def test_refusals_cannot_fill_the_disk(tmp_path: Path) -> None:
    async with small_box(tmp_path, limits=Limits(refusals_per_minute=3)) as box, await box.remote() as session:
        for _ in range(20):
            async with session.get("/api/v1/audit") as response:
                assert response.status == 401
        assert len(await box.registry.audit_log(100)) <= 6  # a minute may end between two requests


async def test_an_answered_request_names_its_actor(box: SmallBox) -> None:
    async with box.local() as session, session.post("/api/v1/tokens", json={"name": "ci", "role": "read"}) as response:
        assert response.status == 201
    row = (await box.registry.audit_log(1))[0]
    assert row.actor.endswith(" via socket")
    assert row.origin == "socket"


async def test_signed_uploads_let_anyone_upload_and_nothing_else(tmp_path: Path) -> None:
    config = Config(api=ApiConfig(accept_signed_uploads=True))
    async with small_box(tmp_path, config) as box, await box.remote() as session:
        async with session.put("/api/v1/bundles", data=b"a bundle") as response:
            assert response.status == 202
        assert box.control.uploaded[0][2] is True, "the signature is the authority"
        for row in TABLE:
            if row.access not in (Access.DOOR, Access.OPEN, Access.UPLOAD):
                assert await status_of(session, row) == 401
        async with await box.remote("deploy") as trusted, trusted.put("/api/v1/bundles", data=b"x") as second:
            assert second.status == 202
        assert box.control.uploaded[1][2] is False, "the token is the authority"


@pytest.mark.parametrize(
    ("host", "listen", "let_in"),
    [
        ("127.0.0.1:7070", ["127.0.0.1"], True),
        ("localhost:7070", ["127.0.0.1"], True),
        ("LOCALHOST", ["127.0.0.1"], True),
        ("localhost:9000", ["127.0.0.1"], True),
        ("[::1]:7070", ["::1"], True),
        ("127.9.9.9", ["127.0.0.1"], True),
        ("192.168.1.5:7070", ["192.168.1.5"], True),
        ("192.168.1.6:7070", ["192.168.1.5"], False),
        ("192.168.1.6", ["0.0.0.0"], True),
        ("[fd00::1]", ["::"], True),
        ("box.example", ["0.0.0.0"], False),
        ("box.example", ["box.example"], True),
        ("evil.example", ["127.0.0.1"], False),
        ("127.0.0.1.evil.example", ["127.0.0.1"], False),
        ("localhost.evil.example", ["127.0.0.1"], False),
        ("evil.example@127.0.0.1", ["127.0.0.1"], False),
        ("127.0.0.1/evil", ["127.0.0.1"], False),
        ("", ["127.0.0.1"], False),
        ("[::1", ["127.0.0.1"], False),
    ],
)
def test_hosts(host: str, listen: list[str], let_in: bool) -> None:
    if let_in:
        check_host({"Host": host}, listen)
    else:
        with pytest.raises(Forbidden):
            check_host({"Host": host}, listen)


async def test_a_rebound_name_is_refused_on_tcp_also_for_reads(box: SmallBox) -> None:
    async with await box.remote("admin") as session:
        for path in ("/", "/api/v1/apps", "/no/such/path"):
            async with session.get(path, headers={"Host": "evil.example"}) as response:
                assert response.status == 403
                assert (await response.json())["error"]["code"] == "api.host"


@pytest.mark.parametrize(
    ("method", "headers", "let_in"),
    [
        ("GET", {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, True),
        ("POST", {}, True),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:7070"}, True),
        ("POST", {"Sec-Fetch-Site": "none"}, True),
        ("POST", {"Origin": "http://127.0.0.1:7070"}, True),
        ("POST", {"Origin": "http://127.0.0.1:8080"}, False),
        ("POST", {"Origin": "null"}, False),
        ("PUT", {"Origin": "https://evil.example"}, False),
        ("DELETE", {"Sec-Fetch-Site": "cross-site"}, False),
        ("POST", {"Sec-Fetch-Site": "same-site"}, False),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, False),
    ],
)
def test_pages_of_other_sites(method: str, headers: dict[str, str], let_in: bool) -> None:
    given = {"Host": "127.0.0.1:7070"} | headers
    if let_in:
        check_site(method, given)
    else:
        with pytest.raises(Forbidden):
            check_site(method, given)


async def test_another_sites_page_cannot_upload_even_where_signatures_suffice(tmp_path: Path) -> None:
    config = Config(api=ApiConfig(accept_signed_uploads=True))
    async with small_box(tmp_path, config) as box, await box.remote() as session:
        headers = {"Origin": "https://evil.example"}
        async with session.put("/api/v1/bundles", data=b"a bundle", headers=headers) as response:
            assert response.status == 403
        assert box.control.uploaded == []


@pytest.mark.parametrize("access", [access for access in Access if access is not Access.DOOR])
def test_from_elsewhere_nothing_goes_without_a_token(access: Access) -> None:
    stranger = Caller(actor="anonymous", origin="tcp 192.168.1.9", role=None, near=False)
    with pytest.raises(Forbidden) as refused:
        require(stranger, access, "GET")
    assert refused.value.code == "api.credentials"


@pytest.mark.parametrize("access", list(Access))
@pytest.mark.parametrize("role", list(Role))
def test_roles_include_the_ones_below(access: Access, role: Role) -> None:
    caller = Caller(actor="token x", origin="tcp 192.168.1.9", role=role, near=False)
    assert caller.may(access) == (role.value in MAY[access])


async def test_a_browser_may_read_with_the_token_as_password_but_not_write(box: SmallBox) -> None:
    secret = await box.registry.add_token("me", "admin", 1.0, actor="test", origin="test")
    basic = base64.b64encode(f"anyone:{secret}".encode()).decode()
    async with aiohttp.ClientSession(box.url, headers={"Authorization": f"Basic {basic}"}) as session:
        async with session.get("/api/v1/audit") as reads:
            assert reads.status == 200
        async with session.post("/api/v1/tokens", json={"name": "a", "role": "read"}) as writes:
            assert writes.status == 403


@pytest.mark.parametrize("header", ["Basic !!!", "Basic", "Bearer", "Digest x", "Bearer \udcff"])
async def test_malformed_credentials_are_refused(box: SmallBox, header: str) -> None:
    head = f"GET /api/v1/apps HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {header}\r\nConnection: close\r\n\r\n"
    answer = await raw(box, head.encode("utf-8", "surrogateescape"))
    assert answer.startswith((b"HTTP/1.1 401 ", b"HTTP/1.1 400 "))


async def raw(box: SmallBox, data: bytes) -> bytes:
    host, port = box.surface.addresses[0]
    reader, writer = await asyncio.open_connection(host, port, family=socket.AF_INET)
    writer.write(data)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer
