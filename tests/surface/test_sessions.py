"""Signing in: with a token or a link, for how long, from where, and what a browser must bring to change something."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from pathlib import Path

import aiohttp
import pytest

from minipaas.model.config import ApiConfig, Config
from minipaas.model.errors import Forbidden
from minipaas.surface.limits import Limits
from minipaas.surface.sessions import Offer, Sessions
from minipaas.surface.wire import Role
from tests.registry.made import release, serve
from tests.surface.small import SmallBox, csrf_of, small_box

BROWSER = {"Accept": "text/html"}
NOBODY = 65534


async def token(box: SmallBox, role: str, name: str = "ci") -> str:
    return await box.registry.add_token(name, role, 1.0, actor="test", origin="test")


def browser(box: SmallBox) -> aiohttp.ClientSession:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of addresses without a name too
    return aiohttp.ClientSession(box.url, cookie_jar=jar, headers=BROWSER)


async def sign_in(visitor: aiohttp.ClientSession, secret: str, **fields: str) -> aiohttp.ClientResponse:
    form = {"token": secret, "csrf": await csrf_of(visitor), **fields}
    async with visitor.post("/sign-in", data=form, allow_redirects=False) as response:
        await response.read()
    return response


async def test_a_token_signs_a_browser_in_and_its_name_is_in_the_audit(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    async with browser(box) as visitor:
        async with visitor.get("/api/v1/audit") as before:
            assert before.status == 401
        answer = await sign_in(visitor, await token(box, "admin"), next="/box")
        assert (answer.status, answer.headers["Location"]) == (303, "/box")
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Secure" not in cookie
        async with visitor.get("/api/v1/audit") as after:
            assert after.status == 200
        async with visitor.get("/") as page:
            text = await page.text()
        assert "token ci via page" in text
        headers = {"X-CSRF-Token": await csrf_of(visitor)}
        async with visitor.delete("/api/v1/apps/shop", headers=headers) as removed:
            assert removed.status == 202
    rows = await box.registry.audit_log(3)
    assert ("token ci via page", "page.sign_in") in {(row.actor, row.action) for row in rows}
    assert rows[0].actor == "token ci via page"


@pytest.mark.parametrize("given", [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x" * 32}, {"X-CSRF-Token": "\xff"}])
async def test_a_session_changes_nothing_without_the_secret_of_its_page(box: SmallBox, given: dict[str, str]) -> None:
    await serve(box.registry, release(1))
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        async with visitor.delete("/api/v1/apps/shop", headers=given) as refused:
            assert refused.status in (400, 403)  # 400: what is no header at all
    assert len((await box.registry.desired()).apps) == 1
    assert (await box.registry.desired()).apps[0].change is None


async def test_the_secret_of_one_session_is_worth_nothing_for_another(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    async with browser(box) as one, browser(box) as two:
        await sign_in(one, await token(box, "admin"))
        await sign_in(two, await token(box, "admin", "other"))
        headers = {"X-CSRF-Token": await csrf_of(two)}
        async with one.delete("/api/v1/apps/shop", headers=headers) as refused:
            assert (await refused.json())["error"]["code"] == "page.csrf"


async def test_a_role_stays_what_it_is(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "deploy"))
        headers = {"X-CSRF-Token": await csrf_of(visitor)}
        async with visitor.delete("/api/v1/apps/shop", headers=headers) as refused:
            assert (refused.status, (await refused.json())["error"]["code"]) == (403, "api.role")


@pytest.mark.parametrize("secret", ["nonsense", "x" * 5000, "\x00", "mpt_" + "A" * 43])
async def test_a_wrong_token_is_told_in_place(box: SmallBox, secret: str) -> None:
    async with browser(box) as visitor:
        form = {"token": secret, "csrf": await csrf_of(visitor), "next": "/box"}
        async with visitor.post("/sign-in", data=form) as response:
            text = await response.text()
        assert response.status == 401
        assert "cannot sign in with this token" in text
        assert 'name="next" value="/box"' in text
        assert "Set-Cookie" not in response.headers
    row = (await box.registry.audit_log(1))[0]
    assert (row.action, row.subject) == ("refused", "POST /sign-in")
    assert secret not in row.result


async def test_a_wrong_token_costs_time_and_a_right_one_none(tmp_path: Path) -> None:
    limits = Limits(wrong_free=2, wrong_first=600, wrong_longest=600, wrong_waiting=1)
    async with small_box(tmp_path, limits=limits) as box, browser(box) as visitor:
        assert [(await sign_in(visitor, "guess")).status for _ in range(2)] == [401, 401]
        async with browser(box) as one, browser(box) as another, asyncio.TaskGroup() as group:
            late = [group.create_task(sign_in(who, "guess"), name="a guess too many") for who in (one, another)]
            sent_away, waiting = await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
            assert [task.result().status for task in sent_away] == [429]
            assert len(waiting) == 1
            assert (await sign_in(visitor, await token(box, "read"))).status == 303, "nobody is locked out"
            waiting.pop().cancel()


@pytest.mark.parametrize("form", [{}, {"csrf": "x"}, {"token": "x"}, {"token": "x", "csrf": "nonsense"}])
async def test_a_form_from_elsewhere_signs_nobody_in(box: SmallBox, form: dict[str, str]) -> None:
    async with browser(box) as visitor, visitor.post("/sign-in", data=form) as response:
        assert response.status == 403
        assert "Set-Cookie" not in response.headers
        assert "load the page again" in await response.text()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"token=a&token=b", "application/x-www-form-urlencoded", 400),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
        (b"token", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
        (b"a=" + b"x" * 100_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"f%d=1" % n for n in range(200)), "application/x-www-form-urlencoded", 400),
    ],
    ids=["twice", "bytes", "no value", "json", "large", "many"],
)
async def test_a_malformed_form_is_refused(box: SmallBox, body: bytes, kind: str, status: int) -> None:
    headers = {"Content-Type": kind}
    async with browser(box) as visitor, visitor.post("/sign-in", data=body, headers=headers) as response:
        assert response.status == status


async def test_an_unknown_field_is_refused(box: SmallBox) -> None:
    async with browser(box) as visitor:
        form = {"token": "x", "csrf": await csrf_of(visitor), "role": "admin"}
        async with visitor.post("/sign-in", data=form) as response:
            assert response.status == 400


@pytest.mark.parametrize(
    "next_", ["//evil.example", "https://evil.example", "/\\evil.example", "/%0d%0aX: y", "/a\r\nX: y"]
)
async def test_signing_in_leads_nowhere_else(box: SmallBox, next_: str) -> None:
    async with browser(box) as visitor:
        answer = await sign_in(visitor, await token(box, "read"), next=next_)
        assert answer.headers["Location"] == "/"


async def test_signing_out_ends_the_session_also_for_a_copy_of_its_cookie(box: SmallBox) -> None:
    async with browser(box) as visitor:
        answer = await sign_in(visitor, await token(box, "read"))
        copy = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
        form = {"csrf": await csrf_of(visitor)}
        async with visitor.post("/sign-out", data=form, allow_redirects=False) as left:
            assert left.status == 303
    async with aiohttp.ClientSession(box.url, headers=copy) as thief, thief.get("/api/v1/audit") as refused:
        assert refused.status == 401


async def test_a_revoked_token_ends_its_sessions_also_when_its_name_comes_back(box: SmallBox) -> None:
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "read"))
        await box.registry.revoke_token("ci", actor="test", origin="test", now=2.0)
        await box.registry.add_token("ci", "admin", 3.0, actor="test", origin="test")
        async with visitor.get("/api/v1/audit") as refused:
            assert refused.status == 401
        async with visitor.get("/") as page:
            assert page.status == 200, "looking goes on"


async def test_a_link_signs_one_browser_in_once(box: SmallBox) -> None:
    async with box.local() as root, root.post("/api/v1/page-links") as made:
        assert made.status == 201
        link = await made.json()
    assert link["pages"] == [box.url]
    async with browser(box) as visitor, browser(box) as late:
        async with visitor.head(link["path"]) as looked_at:
            assert looked_at.status == 200
        async with visitor.get(link["path"]) as inside:
            assert inside.url.path_qs == "/", "the code does not stay in the address"
            assert re.search(r"root via page|via page", await inside.text())
        async with visitor.get("/api/v1/tokens") as admin:
            assert admin.status == 200
        async with late.get(link["path"]) as refused:
            assert refused.status == 403
            assert "minipaas page" in await refused.text()
    assert {"page.link", "page.sign_in"} <= {row.action for row in await box.registry.audit_log(5)}


async def test_a_link_has_the_role_of_who_made_it_and_ends_with_its_token(box: SmallBox) -> None:
    headers = {"Authorization": f"Bearer {await token(box, 'read')}"}
    async with aiohttp.ClientSession(box.url, headers=headers) as reader, reader.post("/api/v1/page-links") as made:
        path = (await made.json())["path"]
    async with browser(box) as visitor:
        async with visitor.get(path) as inside:
            assert "token ci via page" in await inside.text()
        async with visitor.get("/api/v1/tokens") as refused:
            assert refused.status == 403
        await box.registry.revoke_token("ci", actor="test", origin="test", now=2.0)
        async with visitor.get("/api/v1/audit") as refused:
            assert refused.status == 401


async def test_a_link_made_with_a_token_over_the_socket_ends_with_the_token_too(box: SmallBox) -> None:
    secret = await token(box, "read")
    reader, writer = await asyncio.open_connection(sock=connected_as(NOBODY, box.socket))
    writer.write(
        b"POST /api/v1/page-links HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer %b\r\nContent-Length: 0\r\n"
        b"Connection: close\r\n\r\n" % secret.encode()
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 201"), answer
    async with browser(box) as visitor:
        async with visitor.get(json.loads(answer.partition(b"\r\n\r\n")[2])["path"]) as inside:
            assert "token ci via page" in await inside.text()
        await box.registry.revoke_token("ci", actor="test", origin="test", now=2.0)
        async with visitor.get("/api/v1/audit") as refused:
            assert refused.status == 401


def connected_as(user: int, path: Path) -> socket.socket:
    """A connection to the socket by another user (this one has to be root), who may reach it."""
    path.chmod(0o666)
    path.parent.chmod(0o711)
    before, one = Path.cwd(), socket.socket(socket.AF_UNIX)
    os.chdir(path.parent)  # so that only this directory has to be open to that user
    os.seteuid(user)
    try:
        one.connect(path.name)
    finally:
        os.seteuid(0)
        os.chdir(before)
    one.setblocking(False)
    return one


@pytest.mark.parametrize("local", ["read", "deploy", "admin"])
async def test_what_anyone_on_this_machine_may_do_is_the_owners_choice(tmp_path: Path, local: str) -> None:
    config = Config(api=ApiConfig(local=local))  # type: ignore[arg-type]
    async with small_box(tmp_path, config) as box, aiohttp.ClientSession(box.url) as anyone:
        await serve(box.registry, release(1))
        async with anyone.post("/api/v1/bundles/missing", json={"digests": []}) as deploys:
            assert deploys.status == (401 if local == "read" else 200)
        async with anyone.get("/api/v1/tokens") as rules:
            assert rules.status == (200 if local == "admin" else 401 if local == "read" else 403)
        async with anyone.get("/api/v1/audit") as logs:
            assert logs.status == (401 if local == "read" else 200)
        evil = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-site"}
        async with anyone.delete("/api/v1/apps/shop", headers=evil) as app_of_this_host:
            assert app_of_this_host.status == 403
        async with anyone.get("/") as page:
            assert ("anyone here may" in await page.text()) == (local != "read")


# -- by a clock of our own -------------------------------------------------------------------------------------------

OFFER = Offer(actor="root via page", role=Role.ADMIN)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_session_ends_without_a_click_and_in_any_case(box: SmallBox) -> None:
    clock = Clock()
    sessions = Sessions(Limits(session_idle=100, session_life=250), clock)
    identity, _ = sessions.open(OFFER, "tcp 127.0.0.1")

    async def there(click: bool) -> bool:
        return await sessions.find(identity, "tcp 127.0.0.1", box.registry, click=click) is not None

    clock.now += 90
    assert await there(click=True)
    clock.now += 90
    assert await there(click=False), "a page that refreshes itself sees on"
    clock.now += 20
    assert not await there(click=True), "and does not count as somebody who is there"
    identity, _ = sessions.open(OFFER, "tcp 127.0.0.1")
    for _ in range(5):
        clock.now += 50
        assert await there(click=True)
    clock.now += 1
    assert not await there(click=True)


async def test_a_cookie_counts_only_from_where_it_was_given_to(box: SmallBox) -> None:
    sessions = Sessions(Limits())
    identity, _ = sessions.open(OFFER, "tcp 192.0.2.7")
    assert await sessions.find(identity, "tcp 192.0.2.8", box.registry, click=True) is None
    assert await sessions.find(identity, "tcp 192.0.2.7", box.registry, click=True) is not None


async def test_of_too_many_sessions_the_one_unused_longest_ends(box: SmallBox) -> None:
    sessions = Sessions(Limits(sessions=2))
    first, _ = sessions.open(OFFER, "a")
    second, _ = sessions.open(OFFER, "a")
    assert await sessions.find(first, "a", box.registry, click=True)
    third, _ = sessions.open(OFFER, "a")
    left = [await sessions.find(one, "a", box.registry, click=False) is not None for one in (first, second, third)]
    assert left == [True, False, True]


def test_links_grow_old_and_few() -> None:
    clock = Clock()
    sessions = Sessions(Limits(links=2, link_life=60), clock)
    codes = [sessions.link(OFFER) for _ in range(3)]
    with pytest.raises(Forbidden):
        sessions.redeem(codes[0])
    assert sessions.redeem(codes[1]) == OFFER
    clock.now += 61
    with pytest.raises(Forbidden):
        sessions.redeem(codes[2])
