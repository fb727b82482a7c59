"""What each request begins, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from minipaas.model.change import AppDesired, ChangeKind, ChangeState
from minipaas.model.errors import Conflict, Invalid, MinipaasError, Missing, Refused
from minipaas.model.release import Floor, Release, Tuning
from minipaas.model.spec import Hooks, ServiceSpec
from minipaas.registry.registry import Registry
from tests.registry.made import WHO, accept, digest, fail, finish, release, root, serve


async def snapshot(registry: Registry) -> tuple[Any, ...]:
    """All that a refusal must leave as it was."""
    return (
        await registry.desired(),
        await registry.floors(),
        await registry.newest(),
        await registry.roots(),
        await registry.time_floor(),
        await registry.changes(None, 100),
        await registry.releases("shop"),
        await registry.audit_log(100),
        registry.version,
    )


async def test_the_first_release_of_an_app_begins_a_deploy(registry: Registry) -> None:
    made = release(7, min_sequence=3)
    change = await registry.accept(made, new_roots=[root(1), root(2)], **WHO, now=50.0)

    assert (change.kind, change.state, change.target) == (ChangeKind.DEPLOY, ChangeState.ROLLING, made.digest)
    assert change.fallback is None
    assert (change.started, change.deadline) == (50.0, 50.0 + made.spec.rollout.deadline)
    assert await registry.floors() == {"shop": Floor(epoch=1, sequence=7, min_sequence=3)}
    assert await registry.newest() == {"shop": made.digest}
    assert await registry.roots() == (root(1), root(2))
    assert await registry.time_floor() == made.issued
    [wanted] = (await registry.desired()).apps
    assert (wanted.serving, wanted.good, wanted.change, wanted.target) == (None, None, change, made)
    assert await registry.release(made.digest) == made


async def test_a_deploy_falls_back_to_the_last_good_release(registry: Registry) -> None:
    good = await serve(registry, release(1))
    await fail(registry, await accept(registry, release(2)))
    assert (await accept(registry, release(3))).fallback == good.target


async def test_a_new_deploy_supersedes_the_one_under_way(registry: Registry) -> None:
    stuck = await accept(registry, release(1), now=100.0)
    new = await accept(registry, release(2), now=130.0)

    old = await registry.change(stuck.id)
    assert (old.state, old.ended) == (ChangeState.SUPERSEDED, 130.0)
    assert "deploy 1.2" in old.reason
    assert [app.change for app in (await registry.desired()).apps] == [new]
    assert [row.outcome for row in await registry.releases("shop")] == ["rolling", "superseded"]


async def test_the_newest_release_may_be_uploaded_again(registry: Registry) -> None:
    await serve(registry, release(1))
    again = await accept(registry, release(1))
    assert (again.state, again.target) == (ChangeState.ROLLING, release(1).digest)
    assert len(await registry.releases("shop")) == 1


async def test_uploading_the_newest_again_brings_a_retired_release_back(registry: Registry) -> None:
    await fail(registry, await accept(registry, release(1)))
    await registry.remove("shop", purge=False, **WHO, now=1.0)
    assert await registry.retire("shop", [release(1).digest]) == (release(1).digest,)
    assert await registry.needed_blobs() == set()

    await accept(registry, release(1))
    assert await registry.needed_blobs() == set(release(1).blobs)


OLD = {"sequence": 10, "min_sequence": 5}


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (release(9), "release.downgrade"),
        (release(10, salt="another bundle of the same number"), "release.downgrade"),
        (release(1), "release.downgrade"),
        (release(11, epoch=0), "release.downgrade"),
        (release(2**63), "release.number"),
    ],
)
async def test_what_is_not_newer_is_refused_and_changes_nothing(registry: Registry, new: Release, code: str) -> None:
    await serve(registry, release(**OLD))
    before = await snapshot(registry)
    with pytest.raises(Refused) as caught:
        await registry.accept(new, new_roots=[root(1)], **WHO, now=1.0)
    assert caught.value.code == code
    assert await snapshot(registry) == before


@pytest.mark.parametrize(
    ("new", "floor"),
    [
        (release(11), Floor(epoch=1, sequence=11, min_sequence=5)),
        (release(11, min_sequence=2), Floor(epoch=1, sequence=11, min_sequence=5)),
        (release(11, min_sequence=9), Floor(epoch=1, sequence=11, min_sequence=9)),
        (release(1, epoch=2), Floor(epoch=2, sequence=1, min_sequence=0)),
    ],
)
async def test_floors_only_rise(registry: Registry, new: Release, floor: Floor) -> None:
    await serve(registry, release(**OLD))
    await accept(registry, new)
    assert await registry.floors() == {"shop": floor}


async def test_the_time_floor_never_falls(registry: Registry) -> None:
    await accept(registry, release(1, issued=2_000))
    await accept(registry, release(2, issued=1_000))
    assert await registry.time_floor() == 2_000


async def test_a_release_verified_against_an_older_root_is_sent_back(registry: Registry) -> None:
    await registry.add_roots([(1, root(1)), (2, root(2))], "a", "o")
    before = await snapshot(registry)
    with pytest.raises(Conflict) as caught:
        await registry.accept(release(1), trusted_root=1, **WHO, now=1.0)
    assert caught.value.code == "root.moved"
    assert await snapshot(registry) == before
    await registry.accept(release(1), trusted_root=2, new_roots=[root(3)], **WHO, now=1.0)


async def test_of_concurrent_uploads_the_order_of_arrival_never_ends_below_the_newest(registry: Registry) -> None:
    async def upload(sequence: int) -> bool:
        try:
            await accept(registry, release(sequence))
        except Refused as error:
            assert error.code == "release.downgrade"
            return False
        return True

    order = [(sequence * 7) % 20 + 1 for sequence in range(20)]
    taken = await asyncio.gather(*(upload(sequence) for sequence in order))

    accepted = [sequence for sequence, ok in zip(order, taken, strict=True) if ok]
    assert accepted == sorted(accepted)
    assert (await registry.floors())["shop"].sequence == 20
    active = [change for change in await registry.changes("shop", 100) if change.state.active]
    assert [change.target for change in active] == [release(20).digest]


async def test_two_apps_that_want_one_route_at_once_do_not_both_get_it(registry: Registry) -> None:
    wanted = [release(1, app, routes=("door.local",)) for app in ("a", "b", "c", "d")]
    results = await asyncio.gather(*(accept(registry, made) for made in wanted), return_exceptions=True)
    assert sorted(getattr(result, "code", "accepted") for result in results) == ["accepted"] + ["route.taken"] * 3
    assert len((await registry.desired()).apps) == 1


# -- rollback ----------------------------------------------------------------------------------------------------------


async def back(registry: Registry, to: str | None = None) -> str:
    """Roll back, to the end; returns the version that serves then."""
    change = await registry.rollback("shop", to=to, **WHO, now=300.0)
    assert change.kind is ChangeKind.ROLLBACK
    await finish(registry, change)
    [app] = (await registry.desired()).apps
    assert app.serving is not None
    return app.serving.version


async def test_rollback_goes_to_the_last_confirmed_release_before(registry: Registry) -> None:
    await serve(registry, release(1))
    await serve(registry, release(2))
    await fail(registry, await accept(registry, release(3)))
    await serve(registry, release(4))
    assert await back(registry) == "1.2"
    assert await back(registry) == "1.1"
    with pytest.raises(Missing) as caught:
        await back(registry)
    assert caught.value.code == "release.no_previous"


async def test_rollback_of_a_rollout_that_has_not_switched_goes_back_to_what_serves(registry: Registry) -> None:
    await serve(registry, release(1))
    await serve(registry, release(2))
    stuck = await accept(registry, release(3))
    assert await back(registry) == "1.2"
    assert (await registry.change(stuck.id)).state is ChangeState.SUPERSEDED


async def test_rollback_never_goes_to_what_was_given_up(registry: Registry) -> None:
    for sequence in (1, 2, 3, 4):
        await serve(registry, release(sequence))
    assert await registry.retire("shop", [release(2).digest]) == (release(2).digest,)
    assert await back(registry, "3") == "1.3"
    assert await back(registry) == "1.1"


@pytest.mark.parametrize(
    ("to", "version"),
    [
        ("1.1", "1.1"),
        ("1", "1.1"),
        ("2", "1.2"),
        (release(2).digest, "1.2"),
        (release(2).short, "1.2"),
        (release(2).digest[:13], "1.2"),
        (release(2).short[:6].upper(), "1.2"),
    ],
)
async def test_a_release_can_be_named_by_version_sequence_or_digest(registry: Registry, to: str, version: str) -> None:
    for sequence in (1, 2, 3):
        await serve(registry, release(sequence))
    assert await back(registry, to) == version


async def test_a_version_that_was_built_twice_means_the_newer_build(registry: Registry) -> None:
    for made in (release(1, version="2.0"), release(2, version="2.0"), release(3)):
        await serve(registry, made)
    change = await registry.rollback("shop", to="2.0", **WHO, now=1.0)
    assert change.target == release(2).digest


Setup = Callable[[Registry], Any]


async def _nothing(registry: Registry) -> None: ...


async def _floor_above(registry: Registry) -> None:
    await serve(registry, release(4, min_sequence=2))


async def _new_epoch(registry: Registry) -> None:
    await serve(registry, release(1, epoch=2))


async def _retired(registry: Registry) -> None:
    await registry.retire("shop", [release(1).digest])


async def _route_gone(registry: Registry) -> None:
    await serve(registry, release(4, routes=("new.local",)))
    await serve(registry, release(5, routes=("new.local",)))
    await serve(registry, release(1, "other", routes=("shop.local",)))


@pytest.mark.parametrize(
    ("setup", "to", "kind", "code"),
    [
        (_nothing, "1.3", Refused, "release.already_serving"),
        (_nothing, "9.9", Missing, "release.missing"),
        (_nothing, "99", Missing, "release.missing"),
        (_nothing, "sha256:" + "0" * 64, Missing, "release.missing"),
        (_nothing, "ab", Missing, "release.missing"),
        (_nothing, "' OR 1=1 --", Missing, "release.missing"),
        (_nothing, "%", Missing, "release.missing"),
        (_nothing, "9" * 400, Missing, "release.missing"),
        (_floor_above, "1.1", Refused, "release.below_floor"),
        (_new_epoch, "1.3", Refused, "release.below_floor"),
        (_new_epoch, None, Refused, "release.below_floor"),
        (_retired, "1.1", Missing, "release.retired"),
        (_route_gone, "1.3", Conflict, "route.taken"),
    ],
)
async def test_a_rollback_that_cannot_be_says_why_and_changes_nothing(
    registry: Registry, setup: Setup, to: str | None, kind: type[MinipaasError], code: str
) -> None:
    for sequence in (1, 2, 3):
        await serve(registry, release(sequence))
    await setup(registry)
    before = await snapshot(registry)
    with pytest.raises(kind) as caught:
        await registry.rollback("shop", to=to, **WHO, now=300.0)
    assert caught.value.code == code
    assert caught.value.message.startswith("cannot ")
    assert await snapshot(registry) == before


async def test_a_digest_prefix_that_fits_two_releases_is_ambiguous(registry: Registry) -> None:
    prefix, twins = _twins()
    for twin in twins:
        await serve(registry, twin)
    with pytest.raises(Invalid) as caught:
        await registry.rollback("shop", to=prefix, **WHO, now=1.0)
    assert caught.value.code == "release.ambiguous"


def _twins() -> tuple[str, list[Release]]:
    """Two releases whose digests begin with the same six digits: some thousand tries (the birthday paradox)."""
    seen: dict[str, str] = {}
    number = 0
    while True:
        text = f"twin {number}"
        prefix = digest(text)[7:13]
        if prefix in seen and not prefix.isdigit():
            pair = (digest(seen[prefix]), digest(text))
            return prefix, [msgspec.structs.replace(release(n), digest=twin) for n, twin in enumerate(pair, start=1)]
        seen[prefix] = text
        number += 1


async def test_rollback_of_what_was_never_here_is_missing(registry: Registry) -> None:
    with pytest.raises(Missing) as caught:
        await registry.rollback("ghost", **WHO, now=1.0)
    assert caught.value.code == "app.missing"


# -- restart and scale -------------------------------------------------------------------------------------------------

WEB = ServiceSpec(image="x", port=80, replicas=2, hooks=Hooks(release=("migrate",)))
DB = ServiceSpec(image="x", volumes={"data": "/data"})


def two(sequence: int = 1) -> Release:
    made = release(sequence, services={"web": WEB, "db": DB})
    return msgspec.structs.replace(made, images=dict.fromkeys(("web", "db"), made.images["web"]))


async def app_of(registry: Registry) -> AppDesired:
    [app] = (await registry.desired()).apps
    return app


async def test_a_restart_is_the_serving_release_run_anew(registry: Registry) -> None:
    await serve(registry, two())
    change = await registry.restart("shop", "web", **WHO, now=300.0)
    assert (change.kind, change.target, change.hooks_done) == (ChangeKind.RESTART, two().digest, ("web",))
    app = await app_of(registry)
    assert app.target is not None
    assert app.serving == app.good == two(), "what serves is as it was until the new instances have taken over"
    assert app.target.tuning == {"web": Tuning(restarted=change.id)}
    await finish(registry, change, 310.0)
    app = await app_of(registry)
    assert app.serving is not None
    assert app.serving.tuning == {"web": Tuning(restarted=change.id)}
    assert app.serving == app.good
    assert (await registry.releases("shop"))[0].outcome == "done"


async def test_a_restart_that_failed_leaves_everything_as_it_was(registry: Registry) -> None:
    await serve(registry, two())
    change = await registry.restart("shop", None, **WHO, now=300.0)
    switched = msgspec.structs.replace(change, state=ChangeState.CONFIRMING, switched=301.0)
    await registry.save_change(switched, serving=change.target)
    app = await app_of(registry)
    assert app.serving is not None
    assert set(app.serving.tuning) == {"web", "db"}
    assert app.good == two()
    back = msgspec.structs.replace(switched, state=ChangeState.ROLLED_BACK, ended=302.0)
    await registry.save_change(back, serving=change.fallback)
    app = await app_of(registry)
    assert app.serving == app.good == two()
    assert (await registry.releases("shop"))[0].outcome == "done", "it says nothing of the release"


async def test_a_scaled_service_stays_scaled_over_the_next_release(registry: Registry) -> None:
    await serve(registry, two())
    await finish(registry, await registry.scale("shop", "web", 5, **WHO, now=300.0))
    await finish(registry, await registry.restart("shop", "web", **WHO, now=310.0))
    await serve(registry, two(2), 320.0)
    app = await app_of(registry)
    assert app.serving is not None
    assert (app.serving.version, app.serving.spec.services["web"].replicas) == ("1.2", 5)
    await finish(registry, await registry.scale("shop", "web", None, **WHO, now=330.0))
    app = await app_of(registry)
    assert app.serving is not None
    assert app.serving.spec.services["web"].replicas == 2
    assert (await registry.release(two(2).digest)) == two(2), "the release itself is what was signed"


async def test_what_a_superseded_scaling_wanted_is_not_lost(registry: Registry) -> None:
    await serve(registry, two())
    await registry.scale("shop", "web", 3, **WHO, now=300.0)
    restart = await registry.restart("shop", "web", **WHO, now=301.0)
    assert restart.tuning == {"web": Tuning(replicas=3, restarted=restart.id)}
    deploy = await accept(registry, two(2))
    assert deploy.tuning == restart.tuning


async def test_a_number_that_no_longer_fits_rests(registry: Registry) -> None:
    await serve(registry, two())
    await finish(registry, await registry.scale("shop", "web", 3, **WHO, now=300.0))
    pinned = release(2, services={"web": DB, "db": ServiceSpec(image="x")})
    await serve(registry, pinned, 310.0)
    app = await app_of(registry)
    assert app.serving is not None
    assert app.serving.spec.services["web"].replicas == 1
    with pytest.raises(Refused):
        await registry.scale("shop", "web", 2, **WHO, now=320.0)


@pytest.mark.parametrize(
    ("service", "replicas", "code", "words"),
    [
        ("db", 2, "service.pinned", "cannot scale shop/db: it holds a volume, so it runs exactly once"),
        ("www", 2, "service.missing", "cannot scale shop/www: shop 1.1 has no such service"),
        ("web", 65, "service.replicas", "cannot scale shop/web to 65: it takes 0 to 64"),
        ("web", -1, "service.replicas", "cannot scale shop/web to -1: it takes 0 to 64"),
    ],
)
async def test_what_cannot_be_scaled(registry: Registry, service: str, replicas: int, code: str, words: str) -> None:
    await serve(registry, two())
    with pytest.raises(MinipaasError, match=words) as caught:
        await registry.scale("shop", service, replicas, **WHO, now=300.0)
    assert caught.value.code == code
    assert (await app_of(registry)).change is None


async def test_neither_is_begun_while_a_release_is_on_its_way(registry: Registry) -> None:
    with pytest.raises(Missing):
        await registry.restart("shop", None, **WHO, now=1.0)
    await fail(registry, await accept(registry, two()))
    with pytest.raises(Refused) as caught:
        await registry.restart("shop", None, **WHO, now=1.0)
    assert caught.value.code == "app.not_serving"
    await serve(registry, two(2))
    deploy = await accept(registry, two(3))
    for ask in (registry.restart("shop", None, **WHO, now=1.0), registry.scale("shop", "web", 3, **WHO, now=1.0)):
        with pytest.raises(Conflict, match=rf"change {deploy.id} \(deploy\) is under way") as clash:
            await ask
        assert clash.value.code == "change.under_way"


# -- remove ------------------------------------------------------------------------------------------------------------


async def test_a_removed_app_stays_desired_until_it_is_forgotten(registry: Registry) -> None:
    await serve(registry, release(3, min_sequence=2))
    change = await registry.remove("shop", purge=True, **WHO, now=400.0)
    assert (change.kind, change.state, change.target, change.purge) == (
        ChangeKind.REMOVE,
        ChangeState.REMOVING,
        None,
        True,
    )
    [app] = (await registry.desired()).apps
    assert (app.change, app.target, app.serving) == (change, None, release(3, min_sequence=2))

    done = msgspec.structs.replace(change, state=ChangeState.DONE, ended=410.0)
    await registry.save_change(done, forget_app=True)
    assert (await registry.desired()).apps == ()
    assert await registry.floors() == {"shop": Floor(epoch=1, sequence=3, min_sequence=2)}
    assert [change.kind for change in await registry.changes("shop", 9)] == [ChangeKind.REMOVE, ChangeKind.DEPLOY]
    with pytest.raises(Missing):
        await registry.remove("shop", purge=False, **WHO, now=420.0)
    with pytest.raises(Refused):
        await accept(registry, release(2))


async def test_what_a_removed_app_left_can_be_removed_later(registry: Registry) -> None:
    await serve(registry, release(1))
    gone = await registry.remove("shop", purge=False, **WHO, now=1.0)
    await registry.save_change(msgspec.structs.replace(gone, state=ChangeState.DONE, ended=2.0), forget_app=True)
    for purge, leftovers in ((False, True), (True, False)):
        with pytest.raises(Missing):
            await registry.remove("shop", purge=purge, leftovers=leftovers, **WHO, now=3.0)
    change = await registry.remove("shop", purge=True, leftovers=True, **WHO, now=4.0)
    [app] = (await registry.desired()).apps
    assert (app.change, app.serving, change.purge) == (change, None, True)


async def test_removing_twice_is_one_removal_unless_more_is_asked(registry: Registry) -> None:
    await serve(registry, release(1))
    first = await registry.remove("shop", purge=False, **WHO, now=1.0)
    again = await registry.remove("shop", purge=False, **WHO, now=2.0)
    assert again == first
    purge = await registry.remove("shop", purge=True, **WHO, now=3.0)
    assert purge.id != first.id
    assert (await registry.change(first.id)).state is ChangeState.SUPERSEDED


async def test_deploying_while_it_is_removed_takes_the_removal_back(registry: Registry) -> None:
    await serve(registry, release(1))
    removal = await registry.remove("shop", purge=False, **WHO, now=1.0)
    change = await accept(registry, release(2))
    assert (await registry.change(removal.id)).state is ChangeState.SUPERSEDED
    assert [app.change for app in (await registry.desired()).apps] == [change]


# -- audit -------------------------------------------------------------------------------------------------------------


async def test_every_mutation_says_who_what_and_from_where(registry: Registry) -> None:
    await registry.add_roots([(1, root(1))], "ann", "file root.json", now=1.0)
    await registry.accept(release(1), new_roots=[root(2)], actor="ann", origin="tcp 10.0.0.9", now=2.0)
    await finish(registry, await registry.change(1))
    await finish(registry, await registry.accept(release(2), actor="signature k1", origin="usb", now=3.0))
    await registry.rollback("shop", actor="bob", origin="socket", now=4.0)
    await registry.remove("shop", purge=True, actor="bob", origin="socket", now=5.0)
    await registry.add_token("ci", "deploy", 6.0, actor="bob", origin="socket")
    await registry.revoke_token("ci", actor="bob", origin="socket", now=7.0)

    rows = [
        (row.at, row.actor, row.action, row.subject, row.origin, row.result) for row in await registry.audit_log(50)
    ]
    assert rows[::-1] == [
        (1.0, "ann", "trust.add", "root 1", "file root.json", "added"),
        (2.0, "ann", "trust.add", "root 2", "tcp 10.0.0.9", "added"),
        (2.0, "ann", "deploy", f"shop 1.1 ({release(1).short})", "tcp 10.0.0.9", "change 1"),
        (3.0, "signature k1", "deploy", f"shop 1.2 ({release(2).short})", "usb", "change 2"),
        (4.0, "bob", "rollback", f"shop 1.1 ({release(1).short})", "socket", "change 3"),
        (5.0, "bob", "remove", "shop with its volumes", "socket", "change 4"),
        (6.0, "bob", "token.add", "ci (deploy)", "socket", "added"),
        (7.0, "bob", "token.revoke", "ci", "socket", "revoked"),
    ]
