"""A bundle that waits: verified and looked at, and nothing of it is on the box until somebody says yes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from minipaas.control import held
from minipaas.control.held import Hold
from minipaas.model.change import ChangeState
from minipaas.model.errors import Conflict, MinipaasError, Missing, Refused
from minipaas.surface.wire import Accepted
from minipaas.surface.wire_plan import Held, HeldBundles
from tests.boxes import RunningBox, toml
from tests.bundle.builders import make_bundle, make_image, tar_layer
from tests.control.test_foresight import did, newest_step, told

WHO = {"actor": "test", "origin": "test"}


def bundle(tmp_path: Path, version: str, sequence: int, app: str = "shop", **made: object) -> Path:
    text = toml(app, version, routes=f'"{app}.local"')
    return make_bundle(
        tmp_path, name=f"{app}{sequence}.bundle", app=app, version=version, sequence=sequence, app_toml=text, **made
    )  # type: ignore[arg-type]


async def hold(box: RunningBox, path: Path) -> Hold:
    data = path.read_bytes()  # noqa: ASYNC240 - small

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return await box.control.hold_bundle(chunks(), len(data), **WHO)


def staged(box: RunningBox) -> int:
    return len(list((box.control.data / "staging").iterdir()))


async def test_held_it_is_not_accepted_and_a_yes_does_what_was_shown(started: RunningBox, tmp_path: Path) -> None:
    before = await started.control.registry.desired()
    waits = await hold(started, bundle(tmp_path, "1.0", 1))
    assert await started.control.registry.desired() == before
    assert await started.control.registry.stored_releases() == {}
    assert not started.control.blobs.has(waits.release.digest)
    assert waits.parcel.new > 0
    outlook = await started.control.held.outlook(waits)
    since = await newest_step(started)
    change = await started.control.held.deploy(waits.id, **WHO)
    assert await did(started, change, since, len(outlook.steps)) == told(outlook)
    assert (await started.get())[0] == 200
    assert (started.control.held.every(), staged(started)) == ((), 0)
    with pytest.raises(Missing):
        await started.control.held.deploy(waits.id, **WHO)


async def test_dropped_nothing_is_left_and_both_are_audited(started: RunningBox, tmp_path: Path) -> None:
    waits = await hold(started, bundle(tmp_path, "1.0", 1))
    assert staged(started) == 1
    await started.control.held.drop(waits.id, **WHO)
    assert staged(started) == 0
    rows = [(row.action, row.app, row.result) for row in await started.control.registry.audit_log(2)]
    assert rows == [("drop", "shop", "dropped"), ("hold", "shop", f"held as {waits.id}")]
    with pytest.raises(Missing):
        await started.control.held.drop(waits.id, **WHO)


async def test_everything_is_checked_again_at_the_yes(started: RunningBox, tmp_path: Path) -> None:
    """Another app took the route meanwhile, a newer release came: refused, and it goes on to wait."""
    old = await hold(started, bundle(tmp_path, "1.0", 1))
    await started.deploy(toml("shop", "2.0"), version="2.0")
    with pytest.raises(Refused) as caught:
        await started.control.held.deploy(old.id, **WHO)
    assert caught.value.code == "release.downgrade"
    with pytest.raises(Refused):
        await started.control.held.outlook(old)
    text = toml("till", "1.0", routes='"shop.local"')
    with pytest.raises(Conflict) as clash:
        await hold(started, make_bundle(tmp_path, name="t", app="till", version="1.0", sequence=1, app_toml=text))
    assert clash.value.code == "route.taken"
    assert [one.id for one in started.control.held.every()] == [old.id]
    assert staged(started) == 1


async def test_two_at_once_say_yes_and_one_is_late(started: RunningBox, tmp_path: Path) -> None:
    waits = await hold(started, bundle(tmp_path, "1.0", 1))
    answers = await asyncio.gather(
        *(started.control.held.deploy(waits.id, **WHO) for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Change", "Missing"]
    assert len(await started.control.registry.changes(None, 9)) == 1


async def test_there_are_never_many_and_the_same_again_takes_its_own_place(started: RunningBox, tmp_path: Path) -> None:
    first = await hold(started, bundle(tmp_path, "1.0", 1, "app0"))
    again = await hold(started, bundle(tmp_path, "1.0", 1, "app0"))
    assert [one.id for one in started.control.held.every()] == [again.id]
    assert first.id != again.id
    for number in range(1, held.HELD):
        await hold(started, bundle(tmp_path, "1.0", 1, f"app{number}"))
    with pytest.raises(Refused) as caught:
        await hold(started, bundle(tmp_path, "1.0", 1, "more"))
    assert caught.value.code == "held.full"
    assert "app0 1.0" in caught.value.message
    assert staged(started) == held.HELD
    another = await hold(started, bundle(tmp_path, "1.0", 1, "app2"))
    assert [one.id for one in started.control.held.every()][-1] == another.id, "the same again, also when all is full"
    assert (len(started.control.held.every()), staged(started)) == (held.HELD, held.HELD)


async def test_one_too_many_is_refused_before_its_layers_arrive(started: RunningBox, tmp_path: Path) -> None:
    for number in range(held.HELD):
        await hold(started, bundle(tmp_path, "1.0", 1, f"app{number}"))
    large = make_image(tar_layer({"big": random.Random(1).randbytes(24 << 20)}))
    data = bundle(tmp_path, "1.0", 1, "more", images={"web": large}).read_bytes()
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for start in range(0, len(data), 65536):
            sent += 65536
            yield data[start : start + 65536]

    with pytest.raises(Refused) as caught:
        await started.control.hold_bundle(chunks(), len(data), **WHO)
    assert caught.value.code == "held.full"
    assert sent < len(data)


async def test_who_waits_too_long_is_dropped(started: RunningBox, tmp_path: Path) -> None:
    await hold(started, bundle(tmp_path, "1.0", 1, "patient"))
    started.control.held.life = 0.0
    await hold(started, bundle(tmp_path, "1.0", 1))
    await started.control.held.expire()
    assert [one.release.app for one in started.control.held.every()] == ["patient"]
    assert staged(started) == 1
    [row] = await started.control.registry.audit_log(1)
    assert (row.actor, row.app, row.result) == ("minipaas", "shop", "it waited too long")


async def test_a_bundle_that_is_refused_is_not_held(started: RunningBox, tmp_path: Path) -> None:
    path = bundle(tmp_path, "1.0", 1)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(MinipaasError):
        await hold(started, path)
    assert (started.control.held.every(), staged(started)) == ((), 0)
    assert (await started.control.registry.audit_log(1))[0].action == "hold"


async def test_over_the_api_from_upload_to_the_yes(started: RunningBox, tmp_path: Path) -> None:
    await started.deploy(toml("shop", "1.0"), version="1.0")
    data = bundle(tmp_path, "2.0", 2**40).read_bytes()
    connector = aiohttp.UnixConnector(str(started.control.data / "minipaas.sock"))
    async with aiohttp.ClientSession("http://box", connector=connector) as session:
        async with session.put("/api/v1/bundles?hold=true", data=data) as answer:
            body = await answer.read()
            assert answer.status == 201, body
        waits = msgspec.json.decode(body, type=Held)
        verified = waits.verification
        assert (waits.app, waits.version, waits.refused) == ("shop", "2.0", "")
        assert (len(verified.signers), verified.threshold, verified.keys, verified.root_version) == (1, 1, 1, 1)
        assert (verified.sequence, verified.warnings) == (2**40, ())
        assert verified.age > 0
        assert waits.replaces is not None
        assert waits.replaces.version == "1.0"
        assert waits.diff is not None
        assert [image.service for image in waits.diff.images] == ["web"]
        assert waits.diff.unknown == ""
        assert waits.preview is not None
        assert "switch to 2.0" in [step.title for step in waits.preview.steps]
        assert 0 < waits.new < waits.size
        async with session.get("/api/v1/held") as answer:
            assert len(msgspec.json.decode(await answer.read(), type=HeldBundles).held) == 1
        async with session.post(f"/api/v1/held/{waits.id}/deploy") as answer:
            accepted = msgspec.json.decode(await answer.read(), type=Accepted)
            assert (answer.status, accepted.version) == (202, "2.0")
        change = await started.ended(await started.control.registry.change(accepted.change))
        assert change.state is ChangeState.DONE
        async with session.delete(f"/api/v1/held/{waits.id}") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "held.missing")
