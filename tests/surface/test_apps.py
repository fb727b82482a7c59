"""What the API tells of apps, and what it lets be done to them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from minipaas.model.config import Config, LimitsConfig
from minipaas.model.observed import HealthState, InstanceState, Note, Observed
from minipaas.model.route import Backend, Route, RouteEntry
from minipaas.model.spec import ServiceSpec
from minipaas.model.units import Size
from minipaas.surface.wire import Apps, AppView, Releases
from minipaas.surface.wire_box import Audit, BoxView
from minipaas.surface.wire_trust import TrustView
from tests.registry.made import accept, fail, release, serve
from tests.surface.small import SECRET, SmallBox, instance, small_box

WEB = ServiceSpec(
    image="x",
    port=8080,
    replicas=2,
    routes=("shop.local", "*/api", "*.shops.local"),
    env={"PASSWORD": SECRET},
    memory=Size(2**28),
)


async def get(box: SmallBox, path: str, kind: type, role: str | None = None):  # type: ignore[no-untyped-def]
    async with await box.remote(role) as session, session.get(path) as response:
        assert response.status == 200, await response.text()
        body = await response.read()
        assert SECRET.encode() not in body
        return msgspec.json.decode(body, type=kind)


async def test_an_app_with_everything(box: SmallBox) -> None:
    made = release(1, services={"web": WEB, "worker": ServiceSpec(image="x")})
    await serve(box.registry, made)
    dead = instance(
        slot=2, release=made.digest, state=InstanceState.EXITED, exit_code=1, finished=60.0, health=HealthState.UNKNOWN
    )
    alive = instance(release=made.digest, health_detail="GET /healthz: 200")
    route = RouteEntry(Route("shop.local", "/"), "shop", "web", (Backend(alive.id, "127.0.0.1", 1),))
    box.control.observed = Observed(boot="b", instances=(dead, alive), routes=(route,))
    app = await get(box, "/api/v1/apps/shop", AppView)
    web, worker = app.services
    assert (app.state, app.needs_you, app.serving.version) == ("down", True, "1.1")
    assert (web.state, web.healthy, web.replicas, web.memory) == ("degraded", 1, 2, 2**28)
    assert [(i.slot, i.word, i.detail) for i in web.instances] == [
        (1, "healthy", "GET /healthz: 200"),
        (2, "exited", "exit code 1"),
    ]
    assert (worker.state, worker.instances) == ("down", ())
    assert [(r.route, r.url, r.backends) for r in app.routes] == [
        ("shop.local", "http://shop.local:8080/", 1),
        ("*/api", "http://127.0.0.1:8080/api", 0),
        ("*.shops.local", "", 0),
    ]


async def test_the_most_urgent_app_comes_first(box: SmallBox) -> None:
    for name in ("alpha", "beta", "gamma"):
        await serve(box.registry, release(1, name))
    await fail(box.registry, await accept(box.registry, release(1, "delta")))
    running = tuple(instance(name, release=release(1, name).digest) for name in ("alpha", "gamma"))
    box.control.observed = Observed(boot="b", instances=running)
    apps = await get(box, "/api/v1/apps", Apps)
    assert [(app.name, app.state.value) for app in apps.apps] == [
        ("beta", "down"),
        ("delta", "failed"),
        ("alpha", "running"),
        ("gamma", "running"),
    ]
    assert (apps.well, apps.sentence) == (False, "2 apps need you: beta is down, delta has never served.")


async def test_a_rollout_shows_both_releases_instances(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    await accept(box.registry, release(2))
    new = instance(generation=2, release=release(2).digest, health=HealthState.STARTING)
    box.control.observed = Observed(boot="b", instances=(instance(release=release(1).digest), new))
    app = await get(box, "/api/v1/apps/shop", AppView)
    assert (app.state, app.change.version, app.change.fallback_version) == ("changing", "1.2", "1.1")
    assert {i.version for i in app.services[0].instances} == {"1.1", "1.2"}


async def test_what_was_stopped_on_purpose_is_no_failure(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    old = instance(generation=1, state=InstanceState.EXITED, exit_code=143, release=release(1).digest)
    new = instance(generation=2, release=release(1).digest)
    box.control.observed = Observed(boot="b", instances=(old, new), notes={old.id: Note(stopped="replaced")})
    app = await get(box, "/api/v1/apps/shop", AppView)
    assert (app.state, [i.word for i in app.services[0].instances]) == ("running", ["healthy", "stopped"])


async def test_an_instance_of_a_forgotten_service_and_release_is_still_shown(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    stray = instance(service="old", release="sha256:" + "0" * 64)
    box.control.observed = Observed(boot="b", instances=(instance(release=release(1).digest), stray))
    app = await get(box, "/api/v1/apps/shop", AppView)
    assert [(s.name, len(s.instances), s.instances[0].version) for s in app.services] == [
        ("web", 1, "1.1"),
        ("old", 1, None),
    ]


async def test_releases_newest_first_and_kept_after_removal(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    await serve(box.registry, release(2), 300.0)
    listed = (await get(box, "/api/v1/apps/shop/releases", Releases)).releases
    assert [(r.version, r.serving, r.good, r.outcome) for r in listed] == [
        ("1.2", True, True, "done"),
        ("1.1", False, False, "done"),
    ]


async def test_going_back(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    await serve(box.registry, release(2), 300.0)
    async with await box.remote("deploy") as session:
        async with session.post("/api/v1/apps/shop/rollback", json={}) as response:
            assert response.status == 202
            assert (await response.json())["version"] == "1.1"
        async with session.post("/api/v1/apps/shop/rollback", json={"to": "9.9"}) as response:
            assert response.status == 404
        async with session.post("/api/v1/apps/shop/rollback") as response:
            assert response.status == 202, "an empty body means the one before"


@pytest.mark.parametrize(("query", "purge"), [("", False), ("?volumes=false", False), ("?volumes=true", True)])
async def test_removing_keeps_volumes_unless_told(box: SmallBox, query: str, purge: bool) -> None:
    await serve(box.registry, release(1))
    async with await box.remote("admin") as session, session.delete(f"/api/v1/apps/shop{query}") as response:
        assert response.status == 202
        body = await response.json()
    assert (await box.registry.change(body["change"])).purge is purge
    assert body["version"] is None


async def test_facts_of_the_box(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    box.control.observed = Observed(boot="b", instances=(instance(),))
    facts = await get(box, "/api/v1/box", BoxView)
    assert (facts.podman.version, facts.ingress, facts.id) == ("4.3.1", ("0.0.0.0:8080",), box.registry.box_id)
    assert (facts.counts.apps, facts.counts.services, facts.counts.healthy) == (1, 1, 1)
    assert facts.disk.free > 0
    assert facts.clock.floor >= 1_700_000_001, "it cannot be earlier than the newest release"
    assert facts.root_version is None


async def test_a_box_in_trouble_says_so(tmp_path: Path) -> None:
    config = Config(limits=LimitsConfig(reserve=Size(2**60)))
    async with small_box(tmp_path, config) as box:
        box.control.trouble = "cannot reach Podman: no such file"
        apps = await get(box, "/api/v1/apps", Apps)
        assert not apps.well
        assert "The disk is nearly full" in apps.sentence
        assert "cannot reach Podman: no such file" in apps.sentence


def root(version: int, expires: str = "2050-01-01T00:00:00Z") -> bytes:
    roles = {
        "root": {"keyids": ["r" * 64], "threshold": 1},
        "targets": {"keyids": ["a" * 64, "b" * 64], "threshold": 2},
    }
    return msgspec.json.encode({"signed": {"version": version, "expires": expires, "keys": {}, "roles": roles}})


async def test_trust_is_listed_and_added(box: SmallBox) -> None:
    async with box.local() as session:
        for version, expires in ((1, "2020-01-01T00:00:00Z"), (2, "2050-01-01T00:00:00Z")):
            async with session.post("/api/v1/trust", data=root(version, expires)) as response:
                assert response.status == 201
        async with session.post("/api/v1/trust", data=b"nonsense") as response:
            assert response.status == 422
    trust = await get(box, "/api/v1/trust", TrustView)
    assert [(r.version, r.epoch, r.expired, len(r.keys), r.threshold) for r in trust.roots] == [
        (1, 1, True, 2, 2),
        (2, 1, False, 2, 2),
    ]


async def test_the_audit_is_read_in_pages(box: SmallBox) -> None:
    for number in range(1, 6):
        await serve(box.registry, release(number), number * 100.0)
    first = await get(box, "/api/v1/audit?limit=2", Audit, "read")
    rest = await get(box, f"/api/v1/audit?before={first.rows[-1].id}", Audit, "read")
    ids = [row.id for row in (*first.rows, *rest.rows)]
    assert len(first.rows) == 2
    assert ids == sorted(set(ids), reverse=True)
    assert {row.action for row in rest.rows} >= {"deploy"}


async def test_the_audit_is_asked_for_a_part_of_it(box: SmallBox) -> None:
    await serve(box.registry, release(1), 100.0)
    await box.registry.audit(
        actor="token ci", action="deploy", subject="a bundle", origin="tcp", result="refused: x: y", now=200.0
    )
    refused = await get(box, "/api/v1/audit?result=refused&actor=CI&action=deploy&since=150&until=201", Audit, "read")
    assert [(row.actor, row.at) for row in refused.rows] == [("token ci", 200.0)]
    done = await get(box, "/api/v1/audit?app=shop&result=done&until=150", Audit, "read")
    assert {row.app for row in done.rows} == {"shop"}
    async with await box.remote("read") as session, session.get("/api/v1/audit?result=maybe") as response:
        assert response.status == 400
