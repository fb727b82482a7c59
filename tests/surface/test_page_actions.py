"""What may be done on the page: told before it is done, done as by the API, and refused where it was asked for."""

from __future__ import annotations

import json

import aiohttp
import msgspec
import pytest

from minipaas.model.change import ChangeKind
from minipaas.model.observed import Observed
from minipaas.model.release import Release
from minipaas.model.spec import ServiceSpec
from tests.registry.made import release, serve
from tests.surface.small import SmallBox, csrf_of, instance
from tests.surface.test_page import read
from tests.surface.test_sessions import browser, sign_in, token

ACTIONS = ("rollback", "restart", "scale", "remove")
SERVICES = {
    "web": ServiceSpec(image="x", port=8080, routes=("shop.local",)),
    "db": ServiceSpec(image="x", volumes={"data": "/data"}),
}


def made(sequence: int) -> Release:
    web = release(sequence, services=SERVICES)
    return msgspec.structs.replace(web, images={"web": web.images["web"], "db": web.images["web"]})


async def a_shop(box: SmallBox) -> None:
    """Two good releases; the second serves, with a volume."""
    await serve(box.registry, made(1))
    await serve(box.registry, made(2), 300.0)
    alive = instance(release=made(2).digest)
    volumes = frozenset({"minipaas-shop.data"})
    box.control.observed = Observed(boot="b", instances=(alive,), volumes=volumes)


async def post(
    visitor: aiohttp.ClientSession, action: str, form: dict[str, str], headers: dict[str, str] | None = None
) -> tuple[aiohttp.ClientResponse, str]:
    fields = {"csrf": await csrf_of(visitor), **form}
    async with visitor.post(f"/apps/shop/{action}", data=fields, headers=headers, allow_redirects=False) as response:
        return response, await response.text()


async def last_change(box: SmallBox) -> tuple[ChangeKind, str]:
    change = (await box.registry.changes("shop", 1))[0]
    return change.kind, change.actor


@pytest.mark.parametrize(
    ("action", "query", "told"),
    [
        ("rollback", "", "Roll shop back to 1.1?"),
        ("rollback", f"?to={made(1).digest}", "Roll shop back to 1.1?"),
        ("restart", "?service=web", "Restart web of shop?"),
        ("scale", "?service=web&replicas=3", "Change how many instances of web run?"),
        ("remove", "", "Type shop to go on:"),
    ],
)
async def test_first_it_is_told_what_will_happen(box: SmallBox, action: str, query: str, told: str) -> None:
    await a_shop(box)
    before = len(await box.registry.changes("shop", 50))
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        async with visitor.get(f"/apps/shop/{action}{query}") as response:
            assert response.status == 200
            text = await response.text()
    page = read(text)
    assert told in page.text
    assert "steps that this takes" in page.text
    assert ("it is given up" if action == "remove" else "it is taken back") in page.text
    assert len(await box.registry.changes("shop", 50)) == before, "looking does nothing"
    if action == "remove":
        assert "minipaas-shop.data" in page.text
        assert "delete it for good" in page.text


@pytest.mark.parametrize(
    ("action", "form", "kind"),
    [
        ("rollback", {"to": ""}, ChangeKind.ROLLBACK),
        ("restart", {"service": ""}, ChangeKind.RESTART),
        ("scale", {"service": "web", "replicas": "3"}, ChangeKind.SCALE),
        ("remove", {"name": "shop", "volumes": "delete"}, ChangeKind.REMOVE),
    ],
)
@pytest.mark.parametrize("by_script", [False, True])
async def test_then_it_is_done_and_the_audit_says_by_whom(
    box: SmallBox, action: str, form: dict[str, str], kind: ChangeKind, by_script: bool
) -> None:
    await a_shop(box)
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        response, _ = await post(visitor, action, form, {"HX-Request": "true"} if by_script else None)
    change = (await box.registry.changes("shop", 1))[0]
    assert (change.kind, change.actor) == (kind, "token ci via page")
    assert change.purge == (kind is ChangeKind.REMOVE)
    if by_script:
        assert response.status == 204
        assert json.loads(response.headers["HX-Trigger"]) == {"begun": {"change": change.id}}
    else:
        assert (response.status, response.headers["Location"]) == (303, f"/apps/shop#change-{change.id}")


