"""Certificates over the API and the command line."""

from __future__ import annotations

import time
from pathlib import Path

from minipaas.certs.keeper import Keeper
from minipaas.certs.limits import Limits
from minipaas.model.observed import Observed
from minipaas.model.release import TrustedTime
from minipaas.model.route import Route, RouteEntry
from tests.certs.made import OtherCa
from tests.surface.small import SmallBox


async def with_tls(box: SmallBox, tmp_path: Path, *own: Path) -> Keeper:
    async def clock() -> TrustedTime:
        return TrustedTime(clock=time.time(), floor=0, synced=True)

    keeper = await Keeper.open(
        tmp_path / "tls", box.registry.box_id, [(one, one) for one in own], clock, Limits(damp=0)
    )
    routes = (Route("shop.local", "/"), Route("shop.local", "/api"), Route("own.example", "/"), Route("*", "/x"))
    keeper.routed = lambda: {route.host for route in routes}
    await keeper.look()
    box.control.certificates = keeper
    box.control.ingress.secure = (("0.0.0.0", 8443),)
    box.control.observed = Observed(
        boot="boot-1", routes=tuple(RouteEntry(route, "shop", "web", ()) for route in routes)
    )
    return keeper


async def test_the_list(box: SmallBox, tmp_path: Path) -> None:
    path = OtherCa().file(tmp_path / "own.pem", "own.example", now=time.time(), days=10)
    keeper = await with_tls(box, tmp_path, path)
    async with box.local() as session, session.get("/api/v1/certificates") as answer:
        told = await answer.json()
    assert (told["enabled"], told["redirect"], told["https"]) == (True, True, ["0.0.0.0:8443"])
    assert told["authority"]["fingerprint"] == keeper.authority.facts.fingerprint
    own, made = told["certificates"]
    assert (own["source"], own["file"], own["routes"], own["days_left"]) == ("file", str(path), ["own.example"], 9)
    assert own["trouble"] == "it ends in 9 days"
    assert told["trouble"] == [f"certificate {path}: it ends in 9 days"]
    assert (made["source"], made["names"], made["trouble"]) == ("internal", ["shop.local"], "")
    assert made["routes"] == ["shop.local", "shop.local/api"]
    assert made["days_left"] > 700


async def test_anybody_near_may_have_the_root(box: SmallBox, tmp_path: Path) -> None:
    path = OtherCa().file(tmp_path / "own.pem", "own.example", now=time.time())
    keeper = await with_tls(box, tmp_path, path)
    async with await box.remote() as session:
        async with session.get("/ca.pem") as answer:
            assert answer.status == 200
            assert await answer.read() == keeper.authority.pem
        async with session.post("/api/v1/certificates/reload") as answer:
            assert answer.status == 401


async def test_reload(box: SmallBox, tmp_path: Path) -> None:
    path = OtherCa().file(tmp_path / "own.pem", "own.example", now=time.time())
    await with_tls(box, tmp_path, path)
    OtherCa().file(path, "own.example", "more.example", now=time.time())
    async with box.local() as session:
        async with session.post("/api/v1/certificates/reload") as answer:
            told = await answer.json()
        assert ["own.example", "more.example"] in [one["names"] for one in told["certificates"]]
        path.write_text("nonsense")
        async with session.post("/api/v1/certificates/reload") as answer:
            told = await answer.json()
        assert answer.status == 200
        assert ["own.example", "more.example"] in [one["names"] for one in told["certificates"]]
        (trouble,) = told["trouble"]
        assert trouble.startswith(f"cannot use {path}")


async def test_without_tls(box: SmallBox) -> None:
    async with box.local() as session:
        async with session.get("/api/v1/certificates") as answer:
            told = await answer.json()
        assert (told["enabled"], told["authority"], told["certificates"], told["trouble"]) == (False, None, [], [])
        for method, path in (("GET", "/ca.pem"), ("POST", "/api/v1/certificates/reload")):
            async with session.request(method, path) as answer:
                assert answer.status == 404
                assert (await answer.json())["error"]["code"] == "certificate.off"
