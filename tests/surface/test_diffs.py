"""What the API says of two releases, and to whom."""

from __future__ import annotations

import msgspec
import pytest

from minipaas.model.spec import ServiceSpec
from minipaas.surface.wire_history import ReleaseDiff
from tests.registry.made import accept, release, serve
from tests.surface.small import SECRET, SmallBox


async def diff(box: SmallBox, path: str, role: str | None = None) -> ReleaseDiff:
    async with await box.remote(role) as session, session.get(f"/api/v1/apps/shop/releases/{path}") as response:
        body = await response.read()
        assert response.status == 200, body
    assert SECRET.encode() not in body
    return msgspec.json.decode(body, type=ReleaseDiff)


async def fill(box: SmallBox) -> None:
    for number in (1, 2, 3):
        web = ServiceSpec(image="x", port=80 + number, env={"PASSWORD": f"{SECRET}{number}"}, command=("run", SECRET))
        await serve(box.registry, release(number, services={"web": web}), 100.0 * number)
    web = ServiceSpec(image="x", port=84, command=("other", "argument"))
    await accept(box.registry, release(4, services={"web": web}), 900.0)


@pytest.mark.parametrize(
    ("path", "base", "new"),
    [
        ("1.4/diff", "1.3", "1.4"),
        ("1.3/diff", "1.2", "1.3"),
        ("1.2/diff", "1.3", "1.2"),
        ("1.1/diff?from=1.4", "1.4", "1.1"),
    ],
)
async def test_against_what(box: SmallBox, path: str, base: str, new: str) -> None:
    await fill(box)
    found = await diff(box, path)
    assert (found.base.version, found.release.version) == (base, new)


async def test_what_is_run_is_for_those_who_may_read_logs(box: SmallBox) -> None:
    await fill(box)
    [command] = [one for one in (await diff(box, "1.4/diff")).settings if one.key.endswith(".command")]
    assert (command.hidden, command.after) == (True, None)
    [shown] = [one for one in (await diff(box, "1.2/diff?from=1.1", "read")).settings if "env" in one.key]
    assert (shown.hidden, shown.difference) == (True, "changed"), "values of the environment are for nobody"
    async with await box.remote("read") as session, session.get("/api/v1/apps/shop/releases/1.4/diff") as response:
        found = msgspec.json.decode(await response.read(), type=ReleaseDiff)
    [command] = [one for one in found.settings if one.key.endswith(".command")]
    assert command.after == '["other","argument"]'


async def test_blobs_that_are_not_here_are_told_and_no_error(box: SmallBox) -> None:
    await fill(box)
    found = await diff(box, "1.2/diff")
    assert "the files of shop 1.3 cannot be read" in found.unknown
    assert found.images[0].new_layers is None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("9.9/diff", 404, "release.missing"),
        ("1.1/diff?from=9.9", 404, "release.missing"),
        ("1.1/diff?base=1", 400, "api.request"),
        ("1.1/diff?from=%00", 400, "api.request"),
        ("%20/diff", 404, "api.path"),
    ],
)
async def test_what_cannot_be_compared(box: SmallBox, path: str, status: int, code: str) -> None:
    await fill(box)
    async with await box.remote() as session, session.get(f"/api/v1/apps/shop/releases/{path}") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (status, code)


async def test_a_release_alone(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    async with await box.remote() as session, session.get("/api/v1/apps/shop/releases/1.1/diff") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "release.alone")
