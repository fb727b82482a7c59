"""Tokens: shown once, found by secret, gone when revoked."""

from __future__ import annotations

from pathlib import Path

import pytest

from minipaas.model.errors import Conflict, Invalid, Missing
from minipaas.registry.registry import Registry
from minipaas.registry.tokens import Token
from tests.registry.made import WHO


async def test_a_secret_opens_until_it_is_revoked(registry: Registry) -> None:
    secret = await registry.add_token("ci", "deploy", 5.0, **WHO)
    other = await registry.add_token("wall", "read", 6.0, **WHO)
    assert await registry.token(secret) == Token(name="ci", role="deploy", created=5.0)
    assert [token.name for token in await registry.tokens()] == ["ci", "wall"]
    await registry.revoke_token("ci", **WHO, now=7.0)
    assert await registry.token(secret) is None
    assert await registry.token(other) is not None
    with pytest.raises(Missing):
        await registry.revoke_token("ci", **WHO, now=8.0)


@pytest.mark.parametrize("secret", ["", "mpt_", "ci", "x" * 100_000, "\udcff", "' OR 1=1 --"])
async def test_nothing_else_opens(registry: Registry, secret: str) -> None:
    await registry.add_token("ci", "admin", 5.0, **WHO)
    assert await registry.token(secret) is None


async def test_names_are_taken_once(registry: Registry) -> None:
    secret = await registry.add_token("ci", "deploy", 5.0, **WHO)
    with pytest.raises(Conflict) as caught:
        await registry.add_token("ci", "admin", 6.0, **WHO)
    assert caught.value.code == "token.exists"
    found = await registry.token(secret)
    assert found is not None
    assert found.role == "deploy"


@pytest.mark.parametrize("name", ["", "a\nb", "n" * 1000])
async def test_names_are_printable_and_short(registry: Registry, name: str) -> None:
    with pytest.raises(Invalid):
        await registry.add_token(name, "deploy", 5.0, **WHO)


def contents(directory: Path) -> list[bytes]:
    return [path.read_bytes() for path in directory.glob("registry.db*")]


async def test_no_file_of_the_registry_holds_a_secret(registry: Registry, tmp_path: Path) -> None:
    secret = await registry.add_token("ci", "deploy", 5.0, **WHO)
    files = contents(tmp_path)
    assert any(b"deploy" in content for content in files)
    assert not any(secret.encode() in content for content in files)
