"""The page: true, escaped, without inline code, and readable as it is."""

from __future__ import annotations

import html.parser
import re
from collections.abc import Iterator

import msgspec
import pytest

from minipaas.model.observed import Observed
from minipaas.model.spec import AppMeta, AppSpec, ServiceSpec
from tests.registry.made import accept, fail, finish, release, serve
from tests.surface.small import SECRET, SmallBox, instance
from tests.surface.test_apps import root

HOSTILE = "<script>alert(1)</script>'\"><img src=x onerror=alert(2)>"
PAGES = ("/", "/apps/shop", "/box")
VOID = {"meta", "link", "input", "img", "br", "hr"}


class Checked(html.parser.HTMLParser):
    """Fails on what the page must not have, and on tags that do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag != "img"
        assert not any(name.startswith("on") or name == "style" for name in given), f"inline code in {tag}"
        if tag == "script":
            assert (given.get("src") or "").startswith("/static/")
        for name in ("href", "src", "hx-get", "sse-connect"):
            if name in given:
                self.links.append(given[name] or "")
                assert re.match(r"(/|#|http://)", given[name] or ""), given[name]
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            assert not data.strip(), "an inline script"
        self.text += data


def read(text: str) -> Checked:
    page = Checked()
    page.feed(text)
    page.close()
    assert page.open == []
    assert len(page.ids) == len(set(page.ids)), "ids are what a refresh finds its way by"
    assert SECRET not in text
    return page


async def fetch(box: SmallBox, path: str, headers: dict[str, str] | None = None, role: str | None = None) -> Checked:
    async with await box.remote(role) as session, session.get(path, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        return read(await response.text())


async def hostile_box(box: SmallBox) -> None:
    """Everything that a stranger may fill in says something nasty."""
    spec = AppSpec(
        app=AppMeta(name="shop", version="1.1", description=HOSTILE),
        services={"web": ServiceSpec(image="x", port=1, routes=("shop.local",), env={"PASSWORD": SECRET})},
    )
    made = msgspec.structs.replace(release(1), spec=spec, signers=(HOSTILE,), version=HOSTILE)
    change = await accept(box.registry, made)
    row = await box.registry.begin_step(change.id, "shop", HOSTILE, HOSTILE, 10.0)
    await box.registry.end_step(row, False, HOSTILE, 11.0)
    await finish(box.registry, change)
    await fail(box.registry, await accept(box.registry, release(2)))
    third = await accept(box.registry, release(3))
    await box.registry.begin_step(third.id, "shop", "x", HOSTILE, 12.0)
    dead = instance(release=made.digest, name=HOSTILE, health_detail=HOSTILE, service=HOSTILE)
    alive = instance(release=made.digest, name=HOSTILE, health_detail=HOSTILE)
    box.control.observed = Observed(boot="b", instances=(dead, alive))
    box.control.trouble = HOSTILE
    await box.registry.add_roots([(1, root(1, "2050-01-01T00:00:00Z").replace(b"rrr", b"<b>"))], "me", HOSTILE)
    await box.registry.audit(actor=HOSTILE, action=HOSTILE, subject=HOSTILE, origin=HOSTILE, result=HOSTILE, now=1.0)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("role", [None, "read"])
async def test_nothing_that_is_filled_in_becomes_markup(box: SmallBox, path: str, part: bool, role: str | None) -> None:
    await hostile_box(box)
    page = await fetch(box, path, {"HX-Request": "true"} if part else None, role)
    assert HOSTILE in page.text


@pytest.mark.parametrize("path", PAGES)
async def test_a_part_is_the_inside_of_the_page(box: SmallBox, path: str) -> None:
    await serve(box.registry, release(1))
    async with await box.remote() as session:
        async with session.get(path) as response:
            whole = await response.text()
        async with session.get(path, headers={"HX-Request": "true"}) as response:
            part = await response.text()
    assert "<html" not in part
    inside = whole.partition('hx-swap="morph:innerHTML">\n')[2].partition("</main>")[0]
    without_clock = re.compile(r'data-(now|t)="[^"]*"|<time.*?</time>')
    title, _, rest = part.partition("</title>\n")
    assert without_clock.sub("", rest).strip() == without_clock.sub("", inside).strip()
    assert title.startswith("<title>")


async def test_the_page_says_what_is_wrong(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    page = await fetch(box, "/")
    assert "1 app needs you: shop is down." in page.text
    box.control.observed = Observed(
        boot="b", instances=(instance(release=release(1).digest, health_detail="GET /: 200"),)
    )
    assert "GET /: 200" in (await fetch(box, "/apps/shop")).text
    page = await fetch(box, "/")
    assert "Everything runs." in page.text
    assert "http://shop.local:8080/" in page.links
    assert "/apps/shop" in page.links


async def test_an_empty_box_says_what_to_do_next(box: SmallBox) -> None:
    page = await fetch(box, "/")
    assert "minipaas trust add root.json" in page.text
    assert "minipaas deploy FILE.bundle" in page.text


async def test_a_change_under_way_is_shown_step_by_step(box: SmallBox) -> None:
    change = await accept(box.registry, release(1))
    row = await box.registry.begin_step(change.id, "shop", "StartInstance", "start web #1", 10.0)
    assert "start web #1" in (await fetch(box, "/")).text
    page = await fetch(box, "/apps/shop")
    assert "start web #1" in page.text
    assert "under way" in page.text
    assert f"change-{change.id}" in page.ids
    await box.registry.end_step(row, False, "exit code 1", 12.0)
    await fail(box.registry, change)
    page = await fetch(box, "/apps/shop")
    assert "exit code 1" in page.text
    assert "web #1: exit code 1" in page.text
    assert "It has never served" in page.text


async def test_what_happened_is_told_page_by_page(box: SmallBox) -> None:
    for number in range(1, 41):
        await serve(box.registry, release(number), number * 100.0)
    page = await fetch(box, "/apps/shop")
    assert "the deploy of 1.40 is done" in page.text
    assert "/apps/shop/events" in page.links
    page = await fetch(box, "/apps/shop/events")
    assert "the deploy of 1.40 is done" in page.text
    (older,) = (link for link in page.links if "before=" in link)
    page = await fetch(box, older)
    assert "the deploy of 1.40 is done" not in page.text
    assert "the deploy of 1.2 is done" in page.text
    page = await fetch(box, "/apps/shop/events", {"Accept-Language": "zh"})
    assert "1.40" in page.text
    assert "the deploy" not in page.text
    async with await box.remote() as session:
        for path in ("/apps/shop/events?before=x", "/apps/none/events"):
            async with session.get(path) as response:
                assert response.status == 404


async def test_a_removed_app_keeps_its_story(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    change = await box.registry.remove("shop", purge=False, actor="me", origin="here", now=300.0)
    ended = msgspec.structs.replace(change, ended=301.0, state=type(change.state).DONE)
    await box.registry.save_change(ended, forget_app=True)
    page = await fetch(box, "/apps/shop")
    assert "removed" in page.text
    async with await box.remote() as session, session.get("/apps/never") as response:
        assert response.status == 404


async def test_the_audit_is_only_for_those_who_may_read_it(box: SmallBox) -> None:
    await serve(box.registry, release(1))
    stranger = await fetch(box, "/box")
    assert "change 1" not in stranger.text
    assert "You do not see who did what. That needs a token that may look: Sign in." in stranger.text
    assert "change 1" in (await fetch(box, "/box", role="read")).text
    assert "change 1" in (await fetch(box, "/audit", role="read")).text
    browser = {"headers": {"Accept": "text/html"}, "allow_redirects": False}
    async with await box.remote() as session, session.get("/audit", **browser) as response:
        assert (response.status, response.headers["Location"]) == (303, "/sign-in?next=/audit")


def _links(page: Checked) -> Iterator[str]:
    yield from (link for link in page.links if link.startswith("/"))


@pytest.mark.parametrize("path", PAGES)
async def test_every_link_of_ours_leads_somewhere(box: SmallBox, path: str) -> None:
    await serve(box.registry, release(1))
    page = await fetch(box, path)
    async with await box.remote() as session:
        for link in _links(page):
            async with session.get(link) as response:
                assert response.status == 200, link
                if link.startswith("/static/"):
                    assert "immutable" in response.headers["Cache-Control"]
                    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_browser_is_told_in_html_and_a_program_in_json(box: SmallBox) -> None:
    async with await box.remote() as session:
        async with session.get("/apps/none", headers={"Accept": "text/html,*/*"}) as response:
            assert (response.status, response.content_type) == (404, "text/html")
            assert "cannot find app none" in read(await response.text()).text
        async with session.get("/apps/none") as response:
            assert (response.status, response.content_type) == (404, "application/json")
        async with session.get("/api/v1/apps/none", headers={"Accept": "text/html"}) as response:
            assert response.content_type == "application/json"


async def test_licences_travel_with_the_files(box: SmallBox) -> None:
    async with await box.remote() as session:
        for name in ("htmx", "idiomorph", "uplot", "xterm", "addon-fit"):
            async with session.get(f"/static/{name}.LICENSE.txt") as response:
                assert response.status == 200
                text = await response.text()
                assert "Permission to use, copy, modify" in text or "Permission is hereby granted" in text


async def test_a_known_file_is_not_sent_again(box: SmallBox) -> None:
    async with await box.remote() as session:
        async with session.get("/static/style.css") as response:
            tag = response.headers["ETag"]
        async with session.get("/static/style.css", headers={"If-None-Match": tag}) as again:
            assert again.status == 304
