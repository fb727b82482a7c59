"""`serve` starts itself anew: same process id, no request lost, new configuration; and what keeps it from doing so."""

from __future__ import annotations

import asyncio
import signal
import ssl
from pathlib import Path

import aiohttp
import pytest

from tests.takeover.steady import HOST, IN_TIME, Steady, served


@pytest.mark.parametrize("how", ["api", "signal"])
async def test_nobody_notices(tmp_path: Path, how: str) -> None:
    async with served(tmp_path) as box:
        assert box.process is not None
        await box.deploy()
        before = dict(box.fake.calls)
        async with Steady(box.ingress) as load:
            if how == "api":
                status, begun = await box.api("POST", "/api/v1/self/reload")
                assert status == 202, begun
            else:
                box.process.send_signal(signal.SIGUSR2)
            await box.last("done")
            await box.free()
            last = await box.last("done")
            await load.goes_on()
        assert load.failures == []
        assert box.process.returncode is None, "the process that was started goes on"
        assert [step["ok"] for step in last["steps"]] == [True, True]
        assert (await box.audit())[0] == "self.reload: done"
        for call in ("POST containers/create", "POST containers/{name}/start", "POST containers/{name}/stop"):
            assert box.fake.calls.get(call, 0) == before.get(call, 0), "apps are not touched"
        assert await box.stop() == 0
        assert not (box.data / "minipaas.sock").exists()


async def test_told_to_stop_at_any_moment_of_it_it_stops(tmp_path: Path) -> None:
    async def stopped(number: int) -> None:
        directory = tmp_path / str(number)
        directory.mkdir()
        async with served(directory) as box:
            assert (await box.api("POST", "/api/v1/self/reload"))[0] == 202
            await asyncio.sleep(0.2 * number)
            assert await box.stop() in (0, -signal.SIGTERM)
            await box.until(box.unlocked)  # whoever served for it has gone too

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(stopped(number))


async def test_a_websocket_outlives_it(tmp_path: Path) -> None:
    """What the process before still carries goes on, to the same instance, until it ends or its time is over."""
    async with served(tmp_path, more='[upgrade]\ndrain = "60s"\n') as box:
        await box.deploy()
        url = f"http://127.0.0.1:{box.ingress}/"
        async with aiohttp.ClientSession(headers={"Host": HOST}) as session, session.ws_connect(url) as socket:

            async def echoed(text: str) -> None:
                await socket.send_str(text)
                assert await socket.receive_str(timeout=IN_TIME) == text

            await echoed("before")
            status, begun = await box.api("POST", "/api/v1/self/reload")
            assert status == 202, begun
            await box.last("done")
            await echoed("after")
            assert "lets its connections end" in (await box.myself())["busy"], "it is what keeps the process before"
            async with session.get(url) as answer:
                assert answer.status == 200, "new requests go to the new one"
            await echoed("and still")
        await box.free()


async def test_https_goes_on(tmp_path: Path) -> None:
    async with served(tmp_path, tls=True) as box:
        await box.deploy()
        trusting = ssl.create_default_context(cafile=None)
        pem = (box.data / "tls/authority.pem").read_text()
        trusting.load_verify_locations(cadata=pem[pem.index("-----BEGIN CERTIFICATE") :].partition("-----BEGIN EC")[0])
        async with Steady(box.secure, tls=trusting) as load:
            status, begun = await box.api("POST", "/api/v1/self/reload")
            assert status == 202, begun
            await box.last("done")
            await box.free()
            await load.goes_on()
        assert load.failures == []


async def test_a_broken_configuration_changes_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as box:
        await box.deploy()
        right = box.config.read_text()
        box.config.write_text(right.replace("[limits]", "[limit]"))
        async with Steady(box.ingress) as load:
            status, begun = await box.api("POST", "/api/v1/self/reload")
            assert status == 202, begun
            last = await box.last("failed")
            assert "limit: unknown key" in last["reason"]
            assert (await box.myself())["busy"] == ""
            box.config.write_text(right + '[upgrade]\ndrain = "1s"\n')
            status, begun = await box.api("POST", "/api/v1/self/reload")
            assert status == 202, begun
            await box.last("done")
        assert load.failures == []
