"""Who was inside, on the page: the list on the app's page, all of them, and a session that is played again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from playwright.async_api import expect

from tests.boxes import RunningBox, toml
from tests.browser.fixtures import Visit
from tests.browser.test_app_page import operator
from tests.browser.test_terminal import ROWS, open_shell, typed
from tests.browser.visitor import PHONE
from tests.forensics.made import lease


async def test_a_session_is_found_and_played_again(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    one = await operator(box, visit)
    await open_shell(one, "the orders are late")
    await typed(one, "echo $((6*7)) is what it said; exit 3")
    await expect(one.page.locator("#told")).to_have_text("It has ended with exit code 3.")

    await one.open("/apps/shop")
    row = one.page.locator("#accesses tbody tr")
    await expect(row).to_have_count(1)
    for text in ("token laptop", "a shell", "web-1-1", "exit code 3", "the orders are late"):
        await expect(row).to_contain_text(text)
    assert await one.overflow() == ""
    await row.get_by_role("link", name="Watch what token laptop via page saw in web-1-1").press("Enter")

    rows = one.page.locator(ROWS)
    await expect(rows).to_contain_text("42 is what it said")
    assert await one.barriers() == []
    place = one.page.get_by_role("slider", name="Place in the recording")
    await place.press("Home")
    await expect(rows).not_to_contain_text("42 is what it said")
    await one.page.get_by_label("Speed").select_option("16")
    await one.page.get_by_role("button", name="Play").press("Enter")
    await expect(rows).to_contain_text("42 is what it said")
    await expect(one.page.get_by_role("button", name="Play")).to_be_visible()  # it is over
    await expect(one.page.get_by_text("minipaas access play")).to_be_visible()
    async with one.page.expect_download() as downloading:
        await one.page.get_by_role("link", name="Download the recording").click()
    path = Path(await (await downloading.value).path())
    header = json.loads((await asyncio.to_thread(path.read_text)).splitlines()[0])
    assert header["version"] == 2

    looker = await visit(box.url)
    await looker.sign_in(await box.token("read", "looker"))
    await looker.open("/apps/shop/accesses")
    await looker.page.get_by_role("link", name="Watch").click()
    await expect(looker.page.locator("#recording")).to_contain_text("for those who may go in themselves")
    assert await looker.page.locator("#player").count() == 0

    stranger = await visit(box.url)
    await stranger.open("/apps/shop")
    await expect(stranger.page.locator("#releases")).to_be_visible()
    assert await stranger.page.locator("#accesses").count() == 0, "who is not signed in sees nobody"


async def test_there_are_always_older_ones(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    for number in range(1000, 1070):
        await box.control.access.kept.add(lease(number, ended=float(number + 5), reason=f"look {number}"))
    one = await visit(box.url, viewport=PHONE, color_scheme="dark")
    await one.sign_in(await box.token("read", "phone"))
    await one.open("/apps/shop")
    await expect(one.page.locator("#accesses tbody tr")).to_have_count(8)
    await one.page.get_by_role("link", name="All accesses").click()
    rows = one.page.locator("#accesses tbody tr")
    await expect(rows).to_have_count(30)
    await expect(rows.first).to_contain_text("look 1069")
    assert await one.barriers() == []
    assert await one.overflow() == ""
    for first, count in (("look 1039", 30), ("look 1009", 10)):
        await one.page.get_by_role("link", name="Older").click()
        await expect(rows.first).to_contain_text(first)
        await expect(rows).to_have_count(count)
    await expect(one.page.get_by_role("link", name="Older")).to_have_count(0)
    await rows.first.get_by_role("link", name="Look at what root via socket did in web-1-1").click()
    await expect(one.page.locator("#recording")).to_contain_text("There is no recording of it.")


async def test_a_recording_that_is_broken_is_said_and_a_command_has_its_lines(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    kept = box.control.access.kept
    for number, kind in ((2000, "exec"), (2001, "shell")):
        made = lease(number, kind=kind, what="ls", recording=True, ended=float(number + 5))
        recording = kept.record(made)
        recording.begin(80, 24, "ls")
        recording.output(b"<script>\nsecond line\n")
        recording.close()
        await kept.add(made)
    one = await operator(box, visit)
    await one.open(f"/apps/shop/accesses/{lease(2000).id}")
    await expect(one.page.locator(f"{ROWS} > div").nth(1)).to_have_text("second line")
    await expect(one.page.locator(f"{ROWS} > div").first).to_have_text("<script>")

    broken = box.control.data / "access" / f"{lease(2001).id}.cast"
    await asyncio.to_thread(broken.write_text, "no asciicast")
    await one.open(f"/apps/shop/accesses/{lease(2001).id}")
    await expect(one.page.locator("#told")).to_have_text(
        "The recording cannot be shown here. It can still be downloaded."
    )
    one.expect("404")
    assert (await one.open(f"/apps/shop/accesses/{lease(3).id}")).status == 404
    assert (await one.open("/apps/blog/accesses/" + lease(2000).id)).status == 404, "it is another app's"
