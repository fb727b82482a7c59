"""The chain of roots: only appended, never forked, never with a gap."""

from __future__ import annotations

import pytest

from minipaas.model.errors import Conflict, Refused
from minipaas.registry.registry import Registry
from tests.registry.made import WHO, release, root


async def test_roots_come_back_in_order(registry: Registry) -> None:
    assert await registry.roots() == ()
    await registry.add_roots([(3, root(3)), (2, root(2))], "ann", "file")
    await registry.add_roots([(3, root(3)), (4, root(4))], "ann", "file")
    assert await registry.roots() == (root(2), root(3), root(4))


@pytest.mark.parametrize(
    ("new", "kind", "code"),
    [
        ([(2, root(2, "forged"))], Conflict, "root.fork"),
        ([(1, root(1)), (3, root(3)), (2, root(2, "forged"))], Conflict, "root.fork"),
        ([(4, root(4))], Refused, "root.gap"),
        ([(3, root(3)), (5, root(5))], Refused, "root.gap"),
    ],
)
async def test_a_fork_or_a_gap_is_refused_whole(
    registry: Registry, new: list[tuple[int, bytes]], kind: type[Refused], code: str
) -> None:
    await registry.add_roots([(1, root(1)), (2, root(2))], "ann", "file")
    with pytest.raises(kind) as caught:
        await registry.add_roots(new, "eve", "file")
    assert caught.value.code == code
    assert await registry.roots() == (root(1), root(2))
    assert {row.actor for row in await registry.audit_log(9)} == {"ann"}


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"signed":{"version":"1"}}', b"\xff"])
async def test_what_is_no_root_is_refused_with_its_release(registry: Registry, body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        await registry.accept(release(1), new_roots=[body], **WHO, now=1.0)
    assert caught.value.code == "root.unreadable"
    assert await registry.floors() == {}
