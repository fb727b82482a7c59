"""Commands in instances over the API: who may, what goes through, and how it ends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from minipaas.model.config import AccessConfig, ApiConfig
from minipaas.surface.wire_access import WINDOW
from tests.boxes import RunningBox, config, fake, running_box, started, toml  # noqa: F401 - fixtures
from tests.bundle.builders import make_image, tar_layer
from tests.fakepodman import FakePodman

EXEC = "/api/v1/apps/shop/exec"
SH = {"argv": ["sh", "-c", "cat; echo oops >&2; exit 7"], "reason": "a test"}


class Client:
    """A WebSocket as a program sees it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.said: list[dict[str, Any]] = []
        self.bytes = {1: b"", 2: b""}

    async def to_the_end(self) -> dict[str, Any]:
        """Hear everything; the last message."""
        while not self.said or self.said[-1]["type"] not in ("ended", "error"):
            await self.hear()
        return self.said[-1]

    async def hear(self) -> None:
        message = await self.socket.receive(timeout=20)
        if message.type is aiohttp.WSMsgType.BINARY:
            self.bytes[message.data[0]] += message.data[1:]
        else:
            assert message.type is aiohttp.WSMsgType.TEXT, message
            self.said.append(json.loads(message.data))

    async def until(self, text: bytes) -> None:
        while text not in self.bytes[1]:
            await self.hear()


@asynccontextmanager
async def entered(
    box: RunningBox, wanted: dict[str, Any], token: str = "", url: str = "", **headers: str
) -> AsyncIterator[Client]:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect((url or box.url) + EXEC, headers=headers) as socket,
    ):
        await socket.send_json(wanted)
        yield Client(socket)


@pytest.fixture
async def shop(started: RunningBox) -> RunningBox:  # noqa: F811
    """A box on which shop runs."""
    await started.deploy(toml())
    return started


async def test_streams_and_exit_code(shop: RunningBox) -> None:
    async with entered(shop, SH, await shop.token("admin")) as client:
        await client.socket.send_bytes(b"\0given")
        await client.socket.send_json({"type": "eof"})
        ended = await client.to_the_end()
    assert client.bytes == {1: b"given", 2: b"oops\n"}
    assert (ended["ending"], ended["code"]) == ("done", 7)
    assert client.said[0]["lease"]["reason"] == "a test"
    assert {"type": "taken", "bytes": 5} in client.said


async def test_nothing_of_the_arguments_is_audited(shop: RunningBox) -> None:
    secret = "hunter2"
    async with entered(shop, {"argv": ["echo", secret], "env": [f"P={secret}"]}, await shop.token("admin")) as client:
        assert (await client.to_the_end())["code"] == 0
    rows = await shop.control.registry.audit_log(10)
    assert [row.action for row in rows[:2]] == ["access.exec.end", "access.exec"]
    assert secret not in str(rows)
    assert secret not in str(await shop.control.access.kept.newest(10))


