"""The box page and the audit, as an operator uses them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from minipaas.bundle.root import rotate_root
from tests.boxes import RunningBox
from tests.browser.fixtures import Visit
from tests.bundle.builders import default_trust, make_trust


async def test_a_token_is_made_shown_once_used_and_revoked(box: RunningBox, visit: Visit) -> None:
    admin = await visit(box.url)
    await admin.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await admin.sign_in(await box.token("admin", "laptop"))
    page = admin.page
    await admin.open("/box")
    await page.get_by_label("Name of a new token").fill("ci")
    await page.get_by_label("May").select_option("deploy")
    await page.get_by_role("button", name="Make a token").click()
    await expect(page.get_by_role("heading", name="Token ci")).to_be_visible()
    secret = await page.locator("#secret").inner_text()
    await page.get_by_role("button", name="Copy").click()
    await expect(page.get_by_role("status")).to_have_text("Copied.")
    assert await page.evaluate("navigator.clipboard.readText()") == secret
    await page.get_by_role("link", name="Back to the tokens").click()
    await expect(page.locator("#token-ci")).to_contain_text("deploy")
    assert secret not in await page.content()

    ci = await visit(box.url)
    await ci.sign_in(secret)
    await expect(ci.page.get_by_text("token ci via page, may deploy")).to_be_visible()

    row = page.locator("#token-ci")
    await row.get_by_text("Revoke", exact=True).click()
    await expect(row).to_contain_text("Whoever uses ci can do nothing with it any more")
    await row.get_by_role("button", name="Revoke ci").click()
    await expect(page.locator("#token-ci")).to_have_count(0)
    await ci.open("/")
    await expect(ci.page.get_by_text("looking only")).to_be_visible()


async def test_a_token_that_cannot_be_made_says_why(box: RunningBox, visit: Visit) -> None:
    admin = await visit(box.url)
    admin.expect("409")
    await admin.sign_in(await box.token("admin", "laptop"))
    await admin.open("/box")
    await admin.page.get_by_label("Name of a new token").fill("laptop")
    await admin.page.get_by_role("button", name="Make a token").click()
    await expect(admin.page.locator("#tokens").get_by_role("alert")).to_contain_text("there is one of this name")


async def test_a_root_is_added_after_a_look_at_what_it_changes(box: RunningBox, visit: Visit, tmp_path: Path) -> None:
    keys, root = default_trust()
    [other], _ = make_trust()
    after = tmp_path / "root.json"
    after.write_bytes(rotate_root(root, signers=keys, release_keys=[other.public], new_epoch=True))
    admin = await visit(box.url)
    await admin.sign_in(await box.token("admin", "laptop"))
    page = admin.page
    await admin.open("/box")
    await page.get_by_text("Add a trust root").click()
    await page.get_by_label("Choose root.json").set_input_files(after)
    await expect(page.get_by_label("or paste what is in it")).to_have_value(re.compile("signatures"))
    await page.get_by_role("button", name="See what it changes").click()
    said = page.locator(".said")
    await expect(said).to_contain_text("Root 2 takes the place of root 1, which has signed it.")
    await expect(said).to_contain_text(f"No longer believed for new releases: {keys[0].key_id[:16]}.")
    await expect(said).to_contain_text(f"Newly believed for releases: {other.key_id[:16]}.")
    await expect(said).to_contain_text("It begins epoch 2 (after 1)")
    assert len(await box.control.registry.roots()) == 1
    await page.get_by_role("button", name="Trust it").click()
    await expect(page.locator("#root-2")).to_contain_text("in force, epoch 2")
    assert len(await box.control.registry.roots()) == 2


async def test_a_root_that_nobody_trusts_is_refused(box: RunningBox, visit: Visit) -> None:
    admin = await visit(box.url)
    admin.expect("422")
    await admin.sign_in(await box.token("admin", "laptop"))
    await admin.open("/box")
    await admin.page.get_by_text("Add a trust root").click()
    await admin.page.get_by_label("or paste what is in it").fill(make_trust()[1].decode())
    await admin.page.get_by_role("button", name="See what it changes").click()
    await expect(admin.page.locator("#trust").get_by_role("alert")).to_contain_text("cannot accept the root")


@pytest.mark.parametrize("role", [None, "read", "deploy"])
async def test_who_may_not_sees_what_they_lack(scene: RunningBox, visit: Visit, role: str | None) -> None:
    visitor = await visit(scene.url)
    if role:
        await visitor.sign_in(await scene.token(role))
    await visitor.open("/box")
    page = visitor.page
    await expect(page.locator("#tokens")).to_contain_text("That needs a token that may do everything")
    await expect(page.locator("#trust")).to_contain_text("You cannot add a trust root.")
    seen = "You do not see who did what." if role is None else "All of it, with a filter"
    await expect(page.locator("#audit")).to_contain_text(seen)


async def test_the_audit_is_asked_with_a_filter(box: RunningBox, visit: Visit) -> None:
    for number in range(60):
        await box.control.registry.audit(
            actor="token ci",
            action="deploy",
            subject=f"{number}",
            origin="tcp",
            result="change 1",
            now=float(number + 1),
        )
    admin = await visit(box.url)
    await admin.sign_in(await box.token("admin", "laptop"))
    page = admin.page
    await admin.open("/box")
    await page.get_by_role("link", name="All of it, with a filter").click()
    rows = page.locator("tbody tr")
    await page.get_by_label("Who").fill("token CI")
    await page.get_by_label("Did").select_option("deploy")
    await page.keyboard.press("Tab")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(rows).to_have_count(50)
    await page.get_by_role("link", name="Older").click()
    await expect(rows).to_have_count(10)
    await page.get_by_role("link", name="Newest").click()
    await page.get_by_label("Result").select_option("refused")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(rows).to_have_text(["Nothing fits."])
    await page.get_by_role("link", name="Show everything").click()
    await page.get_by_label("Since").select_option("1h")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(rows.first).to_contain_text("page.sign_in")
    await expect(page.get_by_label("Since")).to_have_value("1h")


async def test_charts_of_the_machine(box: RunningBox, visit: Visit) -> None:
    visitor = await visit(box.url)
    await visitor.open("/box")
    page = visitor.page
    memory = page.locator("[data-chart=memory]")
    await expect(memory.locator("canvas")).to_be_visible()
    await expect(memory.locator(".now")).to_contain_text("iB")
    await page.get_by_label("1 hour").focus()
    async with page.expect_response(re.compile(r"metrics/host\?range=24h")):
        await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowLeft")
    await memory.get_by_text("As a table").click()
    await expect(memory.locator("tbody tr").first).to_be_visible()
    assert await visitor.barriers() == []
    await page.get_by_label("30 days").check(force=True)
    await visitor.open("/")
    await visitor.open("/box")
    await expect(page.get_by_label("30 days")).to_be_checked()


async def test_what_is_being_typed_stays_when_news_come(box: RunningBox, visit: Visit) -> None:
    admin = await visit(box.url)
    await admin.sign_in(await box.token("admin", "laptop"))
    await admin.open("/box")
    await admin.live()
    page = admin.page
    field = page.get_by_label("Name of a new token")
    await field.fill("half a na")
    await page.get_by_text("Add a trust root").click()
    await page.get_by_label("or paste what is in it").fill("{")
    await expect(page.locator("#charts canvas").first).to_be_visible()
    await page.evaluate("document.querySelector('#charts canvas').id = 'same'")
    await field.focus()
    await box.token("read", "other")
    await expect(page.locator("#token-other")).to_be_visible()
    await expect(field).to_have_value("half a na")
    await expect(field).to_be_focused()
    await expect(page.get_by_label("or paste what is in it")).to_have_value("{")
    await expect(page.locator("#same")).to_be_visible()
