"""The surface on a whole box (every room real, Podman made up): what an author and an operator see of a deploy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from minipaas.surface.wire import Accepted, Apps, EndEvent, Logs, StepEvent
from minipaas.surface.wire_box import Audit, BoxView
from minipaas.surface.wire_trust import TrustView
from tests.boxes import PATIENCE, RunningBox, running_box, toml
from tests.bundle.builders import default_trust, make_bundle
from tests.fakepodman.server import FakePodman
from tests.surface.test_changes import next_event


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[RunningBox]:
    async with FakePodman(tmp_path) as fake, running_box(fake, tmp_path) as box:
        yield box


def by_socket(whole: RunningBox) -> aiohttp.ClientSession:
    connector = aiohttp.UnixConnector(str(whole.control.data / "minipaas.sock"))
    return aiohttp.ClientSession("http://box", connector=connector)


def bundle(tmp_path: Path, version: str = "1.0", sequence: int = 1, fake: str = "") -> bytes:
    text = toml(version=version, fake=fake)
    path = make_bundle(
        tmp_path, name=f"{sequence}.bundle", version=version, sequence=sequence, app_toml=text, services=("web",)
    )
    return path.read_bytes()


async def trust(session: aiohttp.ClientSession) -> None:
    async with session.post("/api/v1/trust", data=default_trust()[1]) as response:
        assert response.status == 201, await response.text()


async def deploy(session: aiohttp.ClientSession, data: bytes) -> tuple[list[str], EndEvent]:
    """Titles of the steps that went well, and the end."""
    async with session.put("/api/v1/bundles", data=data) as response:
        assert response.status == 202, await response.text()
        accepted = msgspec.json.decode(await response.read(), type=Accepted)
    done: list[str] = []
    async with session.get(accepted.events) as response:
        while (event := await next_event(response)).name == "step":
            told = msgspec.json.decode(event.data, type=StepEvent)
            if told.state == "ended" and told.step.ok:
                done.append(told.step.title)
        assert event.name == "end"
    return done, msgspec.json.decode(event.data, type=EndEvent)


async def read(session: aiohttp.ClientSession, path: str, kind: type):  # type: ignore[no-untyped-def]
    async with session.get(f"/api/v1{path}") as response:
        assert response.status == 200, await response.text()
        return msgspec.json.decode(await response.read(), type=kind)


async def test_from_the_bundle_to_the_page(whole: RunningBox, tmp_path: Path) -> None:
    async with by_socket(whole) as session:
        await trust(session)
        done, end = await deploy(session, bundle(tmp_path))
        assert (end.outcome, end.reason) == ("done", "")
        assert "start web #1" in done
        assert "switch to 1.0" in done
        async with aiohttp.ClientSession() as visitor:
            port = whole.control.ingress.addresses[0][1]
            assert end.urls == (f"http://shop.local:{port}/",)
            async with visitor.get(f"http://127.0.0.1:{port}/", headers={"Host": "shop.local"}) as page:
                assert page.status == 200
        apps = await read(session, "/apps", Apps)
        assert (apps.sentence, apps.apps[0].serving.version) == ("Everything runs.", "1.0")
        assert [i.word for i in apps.apps[0].services[0].instances] == ["healthy"]
        assert [r.backends for r in apps.apps[0].routes] == [1]
        async with asyncio.timeout(PATIENCE):  # what it says is read by the log's own thread
            while not (logs := await read(session, "/apps/shop/logs", Logs)).lines:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert {line.instance for line in logs.lines} == {"shop-web-1-1"}
        facts = await read(session, "/box", BoxView)
        assert (facts.counts.healthy, facts.root_version, facts.trouble) == (1, 1, "")
        roots = (await read(session, "/trust", TrustView)).roots
        assert [(root.version, root.epoch, root.expired) for root in roots] == [(1, 1, False)]
        async with session.get("/") as page:
            text = await page.text()
        assert "Everything runs." in text
        assert f"http://shop.local:{port}/" in text
        audit = await read(session, "/audit", Audit)
        assert {row.action for row in audit.rows} >= {"deploy"}
        assert all(row.origin == "socket" for row in audit.rows)


async def test_a_release_that_fails_says_why_and_shows_its_log_only_to_who_may(
    whole: RunningBox, tmp_path: Path
) -> None:
    async with by_socket(whole) as session:
        await trust(session)
        await deploy(session, bundle(tmp_path))
        _, end = await deploy(session, bundle(tmp_path, "2.0", 2, fake="exit_code=3"))
        assert end.outcome == "failed"
        why, *log = end.reason.splitlines()
        assert "exited with code 3" in why
        assert log, "the end of its log explains it"
        apps = await read(session, "/apps", Apps)
        assert apps.apps[0].sentence == "1.0 serves. The deploy of 2.0 failed."
        assert apps.apps[0].change.reason == end.reason
    facts = await _facts(whole)
    async with aiohttp.ClientSession(f"http://{facts.api[0]}") as stranger:
        apps = await read(stranger, "/apps", Apps)
        assert apps.apps[0].change.reason == why


async def _facts(whole: RunningBox) -> BoxView:
    async with by_socket(whole) as session:
        facts: BoxView = await read(session, "/box", BoxView)
        return facts


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda data: data[:-100], 422),
        (lambda data: b"nonsense" * 100, 422),
        (lambda data: data[: len(data) // 2], 422),
    ],
    ids=["cut short", "nonsense", "half"],
)
async def test_a_bundle_that_is_not_right_changes_nothing(
    whole: RunningBox,
    tmp_path: Path,
    spoil,
    status: int,  # type: ignore[no-untyped-def]
) -> None:
    async with by_socket(whole) as session:
        await trust(session)
        async with session.put("/api/v1/bundles", data=spoil(bundle(tmp_path))) as response:
            body = await response.json()
            assert response.status == status, body
            assert body["error"]["message"].startswith("cannot ")
        assert (await read(session, "/apps", Apps)).apps == ()
        assert "refused" in (await read(session, "/audit", Audit)).rows[0].result


async def test_a_box_without_a_root_refuses_before_the_bulk(whole: RunningBox, tmp_path: Path) -> None:
    data = bundle(tmp_path)
    async with by_socket(whole) as session, session.put("/api/v1/bundles", data=data, expect100=True) as response:
        assert response.status == 422
        assert "minipaas trust add" in (await response.json())["error"]["hint"]
