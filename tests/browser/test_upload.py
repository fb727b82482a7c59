"""Bundles brought by a browser: good ones, bad ones, several, and those that break off."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
from playwright.async_api import Page, expect

from minipaas.model.change import ChangeState
from tests.boxes import RunningBox, config, running_box, toml
from tests.browser.fixtures import Visit
from tests.browser.visitor import Visitor
from tests.bundle.builders import default_trust, make_bundle, make_trust
from tests.fakepodman.server import FakePodman


async def author(box: RunningBox, visit: Visit, role: str = "deploy") -> Visitor:
    """Somebody who may upload."""
    visitor = await visit(box.url)
    await visitor.sign_in(await box.token(role, "laptop"))
    return visitor


def item(page: Page, path: Path):  # type: ignore[no-untyped-def]
    return page.locator(".upload").filter(has=page.get_by_role("heading", name=path.name))


async def drop(page: Page, *paths: Path) -> None:
    """As if the files came from the desktop."""
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in paths]
    data = await page.evaluate_handle(
        """(files) => {
            const data = new DataTransfer();
            for (const [name, content] of files)
                data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
            return data;
        }""",
        files,
    )
    await page.dispatch_event("body", "dragover", {"dataTransfer": data})
    await expect(page.get_by_text("Drop the bundle to upload it")).to_be_visible()
    await page.dispatch_event("body", "drop", {"dataTransfer": data})


async def test_a_bundle_is_chosen_and_serves(box: RunningBox, visit: Visit) -> None:
    visitor = await author(box, visit)
    page = visitor.page
    await page.get_by_role("link", name="Upload", exact=True).click()
    assert await visitor.barriers() == []
    path = box.bundle(toml())
    await page.get_by_label("Choose bundles").set_input_files(path)
    told = item(page, path)
    await expect(told).to_contain_text("the first release of this app here")
    await expect(told).to_contain_text(f"Signed by {default_trust()[0][0].key_id[:12]}; 1 needed, by trust root 1.")
    await expect(told).to_contain_text("nothing has changed yet")
    assert (await box.control.registry.desired()).apps == ()
    assert await visitor.barriers() == []
    await page.get_by_role("button", name="Deploy shop 1.0").click()
    await expect(page.get_by_text("shop 1.0 serves.")).to_be_visible()
    await expect(item(page, path)).to_contain_text("start web #1")
    await expect(item(page, path)).to_contain_text("switch to 1.0")
    assert await visitor.barriers() == []
    await page.get_by_role("link", name="All about shop").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("shop")
    assert (await box.get())[0] == 200


async def test_a_bundle_of_somebody_else_is_refused_in_words(box: RunningBox, visit: Visit, tmp_path: Path) -> None:
    keys, root = make_trust()
    strange = make_bundle(tmp_path, name="strange.bundle", keys=keys, root=root, app_toml=toml(), version="1.0")
    nonsense = tmp_path / "nonsense.bundle"
    nonsense.write_bytes(b"nothing of the sort" * 1000)
    visitor = await author(box, visit)
    visitor.expect("422")
    await visitor.open("/upload")
    await visitor.page.get_by_label("Choose bundles").set_input_files([strange, nonsense])
    for path in (strange, nonsense):
        told = item(visitor.page, path)
        await expect(told).to_contain_text("The box did not take it:")
        await expect(told.get_by_role("alert")).to_contain_text("cannot accept")
    assert (await box.control.registry.desired()).apps == ()


async def test_a_release_that_fails_says_why(box: RunningBox, visit: Visit) -> None:
    await box.deploy(toml())
    visitor = await author(box, visit)
    await visitor.open("/upload")
    path = box.bundle(toml(version="2.0", fake="exit_code=3"), version="2.0")
    await visitor.page.get_by_label("Choose bundles").set_input_files(path)
    told = item(visitor.page, path)
    await told.get_by_text("From 1.0 to 2.0").click()
    await expect(told.locator("details.diff")).to_contain_text("services.web.env")
    await told.get_by_role("button", name="Deploy shop 2.0").click()
    await expect(told.get_by_role("alert")).to_contain_text("shop 2.0 does not serve; what served before goes on.")
    await expect(told.locator(".reason")).to_contain_text("exited with code 3")
    assert (await box.get())[0] == 200


async def test_a_file_dropped_on_any_page_is_uploaded(box: RunningBox, visit: Visit) -> None:
    visitor = await author(box, visit)
    page = visitor.page
    await visitor.open("/box")
    first, second = box.bundle(toml()), box.bundle(toml("cafe", routes='"cafe.local"'), app="cafe")
    await drop(page, first, second)
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Deploy shop 1.0").click()
    await expect(dialog.get_by_text("shop 1.0 serves.")).to_be_visible()
    await dialog.get_by_role("button", name="Deploy cafe 1.0").click()
    await expect(dialog.get_by_text("cafe 1.0 serves.")).to_be_visible()
    assert await visitor.barriers() == []
    await dialog.get_by_role("button", name="Close").click()
    await expect(dialog).to_have_count(0)
    ends = [(await box.control.registry.change(number)).state for number in (1, 2)]
    assert ends == [ChangeState.DONE, ChangeState.DONE]


async def test_an_upload_that_breaks_off_says_so_and_can_be_tried_again(box: RunningBox, visit: Visit) -> None:
    visitor = await author(box, visit)
    visitor.expect("ERR_CONNECTION_RESET")
    page = visitor.page
    await visitor.open("/upload")
    await page.route("**/api/v1/bundles*", lambda route: route.abort("connectionreset"), times=1)
    path = box.bundle(toml())
    await page.get_by_label("Choose bundles").set_input_files(path)
    await expect(item(page, path)).to_contain_text("The upload broke off")
    await item(page, path).get_by_role("button", name="Try again").click()
    await page.get_by_role("button", name="Throw away").click()
    await expect(page.get_by_text("Thrown away. Nothing was changed.")).to_be_visible()
    assert box.control.held.every() == ()


async def test_who_may_not_upload_sees_why_and_how(box: RunningBox, visit: Visit) -> None:
    visitor = await author(box, visit, "read")
    await visitor.open("/upload")
    await expect(visitor.page.locator("#upload")).to_contain_text("You cannot upload bundles.")
    await expect(visitor.page.locator("#upload")).to_contain_text("That needs a token that may deploy")
    await visitor.open("/")
    await drop(visitor.page, box.bundle(toml()))
    await expect(visitor.page.get_by_role("dialog")).to_contain_text("You cannot upload bundles.")


async def test_where_signatures_decide_anyone_here_may_upload(visit: Visit, tmp_path: Path) -> None:
    with FakePodman(tmp_path) as fake:
        settings = config(fake)
        api = msgspec.structs.replace(settings.api, accept_signed_uploads=True)
        async with running_box(fake, tmp_path, msgspec.structs.replace(settings, api=api)) as box:
            await box.trust()
            stranger = await visit(box.url)
            await stranger.open("/upload")
            page = stranger.page
            await expect(page.locator("#upload")).to_contain_text("when its signature is good")
            await page.get_by_label("Choose bundles").set_input_files(box.bundle(toml()))
            await expect(page.get_by_text("shop 1.0 serves.")).to_be_visible()
            [deploy] = [row for row in await box.control.registry.audit_log(9) if row.action == "deploy"]
            assert deploy.actor.startswith("signature ")
