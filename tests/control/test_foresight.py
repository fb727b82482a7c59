"""What is foreseen is what a whole box then does, step for step, as its journal tells."""

from __future__ import annotations

import pytest

from minipaas.control.foresight import foresee
from minipaas.model.change import Change, ChangeKind, ChangeState
from minipaas.model.errors import Invalid, MinipaasError, Missing
from minipaas.model.outlook import Outlook
from tests.boxes import RunningBox, toml

DB = '[services.db]\nimage = "x"\nport = 5432\nvolumes = { data = "/data" }\nstop = "1s"\n'
WHO = {"actor": "test", "origin": "test"}


async def two(box: RunningBox, version: str = "1.0") -> Change:
    """A routed service and one with a volume."""
    return await box.deploy(toml(version=version, replicas=2, extra=DB), services=("web", "db"), version=version)


async def shown(box: RunningBox, kind: ChangeKind, **asked: object) -> Outlook:
    return await foresee(box.control.registry, box.control.observed, "shop", kind, **asked)  # type: ignore[arg-type]


async def newest_step(box: RunningBox) -> int:
    return max((row.id for row in await box.control.registry.recent("shop", 1)), default=0)


async def did(box: RunningBox, change: Change, since: int, count: int) -> list[tuple[str, str, bool]]:
    """The journal of a change and of the upkeep after it, when it has so many rows."""

    async def look() -> list[tuple[str, str, bool]] | None:
        rows = [row for row in reversed(await box.control.registry.recent("shop", 500)) if row.id > since]
        ended = all(row.ended is not None for row in rows) and len(rows) >= count
        return [(row.kind, row.title, row.change is None) for row in rows] if ended else None

    assert (await box.ended(change)).state is ChangeState.DONE
    found = await box.until(look)
    assert isinstance(found, list)
    return found


async def settled(box: RunningBox) -> bool:
    """Three run, nothing else is there, and nothing is being done."""
    rows = await box.control.registry.recent("shop", 500)
    return len(box.running()) == len(box.instances()) == 3 and all(row.ended is not None for row in rows)


def told(outlook: Outlook) -> list[tuple[str, str, bool]]:
    return [(type(one.step).__name__, one.step.title, one.after) for one in outlook.steps]


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (ChangeKind.ROLLBACK, {"to": "1.0"}),
        (ChangeKind.RESTART, {}),
        (ChangeKind.RESTART, {"service": "web"}),
        (ChangeKind.SCALE, {"service": "web", "replicas": 4}),
        (ChangeKind.SCALE, {"service": "web", "replicas": 1}),
        (ChangeKind.SCALE, {"service": "web", "replicas": 0}),
        (ChangeKind.REMOVE, {"purge": False}),
        (ChangeKind.REMOVE, {"purge": True}),
    ],
)
async def test_the_box_does_what_was_foreseen(started: RunningBox, kind: ChangeKind, asked: dict[str, object]) -> None:
    await two(started)
    await two(started, "2.0")
    await started.until(lambda: settled(started))
    since, before = await newest_step(started), await started.control.registry.desired()
    outlook = await shown(started, kind, **asked)
    assert await started.control.registry.desired() == before, "to look changes nothing"
    control = started.control
    match kind:
        case ChangeKind.ROLLBACK:
            change = await control.rollback("shop", "1.0", **WHO)
        case ChangeKind.RESTART:
            change = await control.restart("shop", asked.get("service"), **WHO)  # type: ignore[arg-type]
        case ChangeKind.SCALE:
            change = await control.scale("shop", "web", asked["replicas"], **WHO)  # type: ignore[arg-type]
        case _:
            change = await control.remove("shop", purge=bool(asked["purge"]), **WHO)
    assert await did(started, change, since, len(outlook.steps)) == told(outlook)


async def test_what_cannot_be_done_cannot_be_foreseen_either(started: RunningBox) -> None:
    for kind, asked, code in (
        (ChangeKind.RESTART, {}, "app.missing"),
        (ChangeKind.SCALE, {}, "service.none"),
        (ChangeKind.DEPLOY, {}, "preview.deploy"),
    ):
        with pytest.raises(MinipaasError) as caught:
            await shown(started, kind, **asked)
        assert caught.value.code == code
        assert isinstance(caught.value, Invalid | Missing)
    assert (await started.control.registry.audit_log(9))[0].action == "trust.add", "nothing was tried"