@pytest.mark.parametrize(
    ("action", "form", "status", "why"),
    [
        ("remove", {"name": "shopp"}, 422, "what was typed is not its name"),
        ("remove", {}, 422, "what was typed is not its name"),
        ("scale", {"service": "web", "replicas": "many"}, 422, "it is not a number from 0 to 64"),
        ("scale", {"service": "web", "replicas": "65"}, 422, "it is not a number from 0 to 64"),
        ("scale", {"service": "web", "replicas": "-1"}, 422, "it is not a number from 0 to 64"),
        ("scale", {"service": "none", "replicas": "1"}, 404, "cannot scale"),
        ("rollback", {"to": "9.9"}, 404, "9.9"),
        ("restart", {"service": "<b>"}, 404, "cannot restart"),
    ],
)
async def test_a_refusal_is_told_where_it_was_asked_for(
    box: SmallBox, action: str, form: dict[str, str], status: int, why: str
) -> None:
    await a_shop(box)
    before = len(await box.registry.changes("shop", 50))
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        response, text = await post(visitor, action, form)
    assert response.status == status
    page = read(text)
    assert why in page.text
    assert 'role="alert"' in text
    assert 'href="/apps/shop"' in text, "and back"
    if form.get("name"):
        assert f'value="{form["name"]}"' in text, "what was typed is still there"
    assert len(await box.registry.changes("shop", 50)) == before


@pytest.mark.parametrize(
    "form",
    [{"name": "shop", "volumes": "burn"}, {"name": "shop", "force": "1"}, {"name": "shop", "app": "other"}],
)
async def test_a_field_that_is_not_ours_is_refused(box: SmallBox, form: dict[str, str]) -> None:
    await a_shop(box)
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        response, _ = await post(visitor, "remove", form)
        assert response.status == 400
    assert (await last_change(box))[0] is ChangeKind.DEPLOY


@pytest.mark.parametrize("action", ACTIONS)
async def test_without_its_pages_secret_nothing_is_done(box: SmallBox, action: str) -> None:
    await a_shop(box)
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        form = {"name": "shop", "csrf": "guess"} if action == "remove" else {"csrf": "guess"}
        async with visitor.post(f"/apps/shop/{action}", data=form) as response:
            assert response.status == 403
            assert "load the page again" in await response.text()
    assert (await last_change(box))[0] is ChangeKind.DEPLOY


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_stranger_is_sent_to_sign_in_and_comes_back(box: SmallBox, action: str) -> None:
    await a_shop(box)
    async with browser(box) as visitor, visitor.get(f"/apps/shop/{action}") as response:
        assert response.url.path_qs == f"/sign-in?next=/apps/shop/{action}"


@pytest.mark.parametrize(
    ("role", "sees"),
    [(None, set()), ("read", set()), ("deploy", {"rollback", "restart", "scale"}), ("admin", set(ACTIONS))],
)
async def test_everybody_sees_what_they_may_do_and_else_why_not(
    box: SmallBox, role: str | None, sees: set[str]
) -> None:
    await a_shop(box)
    async with browser(box) as visitor:
        if role is not None:
            await sign_in(visitor, await token(box, role))
        async with visitor.get("/apps/shop") as response:
            text = await response.text()
    assert {action for action in ACTIONS if f"/apps/shop/{action}" in text} == sees
    assert ("with a token for" in text) == (role != "admin")


async def test_a_service_that_runs_once_says_why_instead_of_a_stepper(box: SmallBox) -> None:
    await a_shop(box)
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "deploy"))
        async with visitor.get("/apps/shop") as response:
            text = await response.text()
    assert 'id="replicas-web"' in text
    assert 'id="replicas-db"' not in text
    assert text.count("it cannot be scaled") == 1
    assert "/apps/shop/restart?service=db" in text


async def test_an_app_that_is_not_there_has_no_actions(box: SmallBox) -> None:
    async with browser(box) as visitor:
        await sign_in(visitor, await token(box, "admin"))
        for action in ACTIONS:
            async with visitor.get(f"/apps/none/{action}?service=web") as response:
                assert response.status == 404
                assert "cannot" in read(await response.text()).text
