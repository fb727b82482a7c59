"""Crashes over the API: what is told, what is given away, and how large it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from msgspec import structs

from minipaas.control.exported import opened
from minipaas.forensics.shelf import LOG
from minipaas.model.capsule import Alive, Figures, FileChange, Process, Socket, Threads, Touched
from minipaas.surface.cli.scene import print_capsule
from tests.boxes import RunningBox, fake, started, toml

__all__ = ["fake", "started"]

CHUNK = 4096


@pytest.fixture
async def admin(started: RunningBox) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody who may, at a box whose shop has failed once with its second release."""
    await started.deploy(toml())
    await started.deploy(
        toml(version="2.0", replicas=2).replace("env = {", 'env = { DOOR_KEY = "hunter2",'), version="2.0"
    )
    names = await started.until(lambda: started.running() if len(started.running()) == 2 else [])
    name = names[0]  # type: ignore[index]
    (started.directory / "data/scratch" / name / "tmp/last").write_bytes(b"the last order")
    started.fake.crash(name, 3)
    await started.until(started.control.shelf.groups)
    headers = {"Authorization": f"Bearer {await started.token('admin')}"}
    async with aiohttp.ClientSession(started.url, headers=headers) as session:
        yield session


async def exported(box: RunningBox, admin: aiohttp.ClientSession, query: str = "") -> tuple[Path, int]:
    """The file, and how long it was said to be."""
    (group,) = box.control.shelf.groups()
    file = box.directory / "one.crash"
    async with admin.get(f"/api/v1/crashes/{group.id}/export{query}") as answer:
        assert answer.status == 200
        file.write_bytes(await answer.read())
        return file, answer.content_length or 0


async def test_a_file_says_before_how_long_it_is(started: RunningBox, admin: aiohttp.ClientSession) -> None:
    (group,) = started.control.shelf.groups()
    async with admin.get(f"/api/v1/crashes/{group.id}") as answer:
        told = await answer.json()
    file, length = await exported(started, admin)
    small = file.stat().st_size
    assert small == length
    assert abs(small - told["scene_size"]) < 8 * CHUNK
    file, length = await exported(started, admin, "?image=true")
    assert file.stat().st_size == length
    assert abs(length - small - told["image_size"]) < 8 * CHUNK
    with opened(file) as found:
        assert found.exported.has_image
        assert found.exported.capsule.image_id == (await image_of(started))
        assert b"hunter2" not in file.read_bytes()
    rows = [(row.action, row.result) for row in await started.control.registry.audit_log(10)]
    assert ("crash.export", "ok, with its image") in rows


async def image_of(box: RunningBox) -> str:
    release = await box.control.registry.release(box.instances()[0].release)
    return release.images["web"].config


async def test_an_image_that_is_gone_cannot_be_given(started: RunningBox, admin: aiohttp.ClientSession) -> None:
    (group,) = started.control.shelf.groups()
    release = await started.control.registry.release(started.instances()[0].release)
    started.control.blobs.compressed(release.images["web"].config).unlink()
    async with admin.get(f"/api/v1/crashes/{group.id}/export?image=true") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "crash.no_image")
    async with admin.get(f"/api/v1/crashes/{group.id}") as answer:
        assert (await answer.json())["image_size"] is None
    await exported(started, admin)


async def test_who_asks_for_the_key_makes_none(started: RunningBox) -> None:
    private = started.directory / "data/box.key"
    await started.until(private.exists)  # it is made when the box starts
    async with aiohttp.ClientSession(started.url) as session:
        async with session.get("/api/v1/crash-key") as answer:
            assert (await answer.json())["public"].startswith("-----BEGIN PUBLIC KEY-----")
        for path in (private, private.with_name("box.key.pub")):
            path.unlink()
        async with session.get("/api/v1/crash-key") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "crash.no_key")
    assert not private.exists()


async def test_the_page_says_what_changed_since_it_served_well(
    started: RunningBox, admin: aiohttp.ClientSession
) -> None:
    (group,) = started.control.shelf.groups()
    async with admin.get(f"/crashes/{group.id}") as answer:
        page = await answer.text()
    since = page[page.index('id="since"') :]
    assert "Release 1.0 served well" in since
    assert "services.web.env.DOOR_KEY" in since
    assert "services.web.replicas" in since
    assert "hunter2" not in page
    assert "image=true" in page


async def test_the_page_lists_what_was_written_to_scratch(started: RunningBox, admin: aiohttp.ClientSession) -> None:
    (group,) = started.control.shelf.groups()
    async with admin.get(f"/crashes/{group.id}") as answer:
        page = await answer.text()
    section = page[page.index('id="files"') :].partition("</ul>")[0]
    assert "new <code>/tmp/last</code>" in section
    assert "14 B" in section


async def test_the_page_says_what_it_had_open_and_what_it_used(
    started: RunningBox, admin: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    process = Process(
        pid=7,
        parent=1,
        state="S",
        command="serve",
        threads=1,
        memory=4096,
        wait="futex_wait",
        stack=(),
        files=("3 -> /var/lib/orders",),
        stacks=(
            Threads(
                count=3,
                numbers=(8, 9, 10),
                names=("worker",),
                state="S",
                call="futex",
                on=("0x7f12 x 3",),
                wait="futex_wait",
                stack=("futex_wait", "do_futex"),
            ),
        ),
    )
    named = Socket(kind="unix", local="/run/orders", peer="", state="LISTEN")
    shelf = started.control.shelf
    _, died = shelf.find(shelf.groups()[0].id)
    hung = structs.replace(
        died,
        id="0123456789ab-000001",
        alive=Alive(at=died.at, processes=(process,), sockets=(named,), missing=("kernel stacks: Permission denied",)),
        figures=Figures(
            start=died.at,
            step=10,
            cpu=(None, 0.25),
            memory=(None, 2048.0),
            peak=(None, 4096.0),
            pids=(None, 1.0),
            sent=(None, 1024.0),
            most=8192,
            reached=True,
        ),
        changes=(FileChange("/etc/passwd", Touched.MODIFIED, 900, podmans=True),),
        memory=8192,
    )
    staged = shelf.stage(hung.id)
    (staged / LOG).write_text("")
    shelf.put(staged, hung)
    async with admin.get(f"/crashes/{hung.id}") as answer:
        page = await answer.text()
    assert "7: 3 -&gt; /var/lib/orders" in page
    assert "kernel stacks: Permission denied" in page
    assert "7: 3 × worker, S futex(0x7f12 x 3): futex_wait ← do_futex" in page
    assert "unix /run/orders LISTEN" in page
    assert "(by Podman perhaps)" in page[page.index("<code>/etc/passwd</code>") :].partition("</li>")[0]
    for words in ("at most 8.0 KiB of memory", "at most 0.25 cores", "at most 1.0 KiB/s sent"):
        assert words in page
    assert "it reached its limit of memory, 8.0 KiB" in page
    print_capsule(hung, None, 12)
    told = capsys.readouterr().out
    assert "  7: 3 threads (worker), S in futex(0x7f12 x 3): futex_wait < do_futex\n" in told
    assert "  unix /run/orders LISTEN\n" in told
    assert "  M /etc/passwd  900 B  (by Podman perhaps)\n" in told
    assert "its limit of memory: 8.0 KiB, which it reached\n" in told
    assert "its memory: at most 8.0 KiB\n" in told
    assert "at most: 0.25 cores, sent 1.0 KiB/s\n" in told
