"""`serve` starts itself anew: same process id, no request lost, new configuration; and what keeps it from doing so."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.takeover.steady import Steady, served


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
            last = await box.last("done")
            await box.free()
            await asyncio.sleep(0.5)
            asked = load.count
            await asyncio.sleep(0.2)
            assert load.count > asked > 0
        assert load.failures == []
        assert box.process.returncode is None, "the process that was started goes on"
        assert [step["ok"] for step in last["steps"]] == [True, True]
        assert (await box.audit())[0] == "self.reload: done"
        for call in ("POST containers/create", "POST containers/{name}/start", "POST containers/{name}/stop"):
            assert box.fake.calls.get(call, 0) == before.get(call, 0), "apps are not touched"
        assert await box.stop() == 0
        assert not (box.data / "minipaas.sock").exists()
