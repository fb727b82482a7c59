"""What changed between two releases, on the page."""

from __future__ import annotations

import pytest

from tests.surface.small import SECRET, SmallBox
from tests.surface.test_diffs import fill
from tests.surface.test_page import read


async def get(box: SmallBox, path: str, role: str | None = None) -> tuple[int, str]:
    headers = {"Accept": "text/html"}
    async with await box.remote(role) as session, session.get(f"/apps/shop{path}", headers=headers) as response:
        return response.status, await response.text()


async def test_every_release_leads_to_what_changed_in_it(box: SmallBox) -> None:
    await fill(box)
    _, text = await get(box, "")
    links = [link for link in read(text).links if link.endswith("/diff")]
    assert len(set(links)) == 4
    for link in set(links):
        status, page = await get(box, link.removeprefix("/apps/shop"))
        assert status == 200
        assert "services.web.port" in read(page).text


async def test_what_it_says(box: SmallBox) -> None:
    await fill(box)
    _, text = await get(box, "/releases/1.4/diff")
    page = read(text)
    assert "From 1.3 to 1.4" in page.text
    assert "<del>83</del>" in text
    assert "<ins>84</ins>" in text
    assert "not shown" in page.text, "commands are for those who may read logs"
    assert SECRET not in (await get(box, "/releases/1.2/diff?from=1.1", "admin"))[1]


@pytest.mark.parametrize(
    "path", ["/releases/9.9/diff", "/releases/1.4/diff?from=9.9", "/releases/1.4/diff?from=%3Cb%3E"]
)
async def test_what_is_not_there_is_told(box: SmallBox, path: str) -> None:
    await fill(box)
    status, text = await get(box, path)
    assert status == 404
    assert "cannot" in read(text).text
