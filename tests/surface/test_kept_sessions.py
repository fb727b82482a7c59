"""Who is signed in stays so over a clean restart, and nobody else gets in by the file that says so."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from minipaas.registry.tokens import Token
from minipaas.surface import kept_sessions
from minipaas.surface.limits import Limits
from minipaas.surface.sessions import Offer, Sessions
from minipaas.surface.wire import Role
from tests.surface.small import SmallBox, csrf_of
from tests.surface.test_sessions import browser, sign_in, token


@contextlib.asynccontextmanager
async def restarted(box: SmallBox) -> AsyncIterator[Path]:
    """A new surface on the same port, as of a new process; until then, the file that the one before has left."""
    await box.surface.close()
    yield box.socket.parent / kept_sessions.NAME
    await box.surface.start(box.control, box.socket, box.surface.addresses)


async def act(visitor: aiohttp.ClientSession, csrf: str) -> int:
    async with visitor.post(
        "/api/v1/tokens", json={"name": "new", "role": "read"}, headers={"X-CSRF-Token": csrf}
    ) as r:
        return r.status


async def test_a_browser_stays_signed_in_and_its_open_page_works_on(box: SmallBox) -> None:
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        csrf = await csrf_of(visitor)
        cookies = [cookie.value for cookie in visitor.cookie_jar]
        async with restarted(box) as file:
            assert file.stat().st_mode & 0o777 == 0o600
            text = file.read_text()
            assert not any(secret in text for secret in (*cookies, csrf)), "the file signs nobody in"
        assert not file.exists()
        assert await act(visitor, csrf) == 201
        assert await csrf_of(visitor) == csrf


async def test_a_token_that_was_revoked_meanwhile_signs_nobody_in(box: SmallBox) -> None:
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        csrf = await csrf_of(visitor)
        async with restarted(box):
            await box.registry.revoke_token("ci", actor="test", origin="test", now=2.0)
        assert await act(visitor, csrf) in (401, 403)


async def test_who_has_signed_out_stays_out(box: SmallBox) -> None:
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        async with visitor.post("/sign-out", data={"csrf": await csrf_of(visitor)}) as response:
            assert response.status == 200
        async with restarted(box) as file:
            assert not file.exists()


@pytest.mark.parametrize("content", [b"", b"{", b'{"boot": "", "sessions": []}', b"x" * (2 << 20)])
def test_a_file_that_is_no_good_signs_everybody_out(tmp_path: Path, content: bytes) -> None:
    (tmp_path / kept_sessions.NAME).write_bytes(content)
    assert kept_sessions.take(tmp_path) == ()
    assert kept_sessions.take(tmp_path) == ()


def test_what_another_start_of_the_host_has_left_does_not_count(tmp_path: Path) -> None:
    sessions = Sessions(Limits())
    sessions.open(Offer(actor="x", role=Role.ADMIN, token=Token(name="x", role="admin", created=1.5)), "tcp 127.0.0.1")
    kept_sessions.put(tmp_path, sessions.all())
    file = tmp_path / kept_sessions.NAME
    data = file.read_bytes()
    assert kept_sessions.take(tmp_path) == sessions.all()
    boot = kept_sessions.boot_id().encode()
    assert boot in data
    file.write_bytes(data.replace(boot, b"another"))
    assert kept_sessions.take(tmp_path) == ()
