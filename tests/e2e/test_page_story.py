"""One story on one box: what an operator does in Chromium, from a box that trusts nobody to an app that is gone again.

Everything is asked twice: of the page, in the words that a person reads, and of what really is: Podman's containers,
answers through the ingress, the API with a token. While the app is to serve, requests go on, and none may fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.box import Author, Box, fetch, wait_for
from kit.podman import PrivatePodman
from playwright.async_api import Locator, Page, expect

from tests.browser.fixtures import Visit, chromium, visit
from tests.browser.visitor import NETWORK_CHANGED, Visitor
from tests.e2e.hello import HOST, HelloBundles
from tests.e2e.load import Load

__all__ = ["chromium", "visit"]
pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

PATIENCE = 60_000
"""Milliseconds for containers to start, and to be found healthy."""
SLOW_LINK = {"offline": False, "latency": 5, "downloadThroughput": -1, "uploadThroughput": 700_000}
"""Of Chromium's network emulation, in bytes a second: a megabyte takes long enough to be watched."""
WATCH = """(selector) => {
    window.seen = [];
    window.watcher?.disconnect();
    const look = () => {
        const text = document.querySelector(selector)?.innerText;
        if (text && text !== window.seen.at(-1)) window.seen.push(text);
    };
    window.watcher = new MutationObserver(look);
    window.watcher.observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


class Operator:
    """A person with a browser, and the one who looks behind the page."""

    def __init__(self, visitor: Visitor, box: Box, podman: PrivatePodman) -> None:
        self.visitor = visitor
        self.box = box
        self.podman = podman

    @property
    def page(self) -> Page:
        return self.visitor.page

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def running(self) -> dict[str, str]:
        """Containers of web that run: their host name by id."""
        return {
            str(one["Id"]): one["Config"]["Hostname"]  # type: ignore[index]
            for name, one in self.podman.containers("hello").items()
            if name.startswith("minipaas-hello-web-") and one["State"]["Running"]  # type: ignore[index]
        }

    def instances(self, count: int) -> set[str]:
        """Their ids, as soon as just so many run; each of them has answered through the ingress, and no other."""
        running = wait_for(f"{count} containers run", lambda: found if len(found := self.running()) == count else None)
        names, said = set(running.values()), set[str]()
        for _ in range(60):  # beside other requests, turns may fall on one instance for a while
            said.add(self.box.get("/cgi-bin/whoami", host=HOST).text.partition(" from ")[2].partition(",")[0])
            if said >= names:
                break
        assert said == names
        return set(running)

    def version(self) -> str:
        return self.box.get("/", host=HOST).text.partition("Hello from version ")[2].partition("<")[0]

    async def choose(self, bundle: Path, name: str) -> Locator:
        """Upload, and see how far it is; what the page says of it, once the box has checked it."""
        await self.visitor.open("/upload")
        await self.page.evaluate(WATCH, ".upload .told")
        await self.page.get_by_label("Choose bundles").set_input_files(bundle)
        held = self.page.get_by_role("region", name=name)
        await held.wait_for(timeout=PATIENCE)
        told = await self.page.evaluate("window.seen")
        assert len([one for one in told if one.startswith("sent ") and " of " in one]) > 1, told
        assert told[-1] == "The signature is good."
        await self.page.evaluate(WATCH, ".upload .steps")
        return held

    async def say_yes(self, version: str) -> None:
        """Deploy what was uploaded, and watch it until it serves."""
        await self.page.get_by_role("button", name=f"Deploy hello {version}").click()
        await expect(self.page.locator(".upload p.good")).to_contain_text(f"hello {version} serves.", timeout=PATIENCE)
        seen = [len(one.splitlines()) for one in await self.page.evaluate("window.seen")]
        assert seen == sorted(seen) and len(set(seen)) > 2, f"the steps came one by one: {seen}"

    async def agree(self, what: str, *says: str) -> None:
        """The dialog says what will happen; yes."""
        for words in says:
            await expect(self.dialog).to_contain_text(words)
        await self.dialog.get_by_role("button", name=what, exact=True).click()
        await expect(self.dialog).not_to_be_visible()

    async def done(self, change: str) -> None:
        """The newest change has this title, and is done."""
        newest = self.page.locator("#changes details").first
        await expect(newest.locator("b")).to_have_text(change, timeout=PATIENCE)
        await expect(newest.locator(".pill")).to_have_text("done")

    async def scale(self, before: int, after: int) -> None:
        """By the buttons beside the number."""
        button = "One more" if after > before else "One less"
        for _ in range(abs(after - before)):
            await self.page.get_by_role("button", name=button).click()
        await self.page.get_by_role("button", name="Scale").click()
        await self.agree("Scale", f"goes from {before} to {after}.")
        await expect(self.page.locator("#service-web .count")).to_have_text(f"{after} of {after}", timeout=PATIENCE)
        await expect(self.page.locator(".change.busy")).to_have_count(0, timeout=PATIENCE)
        self.instances(after)


async def test_what_an_operator_does_in_a_browser(
    boxes: Callable[..., Box], author: Author, hello: HelloBundles, podman: PrivatePodman, visit: Visit
) -> None:
    notes = {"replicas": 1, "port": 8080, "volumes": {"data": "/data"}}
    first = hello(web={"replicas": 1}, services={"notes": notes})
    web = {"replicas": 1, "env": {"GREETING": "Good morning"}}
    second = hello("1.1.0", sequence=2, web=web, services={"notes": notes})
    box = boxes()
    box.start()
    one = Operator(await visit(f"http://127.0.0.1:{box.page}"), box, podman)
    page = one.page
    link = await page.context.new_cdp_session(page)
    await link.send("Network.emulateNetworkConditions", SLOW_LINK)
    one.visitor.expect(NETWORK_CHANGED)
    await one.visitor.sign_in(box.cli("token", "new", "laptop", "--role", "admin").out.strip())

    # Whom the box believes.
    await expect(page.locator("#main")).to_contain_text("First tell this box whom to trust")
    await one.visitor.open("/box")
    await page.get_by_text("Add a trust root").click()
    await page.get_by_label("Choose root.json").set_input_files(author.root)
    await page.get_by_role("button", name="See what it changes").click()
    await expect(page.locator(".said")).to_contain_text("From now on it believes root 1, because you say so")
    assert box.cli("trust", "list", "--json").json["roots"] == []
    await page.get_by_role("button", name="Trust it").click()
    await expect(page.locator("#root-1")).to_contain_text("in force")
    [key] = box.cli("trust", "list", "--json").json["roots"][0]["keys"]
    await expect(page.locator("#root-1")).to_contain_text(key[:16])

    # The first release.
    held = await one.choose(first, "hello 1.0.0")
    await expect(held).to_contain_text("the first release of this app here")
    await expect(held).to_contain_text(f"Signed by {key[:12]}; 1 needed, by trust root 1.")
    await expect(held.locator(".fates")).to_contain_text("web starts with 1.")
    await held.locator(".plan summary").click()
    await expect(held.locator(".plan")).to_contain_text("create volume minipaas-hello.data")
    assert podman.containers("hello") == {}
    assert box.get("/", host=HOST).status == 404
    await one.say_yes("1.0.0")
    one.instances(1)
    assert one.version() == "1.0.0"

    with Load(box, HOST, threads=2) as load:
        # The second one, with what it changes.
        held = await one.choose(second, "hello 1.1.0 replaces 1.0.0")
        await held.get_by_text("From 1.0.0 to 1.1.0").click()
        await expect(held.locator("details.diff")).to_contain_text("services.web.env")
        await expect(held.locator(".fates")).to_contain_text("The new ones take over before the old ones stop.")
        assert one.version() == "1.0.0"
        await one.say_yes("1.1.0")
        assert one.version() == "1.1.0"
        assert box.get("/cgi-bin/whoami", host=HOST).text.startswith("Good morning from ")
        await page.get_by_role("link", name="All about hello").click()
        await expect(page.locator("#verdict")).to_contain_text("1.1.0 serves.")

        # More of it, and less.
        await one.scale(1, 3)
        await expect(page.locator("#service-web")).to_contain_text("set by hand; the release says 1")
        await one.scale(3, 1)
        await expect(page.locator("#events")).to_contain_text("stop web #3 (fewer are wanted)")
        await expect(page.locator("#events")).not_to_contain_text("died")

        # The same anew.
        [before] = one.instances(1)
        await page.locator("#service-web").get_by_role("link", name="Restart").click()
        await one.agree("Restart", "Restart web of hello?", "1 running, replaced by 1 new.")
        await one.done("Restart 1.1.0")
        [after] = one.instances(1)
        assert after != before
        await expect(page.locator(f"#instance-{after[:16]}")).to_contain_text("healthy")

        # Back.
        await page.get_by_role("link", name="Roll back", exact=True).click()
        await one.agree("Roll back", "Roll hello back to 1.0.0?", "The new ones take over before the old ones stop.")
        await one.done("Roll back to 1.0.0")
        await expect(page.locator("#verdict")).to_contain_text("1.0.0 serves.")
        assert one.version() == "1.0.0"
    assert load.failures == []
    assert load.versions[0] == load.versions[-1] == "1.0.0"
    assert "1.1.0" in load.versions

    # Inside.
    [inside] = one.running().values()
    await page.locator("#service-web").get_by_role("link", name="Open a shell").click()
    await page.get_by_label("Reason").fill("to see for myself")
    await page.get_by_role("button", name="Open a shell").click()
    screen = page.locator(".xterm-rows")
    await expect(screen).to_contain_text(re.compile("[$#]"), timeout=PATIENCE)
    for line, shown in (
        ("echo I am $(hostname), $(stty size)", re.compile(rf"I am {inside}, \d\d \d\d\d")),
        ("echo wait; sleep 1000", "wait"),
    ):
        await page.keyboard.type(f"{line}\n")
        await expect(screen).to_contain_text(shown)
    await page.keyboard.press("Control+c")
    await page.keyboard.type("echo left with $?; exit 3\n")
    await expect(page.locator("#told")).to_have_text("It has ended with exit code 3.")
    await expect(screen).to_contain_text("left with 130")

    # Somebody else's token.
    await one.visitor.open("/box")
    await page.get_by_label("Name of a new token").fill("ci")
    await page.get_by_label("May").select_option("deploy")
    await page.get_by_role("button", name="Make a token").click()
    bearer = {"Authorization": f"Bearer {await page.locator('#secret').inner_text()}"}
    restart = {"method": "POST", "headers": bearer}
    assert fetch(box.page, "/api/v1/apps/hello/restart", **restart).status == 202
    await page.get_by_role("link", name="Back to the tokens").click()
    await page.locator("#token-ci").get_by_text("Revoke", exact=True).click()
    await page.get_by_role("button", name="Revoke ci").click()
    await expect(page.locator("#token-ci")).to_have_count(0)
    assert fetch(box.page, "/api/v1/apps/hello/restart", **restart).status == 401

    # Gone, with its data.
    await one.visitor.open("/apps/hello")
    await one.done("Restart 1.0.0")
    await expect(page.locator("#changes details").first).to_contain_text("token ci")
    await page.get_by_role("link", name="Remove").click()
    await one.dialog.get_by_label("delete it for good").check()
    await expect(one.dialog).to_contain_text("Deleted with everything in it: minipaas-hello.data")
    await one.dialog.get_by_label("Type hello to go on").fill("hello")
    await one.agree("Remove", "Remove hello?", "notes ends, 1 running.")
    await expect(page.locator("#verdict")).to_contain_text("It was removed", timeout=PATIENCE)
    assert podman.containers("hello") == {}
    assert podman.run("volume", "ls", "-q").split() == []
    assert box.get("/", host=HOST).status == 404
    await one.visitor.open("/")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("No apps yet")

    # Who did all that.
    await one.visitor.open("/audit")
    rows = page.locator("tbody tr")
    await page.get_by_label("Who").fill("laptop")
    await page.get_by_role("button", name="Show", exact=True).click()
    did = await rows.locator("td:nth-child(3)").all_inner_texts()
    deploy = ["deploy", "hold"]
    shell = ["access.shell.end", "access.shell"]
    told = [
        "remove",
        "token.revoke",
        "token.add",
        *shell,
        "rollback",
        "restart",
        "scale",
        "scale",
        *deploy * 2,
        "trust.add",
    ]
    assert did == [*told, "page.sign_in"]
    await page.get_by_label("Did").select_option("scale")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("token laptop via page")
    await page.get_by_role("link", name="Show everything").click()
    await page.get_by_label("Who").fill("token ci")
    await page.get_by_role("button", name="Show", exact=True).click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("restart")
