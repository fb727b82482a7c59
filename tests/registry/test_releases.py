"""What became of releases, what they need, and what may be given up."""

from __future__ import annotations

import pytest

from minipaas.model.errors import Missing
from minipaas.model.spec import Health, Hooks, IngressSpec, ServiceSpec
from minipaas.model.typed import to_json
from minipaas.model.units import Duration, Size
from minipaas.registry import limits
from minipaas.registry.registry import Registry
from minipaas.registry.releases import decode
from tests.registry.made import WHO, accept, digest, fail, release, serve


async def test_a_release_comes_back_as_it_went_in(registry: Registry) -> None:
    services = {
        "db": ServiceSpec(
            image="postgres",
            port=5432,
            volumes={"data": "/var/lib"},
            memory=Size.parse("256MiB"),
            cpus=0.5,
            env={"A": "ä\n"},
            health=Health(command=("pg_isready",), interval=Duration.parse("1m30s")),
            hooks=Hooks(release=("./migrate",)),
        ),
        "web": ServiceSpec(
            image="web",
            port=80,
            depends_on=("db",),
            routes=("*",),
            ports=("1883:1883",),
            ingress=IngressSpec(max_body=Size.parse("1MiB"), sticky=True),
        ),
    }
    made = release(1, services=services)
    await accept(registry, made)
    assert await registry.release(made.digest) == made
    assert str((await registry.release(made.digest)).spec.services["db"].memory) == "256.0 MiB"
    with pytest.raises(Missing):
        await registry.release(digest("other"))


def test_a_release_without_routing_options_is_stored_as_versions_without_them_store_it() -> None:
    """So they can read it, after a return to one of them; and theirs can be read here."""
    services = {"web": ServiceSpec(image="web", port=80, routes=("*",))}
    made = release(1, services=services)
    body = to_json(made).decode()
    assert "ingress" not in body
    assert decode(body) == made
    assert made.spec.services["web"].route_options == IngressSpec().options


async def test_releases_are_listed_with_their_fate_newest_first(registry: Registry) -> None:
    done = await serve(registry, release(1), now=10.0)
    await fail(registry, await accept(registry, release(2), now=50.0))
    rows = await registry.releases("shop")
    assert [
        (row.release.sequence, row.accepted_at, row.outcome, row.confirmed_at, row.retired, row.serving, row.good)
        for row in rows
    ] == [(2, 50.0, "failed", None, False, False, False), (1, 10.0, "done", done.ended, False, True, True)]


async def test_blobs_are_needed_as_long_as_a_release_is_kept(registry: Registry) -> None:
    for sequence in (1, 2, 3):
        await serve(registry, release(sequence))
    await serve(registry, release(1, "other"))
    every = [release(1), release(2), release(3), release(1, "other")]
    assert await registry.needed_blobs() == {blob for made in every for blob in made.blobs}
    assert await registry.retire("shop", [release(1).digest, digest("unknown")]) == (release(1).digest,)
    assert await registry.needed_blobs() == {blob for made in every[1:] for blob in made.blobs}
    assert {app: [one.sequence for one in kept] for app, kept in (await registry.stored_releases()).items()} == {
        "shop": [3, 2],
        "other": [1],
    }
    assert [row.retired for row in await registry.releases("shop")] == [False, False, True]


async def test_what_serves_or_may_have_to_is_never_given_up(registry: Registry) -> None:
    for sequence in (1, 2, 3):
        await serve(registry, release(sequence))
    await accept(registry, release(4))
    every = [release(sequence).digest for sequence in (1, 2, 3, 4)]
    # 4 is on its way in, 3 serves; 1 and 2 are behind both.
    assert set(await registry.retire("shop", every)) == {release(1).digest, release(2).digest}


async def test_the_release_that_a_rollback_would_take_is_never_given_up(registry: Registry) -> None:
    for sequence in (1, 2, 3):
        await serve(registry, release(sequence))
    every = [release(sequence).digest for sequence in (1, 2, 3)]
    assert await registry.retire("shop", every) == (release(1).digest,)
    assert (await registry.rollback("shop", **WHO, now=1.0)).target == release(2).digest


async def test_retired_releases_are_history_of_bounded_length(registry: Registry) -> None:
    total = limits.RETIRED_KEPT + limits.CHANGES_KEPT + 20
    for sequence in range(1, total + 1):
        await serve(registry, release(sequence))
        await registry.retire("shop", [release(sequence - 2).digest])
    rows = await registry.releases("shop")
    assert len(rows) < total
    assert len(rows) >= limits.RETIRED_KEPT
    assert rows[0].release.sequence == total
    assert (await registry.floors())["shop"].sequence == total