async def status_of(url: str, token: str = "", **headers: str) -> int:
    """What the door says to a WebSocket."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession() as session:
        try:
            async with session.ws_connect(url + EXEC, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status


@pytest.mark.parametrize(("role", "status"), [("read", 403), ("deploy", 403), ("admin", 101), ("", 401)])
async def test_who_may(shop: RunningBox, role: str, status: int) -> None:
    assert await status_of(shop.url, await shop.token(role) if role else "") == status


async def test_the_owner_may_let_others_in(fake: FakePodman, tmp_path: Path) -> None:  # noqa: F811
    settings = structs.replace(config(fake), access=AccessConfig(role="deploy"))
    async with running_box(fake, tmp_path, settings) as box:
        assert await status_of(box.url, await box.token("deploy")) == 101
        assert await status_of(box.url, await box.token("read")) == 403


async def test_no_page_of_another_site_comes_in(fake: FakePodman, tmp_path: Path) -> None:  # noqa: F811
    # as open as it can be made: anyone on this machine is an administrator
    api = ApiConfig(listen=("127.0.0.1:0",), local="admin")
    async with running_box(fake, tmp_path, structs.replace(config(fake), api=api)) as box:
        assert await status_of(box.url) == 101
        assert await status_of(box.url, Origin=box.url) == 101
        assert await status_of(box.url, Origin="http://evil.example") == 403
        assert await status_of(box.url, Origin="null") == 403


async def test_it_is_no_ordinary_request(shop: RunningBox) -> None:
    headers = {"Authorization": f"Bearer {await shop.token('admin')}"}
    async with aiohttp.ClientSession() as session, session.get(shop.url + EXEC, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "api.websocket")


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"argv": ["true"], "service": "db"}, "access.no_instance"),
        ({"argv": ["true"], "nonsense": 1}, "api.request"),
        ({"argv": []}, "access.command"),
        ({"argv": ["true"], "env": ["=x"]}, "access.command"),
        ({"argv": ["true"], "seconds": 1e9}, "access.time"),
    ],
    ids=["no such service", "unknown key", "nothing", "no variable", "too long"],
)
async def test_what_cannot_be_begun_is_told(shop: RunningBox, wanted: dict[str, Any], code: str) -> None:
    async with entered(shop, wanted, await shop.token("admin")) as client:
        assert (await client.to_the_end())["error"]["code"] == code


async def test_no_such_command(shop: RunningBox) -> None:
    (name,) = shop.running()
    shop.fake.change(name, replace(shop.fake.container(name).behaviour, lacks=("bash",)))
    async with entered(shop, {"argv": ["bash"]}, await shop.token("admin")) as client:
        ended = await client.to_the_end()
    assert (ended["code"], ended["error"]["code"]) == (127, "engine.no_command")


async def test_the_end_of_the_time_is_the_end(shop: RunningBox) -> None:
    wanted = {"argv": ["sleep", "100"], "seconds": 0.3}
    async with entered(shop, wanted, await shop.token("admin")) as client:
        ended = await client.to_the_end()
    assert (ended["ending"], ended["code"], ended["text"]) == ("expired", None, "its time was up")


async def test_somebody_else_ends_it(shop: RunningBox) -> None:
    token = await shop.token("admin")
    async with entered(shop, {"argv": ["sh", "-c", "echo in; sleep 100"]}, token) as client:
        await client.until(b"in")
        lease = client.said[0]["lease"]["id"]
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(shop.url, headers=headers) as session:
            async with session.get("/api/v1/leases") as answer:
                assert [one["ended"] for one in (await answer.json())["leases"]] == [None]
            async with session.delete(f"/api/v1/leases/{lease}") as answer:
                assert answer.status == 204
        ended = await client.to_the_end()
    assert ended["ending"] == "revoked"
    assert ended["text"].startswith("ended by token admin")


async def test_an_instance_that_dies_takes_its_visitors_with_it(shop: RunningBox) -> None:
    (name,) = shop.running()
    async with entered(shop, {"argv": ["sh", "-c", "echo in; sleep 100"]}, await shop.token("admin")) as client:
        await client.until(b"in")
        shop.fake.crash(name)
        ended = await client.to_the_end()
    assert (ended["ending"], ended["text"]) == ("gone", "the instance ended")


async def test_a_client_that_is_gone_leaves_nothing_running(shop: RunningBox) -> None:
    async with entered(shop, {"argv": ["sh", "-c", "echo $$; sleep 100"]}, await shop.token("admin")) as client:
        await client.until(b"\n")
        pid = int(client.bytes[1])
        client.socket._response.close()  # no goodbye: the laptop's lid was shut
    await shop.until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())
    await shop.until(lambda: not shop.control.access.leases.open_now)


async def test_a_stop_of_the_box_is_said(fake: FakePodman, tmp_path: Path) -> None:  # noqa: F811
    async with running_box(fake, tmp_path) as box:
        await box.trust()
        await box.deploy(toml())
        async with entered(box, {"argv": ["sh", "-c", "echo in; sleep 100"]}, await box.token("admin")) as client:
            await client.until(b"in")
            closing = asyncio.create_task(box.surface.close())
            ended = await client.to_the_end()
            await closing
    assert ended["ending"] == "stopped"


async def test_a_command_that_takes_nothing_blocks_nobody(shop: RunningBox) -> None:
    async with entered(shop, {"argv": ["sleep", "100"]}, await shop.token("admin")) as client:
        await client.hear()
        for _ in range(4):
            await client.socket.send_bytes(b"\0" + b"x" * 60_000)
        await client.socket.ping()
        lease = client.said[0]["lease"]["id"]
        shop.control.access.leases.revoke(lease, "a test")
        assert (await client.to_the_end())["ending"] == "revoked"
    async with entered(shop, {"argv": ["sleep", "100"]}, await shop.token("admin")) as client:
        for _ in range(20):
            await client.socket.send_bytes(b"\0" + b"x" * 60_000)
        assert (await client.to_the_end())["error"]["code"] == "api.too_large"


async def test_a_goodbye_ends_it_as_done(shop: RunningBox) -> None:
    async with entered(shop, {"argv": ["sh", "-c", "echo in; sleep 100"]}, await shop.token("admin")) as client:
        await client.until(b"in")
        await client.socket.send_json({"type": "leave"})
        assert (await client.to_the_end())["ending"] == "done"


async def test_whose_token_is_revoked_is_put_out(shop: RunningBox) -> None:
    async with entered(
        shop, {"argv": ["sh", "-c", "echo in; sleep 100"]}, await shop.token("admin", "laptop")
    ) as client:
        await client.until(b"in")
        await shop.control.registry.revoke_token("laptop", actor="test", origin="test", now=0.0)
        ended = await client.to_the_end()
    assert (ended["ending"], ended["text"]) == ("revoked", "whoever opened it may not be inside any more")


async def test_whoever_asks_for_it_gets_no_more_than_they_take(shop: RunningBox) -> None:
    wanted = {"argv": ["sh", "-c", "head -c 1000000 /dev/zero"], "paced": True}
    async with entered(shop, wanted, await shop.token("admin")) as client:
        while len(client.bytes[1]) < WINDOW:
            await client.hear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await client.hear()
        early = len(client.bytes[1])
        assert early < WINDOW + 128 * 1024
        await client.socket.send_json({"type": "taken", "bytes": early})
        while len(client.bytes[1]) < 1_000_000:
            before = len(client.bytes[1])
            await client.hear()
            await client.socket.send_json({"type": "taken", "bytes": len(client.bytes[1]) - before})
        assert (await client.to_the_end())["code"] == 0


async def test_a_session_is_recorded_and_marks_the_instance(shop: RunningBox) -> None:
    token = await shop.token("admin")
    wanted = {"argv": ["echo", "hello"], "terminal": {"columns": 90, "rows": 20}}
    async with entered(shop, wanted, token) as client:
        await client.to_the_end()
    lease = client.said[0]["lease"]["id"]
    await shop.until(lambda: not shop.control.access.leases.open_now)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(shop.url, headers=headers) as session,
        session.get(f"/api/v1/leases/{lease}/recording") as answer,
    ):
        header, *events = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert (header["width"], header["height"]) == (90, 20)
    assert "".join(event[2] for event in events) == "hello\r\n"
    (one,) = [one for one in shop.instances() if one.running]
    touch = shop.control.access.touched.of(one.id)
    assert touch is not None
    assert touch.by.startswith("token admin")


async def test_a_shell_where_there_is_none_is_that_of_the_toolbox(shop: RunningBox) -> None:
    (name,) = shop.running()
    shop.fake.change(name, replace(shop.fake.container(name).behaviour, lacks=("sh",)))
    wanted = {"terminal": {"columns": 80, "rows": 24}}
    async with entered(shop, wanted, await shop.token("admin")) as client:
        while not any(one["type"] == "notice" for one in client.said):
            await client.hear()
        await client.socket.send_bytes(b"\0exit 3\n")
        ended = await client.to_the_end()
    assert (ended["ending"], ended["code"]) == ("done", 3)
    assert [one for one in shop.fake.containers if "debug" in one] == []


async def test_who_is_inside_is_on_the_page_with_a_button_that_ends_it(shop: RunningBox) -> None:
    token = await shop.token("admin")
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    async with (
        entered(shop, {"argv": ["sh", "-c", "echo in; sleep 100"], "reason": "it <hangs>"}, token) as client,
        aiohttp.ClientSession(shop.url, headers=headers) as session,
    ):
        await client.until(b"in")
        lease = client.said[0]["lease"]["id"]
        async with session.get("/apps/shop") as answer:
            page = await answer.text()
        assert "it &lt;hangs&gt;" in page
        assert re.search("entered by token admin[^<]*; what was changed is not known yet", page)
        csrf = re.search(r'name="csrf" value="([^"]*)"', page)
        data = {"csrf": csrf[1] if csrf else ""}
        async with session.post(f"/apps/shop/access/{lease}/end", data=data, allow_redirects=False) as answer:
            assert answer.status == 303
        assert (await client.to_the_end())["ending"] == "revoked"
        async with session.get("/apps/shop") as answer:
            assert f'id="lease-{lease}"' not in await answer.text()
    async with (
        aiohttp.ClientSession(shop.url) as stranger,
        stranger.post(f"/apps/shop/access/{lease}/end", data={}) as answer,
    ):
        assert answer.status == 401


async def test_what_was_changed_by_hand_can_be_listed(shop: RunningBox) -> None:
    token = await shop.token("admin")
    async with entered(shop, {"argv": ["sh", "-c", "echo x > changed"]}, token) as client:
        await client.to_the_end()
    headers = {"Authorization": f"Bearer {await shop.token('read')}"}
    async with aiohttp.ClientSession(shop.url, headers=headers) as session:
        async with session.get("/api/v1/apps/shop/drift") as answer:
            told = await answer.json()
        assert told["touched"].startswith("token admin")
        assert {"path": "/changed", "what": "added", "podmans": False} in told["files"]
        async with session.get("/api/v1/apps/shop/drift?service=db") as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("true", "no file differs from the image"),
        ("echo x > changed", "1 of its files differ from the image"),
    ],
)
async def test_what_was_changed_is_known_when_they_have_left(shop: RunningBox, command: str, state: str) -> None:
    (one,) = [one for one in shop.instances() if one.running]
    token = await shop.token("admin")
    async with entered(shop, {"argv": ["sh", "-c", command]}, token) as client:
        await client.to_the_end()
    await shop.until(lambda: (touch := shop.control.access.touched.of(one.id)) and touch.changed is not None)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(shop.url, headers=headers) as session:
        async with session.get("/api/v1/apps/shop") as answer:
            (instance,) = (await answer.json())["services"][0]["instances"]
        assert instance["entered"].endswith(state)
        async with session.get("/api/v1/apps/shop/drift") as answer:
            assert (await answer.json())["entered"] == instance["entered"]
        async with session.get("/apps/shop?lang=zh", headers={"Accept": "text/html"}) as answer:
            assert "个文件与镜像不同" in (text := await answer.text()) or "没有文件与镜像不同" in text


WORKER = '[services.worker]\nimage = "x"\nstop = "1s"\n'


async def test_the_next_deploy_replaces_what_was_touched_and_nothing_else(started: RunningBox) -> None:  # noqa: F811
    images = {name: make_image(tar_layer({"hello": name.encode()})) for name in ("web", "worker")}

    def workers() -> list[str]:
        return [one.id for one in started.instances() if one.running and one.service == "worker"]

    async def deploy(version: str) -> list[str]:
        """The workers that run afterwards; web and worker are in each release what they were before."""
        text = toml(version=version, extra=WORKER)
        bundle = started.bundle(text, services=tuple(images), version=version, images=images)
        await started.ended(await started.send_file(bundle))
        await started.until(lambda: len(workers()) == 1)
        return workers()

    before = await deploy("1.0")
    assert await deploy("1.1") == before, "a deploy leaves alone what it does not change"
    async with entered(started, {"argv": ["true"], "service": "worker"}, await started.token("admin")) as client:
        await client.to_the_end()
    after = await deploy("1.2")
    assert after != before
    assert started.control.access.touched_services("shop") == frozenset()
    assert await deploy("1.3") == after
