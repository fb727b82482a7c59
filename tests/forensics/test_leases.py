"""Leases begin, end and are told of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from minipaas.forensics.leases import OpenLease, shown
from minipaas.model.errors import Invalid, MinipaasError, Missing
from minipaas.model.lease import Ending, Entry
from minipaas.registry.registry import Registry
from tests.forensics.made import Book, config

WHO: dict[str, Any] = {"what": "", "actor": "eve", "origin": "tcp ::1", "reason": "it hangs", "seconds": None}


async def test_it_is_audited_at_both_ends_and_kept(registry: Registry, tmp_path: Path) -> None:
    book = Book(registry, tmp_path / "access", config())
    async with book.leases.hold(Entry.EXEC, book.instance, **WHO | {"what": "psql"}) as one:
        assert [lease.reason for lease in book.leases.open_now] == ["it hangs"]
        assert (await book.audited())[0][:2] == ("access.exec", "shop-web-1-1 psql")
        one.end(Ending.DONE, "exit code 3")
    assert book.leases.open_now == ()
    (kept,) = await book.kept.newest(10)
    assert (kept.id, kept.ending, kept.result) == (one.lease.id, Ending.DONE, "exit code 3")
    action, _, result = (await book.audited())[1]
    assert action == "access.exec.end"
    assert result.startswith("done after")
    assert result.endswith("exit code 3")


@pytest.mark.parametrize(
    ("settings", "ending"), [({"time": 0.05}, Ending.EXPIRED), ({"idle": 0.05}, Ending.IDLE)], ids=["time", "idle"]
)
async def test_it_ends_by_itself(
    registry: Registry,
    tmp_path: Path,
    settings: dict[str, float],
    ending: Ending,
) -> None:
    book = Book(registry, tmp_path / "access", config(**settings))
    async with book.leases.hold(Entry.SHELL, book.instance, **WHO) as one:
        assert await one.over() is ending
    (kept,) = await book.kept.newest(10)
    assert kept.ending is ending


async def test_who_uses_it_is_not_idle(registry: Registry, tmp_path: Path) -> None:
    book = Book(registry, tmp_path / "access", config(time=3.0, idle=1.5))

    async def use(one: OpenLease) -> None:
        while True:
            await asyncio.sleep(0.05)
            one.touch()

    async with book.leases.hold(Entry.SHELL, book.instance, **WHO) as one:
        using = asyncio.create_task(use(one))
        assert await one.over() is Ending.EXPIRED
        using.cancel()


async def test_somebody_ends_it(registry: Registry, tmp_path: Path) -> None:
    book = Book(registry, tmp_path / "access", config())
    async with book.leases.hold(Entry.FORWARD, book.instance, **WHO) as one:
        book.leases.revoke(one.lease.id, "root via socket")
        assert await one.over() is Ending.REVOKED
    with pytest.raises(Missing):
        book.leases.revoke(one.lease.id, "root via socket")
    (kept,) = await book.kept.newest(10)
    assert kept.result == "ended by root via socket"


async def test_an_error_within_is_its_end(registry: Registry, tmp_path: Path) -> None:
    book = Book(registry, tmp_path / "access", config())
    with pytest.raises(MinipaasError):
        async with book.leases.hold(Entry.COPY, book.instance, **WHO):
            raise MinipaasError("cannot copy: it is too large")
    assert (await book.audited())[1][2].startswith("failed: failed after")


async def test_a_stop_ends_all_and_lets_nobody_in(registry: Registry, tmp_path: Path) -> None:
    book = Book(registry, tmp_path / "access", config())
    async with book.leases.hold(Entry.SHELL, book.instance, **WHO) as one:
        book.leases.close()
        assert await one.over() is Ending.STOPPED
        with pytest.raises(MinipaasError, match="is stopping"):
            async with book.leases.hold(Entry.SHELL, book.instance, **WHO):
                pass


@pytest.mark.parametrize(
    ("asked", "code"),
    [({"seconds": 7200.0}, "access.time"), ({"seconds": 0.0}, "access.time"), ({"reason": " "}, "access.reason")],
    ids=["too long", "no time", "no reason"],
)
async def test_what_the_owner_does_not_allow(
    registry: Registry,
    tmp_path: Path,
    asked: dict[str, object],
    code: str,
) -> None:
    book = Book(registry, tmp_path / "access", config(longest=3600.0, reason=True))
    with pytest.raises(Invalid) as error:
        async with book.leases.hold(Entry.SHELL, book.instance, **WHO | asked):
            pass
    assert error.value.code == code
    assert await book.audited() == []


async def test_there_are_never_more_than_allowed(registry: Registry, tmp_path: Path) -> None:
    book = Book(registry, tmp_path / "access", config(sessions=1))
    async with book.leases.hold(Entry.SHELL, book.instance, **WHO):
        with pytest.raises(MinipaasError) as error:
            async with book.leases.hold(Entry.SHELL, book.instance, **WHO):
                pass
        assert error.value.code == "access.busy"


def test_what_is_shown_cannot_move_a_cursor() -> None:
    assert shown("a\x1b[2J\nb" + "c" * 300) == "a [2J b" + "c" * 192 + "…"
