"""Upgrades and returns between real programs: a steady load loses nothing, and a version that is no good is gone
from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from minipaas.install.layout import Layout
from tests.bundle.builders import make_bundle
from tests.takeover.programs import Change, bundle, insert, install, program
from tests.takeover.steady import Served, Steady, served

TRIAL = '[upgrade]\ntrial = "1s"\nready = "60s"\ndrain = "2s"\n'


@asynccontextmanager
async def installed(tmp_path: Path, more: str = TRIAL, change: Change | None = None) -> AsyncIterator[Served]:
    """A box that runs version 1.0.0 from a layout, with an app on it."""
    command = install(tmp_path / "opt", program(tmp_path, "1.0.0", change), "1.0.0")
    async with served(tmp_path, command=command, more=more) as box:
        await box.deploy()
        yield box


def newer(tmp_path: Path, change: Change | None = None, version: str = "2.0.0", **numbers: int) -> bytes:
    return bundle(tmp_path, program(tmp_path, version, change), **numbers).read_bytes()


def current(tmp_path: Path) -> str:
    version = Layout(tmp_path / "opt").current()
    return version.version if version is not None else ""


def add_migration(package: Path) -> None:
    """The next schema, as a newer version would have it."""
    registry = package / "registry"
    schema = (registry / "schema.py").read_text()
    number = int(schema.split("VERSION = ")[1].split("\n")[0])
    (registry / "schema.py").write_text(schema.replace(f"VERSION = {number}", f"VERSION = {number + 1}", 1))
    sql = "CREATE TABLE novelty (name TEXT PRIMARY KEY) STRICT;\n"
    (registry / f"schema_{number + 1}.sql").write_text(sql)
    with (registry / "schema.sql").open("a") as file:
        file.write(sql)


async def test_upgrade_and_back_under_load(tmp_path: Path) -> None:
    async with installed(tmp_path) as box:
        assert box.process is not None
        calls = {name: count for name, count in box.fake.calls.items() if "containers" in name and "POST" in name}
        async with Steady(box.ingress) as load:
            status, begun = await box.api("PUT", "/api/v1/self", newer(tmp_path))
            assert status == 202, begun
            last = await box.last("trial", "done")
            assert [step["ok"] for step in last["steps"]] == [True] * 5, last
            assert (await box.myself())["version"] == "2.0.0"
            assert current(tmp_path) == "2.0.0"
            await box.last("done")
            await box.free()

            status, begun = await box.api("POST", "/api/v1/self/rollback", {})
            assert status == 202, begun
            await box.last("trial", "done")
            assert (await box.myself())["version"] == "1.0.0"
            await box.last("done")
            await box.free()
            await load.goes_on()
        assert load.failures == []
        assert current(tmp_path) == "1.0.0"
        assert box.process.returncode is None
        audit = await box.audit()
        assert [row for row in reversed(audit) if row.startswith("self.")] == [
            "self.upgrade: accepted",
            "self.upgrade: serves; on trial for 1 s",
            "self.upgrade: done",
            "self.rollback: serves; on trial for 1 s",
            "self.rollback: done",
        ]
        for name, count in calls.items():
            assert box.fake.calls[name] == count, f"apps are not touched: {name}"


HANG = insert("app.py", "        registry = Registry.open(", "        await asyncio.sleep(3600)\n")
NO_GOOD = insert(
    "app.py",
    "        news = _News()",
    "        raise MinipaasError('cannot serve: this version is no good', hint='take another', code='bug')\n",
)
CRASH = insert(
    "takeover/own.py",
    "        self._control = control\n",
    "        print('the new version is unwell', file=sys.stderr, flush=True)\n"
    "        def unwell() -> None:\n"
    "            record = self.story.load()\n"
    "            if record is not None and record.state is State.TRIAL:\n"
    "                asyncio.get_running_loop().call_later(0.4, __import__('os')._exit, 9)\n"
    "            else:\n"
    "                asyncio.get_running_loop().call_later(0.1, unwell)\n"
    "        unwell()\n",
)


def both(*changes: Change) -> Change:
    def change(package: Path) -> None:
        for one in changes:
            one(package)

    return change


@pytest.mark.parametrize("case", ["hangs", "does not start", "migrates and says no"])
async def test_a_version_that_is_never_ready(tmp_path: Path, case: str) -> None:
    changes = {
        "hangs": HANG,
        "does not start": insert("__main__.py", "from minipaas.surface", "import nothing_like_this\n"),
        "migrates and says no": both(add_migration, NO_GOOD),
    }
    settings = TRIAL.replace("60s", "3s") if case == "hangs" else TRIAL
    async with installed(tmp_path, settings) as box, Steady(box.ingress) as load:
        status, begun = await box.api("PUT", "/api/v1/self", newer(tmp_path, changes[case]))
        assert status == 202, begun
        last = await box.last("failed")
        expected = {
            "hangs": "it was not ready within 3 s",
            "does not start": "nothing_like_this",
            "migrates and says no": "cannot serve: this version is no good (take another)",
        }
        assert expected[case] in last["reason"]
        assert "1.0.0 serves again" in (await box.api("GET", "/api/v1/apps"))[1]["sentence"]
        seen = await box.myself()
        assert (seen["version"], seen["busy"], current(tmp_path)) == ("1.0.0", "", "1.0.0")
        audit = await box.audit()
        assert audit[0].startswith("self.upgrade: failed: ")
        assert any("the registry went back" in row for row in audit) == case.startswith("migrates")
        assert (await box.api("GET", "/api/v1/apps/shop"))[1]["state"] == "running"
        await load.goes_on()
        assert load.failures == []


async def test_a_version_that_crashes_twice_is_gone_back_from(tmp_path: Path) -> None:
    async with installed(tmp_path, TRIAL.replace("1s", "30s")) as box:
        status, begun = await box.api("PUT", "/api/v1/self", newer(tmp_path, both(add_migration, CRASH)))
        assert status == 202, begun
        last = await box.last("returned")
        assert "status 9" in last["reason"]
        assert "the new version is unwell" in "".join(last["last_lines"])
        seen = await box.myself()
        assert (seen["version"], seen["busy"], current(tmp_path)) == ("1.0.0", "", "1.0.0")
        audit = await box.audit()
        assert "self.upgrade: serves; on trial for 30 s" in audit
        assert audit[0].startswith("self.upgrade: went back to 1.0.0: ")
        assert seen["previous"] is None, "what was no good is no way back"
        told = f"The upgrade of minipaas to {last['to_version']} did not hold, and 1.0.0 serves again: "
        said = (await box.api("GET", "/api/v1/apps"))[1]
        assert (said["well"], told in said["sentence"]) == (False, True)
        assert (await box.api("POST", "/api/v1/self/seen", {}))[0] == 200
        assert (await box.api("GET", "/api/v1/apps"))[1]["well"]
        assert (await box.audit())[0].startswith("self.seen: 1.0.0 serves: ")
        status, said = await box.api("POST", "/api/v1/self/rollback", {})
        assert (status, said["error"]["code"]) == (404, "self.first")
        async with Steady(box.ingress) as load:
            await load.goes_on()
        assert load.failures == []


async def test_back_over_a_migration_loses_what_came_since_and_says_so(tmp_path: Path) -> None:
    async with installed(tmp_path) as box:
        status, begun = await box.api("PUT", "/api/v1/self", newer(tmp_path, add_migration))
        assert status == 202, begun
        await box.last("done")
        await box.free()
        await box.api("POST", "/api/v1/tokens", {"name": "new", "role": "read"})

        status, said = await box.api("POST", "/api/v1/self/rollback", {})
        assert (status, said["error"]["code"]) == (409, "self.loses")
        assert "--lose-changes" in said["error"]["hint"]
        assert (await box.myself())["version"] == "2.0.0"

        status, begun = await box.api("POST", "/api/v1/self/rollback", {"lose": True})
        assert status == 202, begun
        await box.last("done")
        await box.free()
        assert (await box.myself())["version"] == "1.0.0"
        assert (await box.api("GET", "/api/v1/tokens"))[1]["tokens"] == []
        assert any("what was accepted since is lost" in row for row in await box.audit())
        assert (await box.api("GET", "/api/v1/apps/shop"))[1]["state"] == "running"


async def test_what_the_author_forbids_is_not_gone_back_to(tmp_path: Path) -> None:
    async with installed(tmp_path) as box:

        async def upgraded(version: str, sequence: int) -> None:
            body = newer(tmp_path, version=version, sequence=sequence, min_sequence=5)
            status, begun = await box.api("PUT", "/api/v1/self", body)
            assert status == 202, begun
            await box.last("done")
            await box.free()

        await upgraded("2.0.0", 5)
        status, said = await box.api("POST", "/api/v1/self/rollback", {})
        assert (status, said["error"]["code"]) == (422, "release.below_floor")
        assert "it came in no bundle" in said["error"]["message"]
        assert (await box.myself())["busy"] == ""

        await upgraded("3.0.0", 9)
        status, begun = await box.api("POST", "/api/v1/self/rollback", {})
        assert status == 202, begun
        await box.last("done")
        assert (await box.myself())["version"] == "2.0.0"


async def test_what_is_refused(tmp_path: Path) -> None:
    async with installed(tmp_path) as box:

        async def refused(body: bytes, path: str = "/api/v1/self") -> tuple[int, str]:
            status, said = await box.api("PUT", path, body)
            return status, said["error"]["code"]

        first = newer(tmp_path, sequence=5)
        assert await refused(make_bundle(tmp_path, name="x.bundle", version="9", sequence=9).read_bytes()) == (
            422,
            "self.app",
        )
        assert await refused(first, "/api/v1/bundles") == (422, "self.not_an_app")
        assert await refused(first[:-1000]) == (422, "bundle.truncated")
        seen = await box.myself()
        assert (seen["version"], seen["busy"], seen["last"]["state"]) == ("1.0.0", "", "failed")
        assert not list(box.data.glob("own-*")), "nothing is left behind"
        status, said = await box.api("POST", "/api/v1/self/rollback", {})
        assert (status, said["error"]["code"]) == (404, "self.first")
        assert (await box.audit())[0].startswith("self.rollback: failed: self.first: cannot go back: ")


async def test_a_program_that_was_never_installed(tmp_path: Path) -> None:
    async with served(tmp_path) as box:
        status, said = await box.api("PUT", "/api/v1/self", b"x")
        assert (status, said["error"]["code"]) == (422, "self.not_installed")
        assert "minipaas install" in said["error"]["hint"]
        assert (await box.audit())[0].startswith("self.upgrade: refused: self.not_installed: cannot upgrade minipaas: ")
        assert (await box.api("POST", "/api/v1/self/seen", {}))[0] == 404
        assert (await box.audit())[0].startswith("self.seen: failed: self.no_return: ")
