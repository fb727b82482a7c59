"""Every numbered line arrives, in order and none missing, whatever becomes of link, destination and box."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from minipaas.model.shipping import Kind
from minipaas.model.units import Size
from tests.telemetry.shipping.receivers import Elastic, Loki, Otlp, Receiver, answers, breaks_off
from tests.telemetry.shipping.site import Site, config

KINDS = {Kind.ELASTICSEARCH: Elastic, Kind.LOKI: Loki, Kind.OTLP: Otlp}


@pytest.fixture(params=list(KINDS), ids=[kind.value for kind in KINDS])
async def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
async def receiver(kind: Kind) -> AsyncIterator[Receiver]:
    one = KINDS[kind]()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def elastic() -> AsyncIterator[Elastic]:
    one = Elastic()
    await one.start()
    yield one
    await one.stop()


def numbered(begin: int, end: int) -> list[str]:
    return [f"line {number}" for number in range(begin, end)]


async def test_lines_arrive_in_order(tmp_path: Path, kind: Kind, receiver: Receiver) -> None:
    async with Site(tmp_path, config(kind, receiver.url)).running() as site:
        for begin in range(0, 300, 100):
            site.write(*numbered(begin, begin + 100))
            site.write(*numbered(begin, begin + 100), container="c2", app="blog")
            await asyncio.sleep(0.05)
        await site.until(lambda: len(receiver.lines()) == 600)
        assert receiver.lines("shop-web-c1") == receiver.lines("blog-web-c2") == numbered(0, 300)
        state = await site.until_state(lambda one: one.lines == 600)
    assert (state.failing, state.error, state.behind_bytes, state.refused, state.lost) == (False, "", 0, 0, 0)


async def test_down_for_a_while_and_the_box_stops_in_between(tmp_path: Path, kind: Kind, receiver: Receiver) -> None:
    site = Site(tmp_path, config(kind, receiver.url))
    async with site.running():
        site.write(*numbered(0, 500))
        await site.until(lambda: len(receiver.lines()) == 500)
        await receiver.stop()
        site.write(*numbered(500, 1000))
        state = await site.until_state(lambda one: one.failing and one.behind_bytes)
        assert state.error == "nobody listens there"
        assert state.behind_since is not None
    site.write(*numbered(1000, 1500))  # while nobody is there to read
    async with site.running(kill=True):
        site.write(*numbered(1500, 2000))
        await site.until_state(lambda one: one.failing)
    await receiver.start()
    async with site.running():
        site.write(*numbered(2000, 2500))
        await site.until(lambda: len(receiver.lines()) == 2500)
        state = await site.until_state(lambda one: not one.behind_bytes)
    assert receiver.lines() == numbered(0, 2500)
    assert not state.failing


async def test_it_fails_in_every_way(tmp_path: Path, kind: Kind, receiver: Receiver) -> None:
    receiver.misbehaves = [
        answers(503),
        answers(429, Retry_After="0"),
        answers(500, "no"),
        answers(401),
        answers(404),
        answers(302, Location="http://elsewhere/"),
        breaks_off(receiver),
        answers(408),
    ]
    async with Site(tmp_path, config(kind, receiver.url)).running() as site:
        site.write(*numbered(0, 200))
        await site.until(lambda: not receiver.misbehaves)
        await site.until_state(lambda one: one.lines == 200 and not one.failing)
    assert receiver.lines() == numbered(0, 200)


async def test_a_line_that_is_refused_holds_nothing_up(tmp_path: Path, kind: Kind, receiver: Receiver) -> None:
    def poison(request: web.Request, body: bytes) -> web.StreamResponse | None:
        receiver.misbehaves.append(poison)
        return web.Response(status=400, text="bad line") if b"poison" in body else None

    receiver.misbehaves = [poison]
    async with Site(tmp_path, config(kind, receiver.url)).running() as site:
        site.write(*numbered(0, 100), "poison", *numbered(100, 200))
        await site.until(lambda: len(receiver.lines()) == 200)
        state = await site.until_state(lambda one: one.refused)
        site.write("after it")
        await site.until(lambda: "after it" in receiver.lines())
    assert receiver.lines() == [*numbered(0, 200), "after it"]
    assert (state.refused, state.refused_why) == (1, "bad line (400)")


async def test_one_that_hangs_holds_up_no_other(tmp_path: Path, elastic: Elastic) -> None:
    stuck = Elastic()
    stuck.slow = 60.0
    await stuck.start()
    try:
        site = Site(
            tmp_path, config(Kind.ELASTICSEARCH, stuck.url, name="stuck"), config(Kind.ELASTICSEARCH, elastic.url)
        )
        async with site.running():
            site.write(*numbered(0, 1000))
            await site.until(lambda: len(elastic.documents) == 1000)
            assert (await site.state(0)).behind_bytes > 0
            assert (await site.state(1)).lines == 1000
    finally:
        await stuck.stop()


async def test_what_is_sent_again_is_there_once(tmp_path: Path, elastic: Elastic) -> None:
    elastic.misbehaves = [breaks_off(elastic)]
    async with Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url)).running() as site:
        site.write(*numbered(0, 50))
        await site.until_state(lambda one: one.lines == 50)
    assert (elastic.conflicts, elastic.lines()) == (50, numbered(0, 50))


async def test_busy_items_are_sent_again_and_bad_ones_are_not(tmp_path: Path, elastic: Elastic) -> None:
    seen: dict[str, int] = {}

    def judge(document: dict[str, str]) -> tuple[int, str]:
        text = document["message"]
        seen[text] = seen.get(text, 0) + 1
        if text == "line 7" and seen[text] < 4:
            return 429, "es_rejected_execution_exception"
        if text == "line 8" and seen[text] < 2:
            return 404, "index_not_found_exception"
        return (400, "document_parsing_exception") if text == "line 9" else (201, "")

    elastic.judge = judge
    async with Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url)).running() as site:
        site.write(*numbered(0, 20))
        state = await site.until_state(lambda one: one.lines == 19)
    assert sorted(elastic.lines()) == sorted(set(numbered(0, 20)) - {"line 9"})
    assert (seen["line 7"], seen["line 8"], seen["line 9"], seen["line 6"]) == (4, 2, 1, 1)
    assert (state.refused, state.failing) == (1, False)
    assert "document_parsing_exception" in state.refused_why


async def test_nothing_of_it_is_imported_without_a_destination() -> None:
    ask = (
        "import minipaas.app, sys; print([one for one in sys.modules if one.startswith('minipaas.telemetry.shipping')])"
    )
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", ask, stdout=asyncio.subprocess.PIPE)
    out, _ = await done.communicate()
    assert out == b"[]\n"


async def test_what_made_way_before_it_was_sent_is_counted(tmp_path: Path, elastic: Elastic) -> None:
    await elastic.stop()
    site = Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url), quota=4 * 1024**2)
    noise = [f"{number} {random.randbytes(300).hex()}" for number in range(16_000)]
    async with site.running():
        await site.until_state(lambda one: True)
        for begin in range(0, len(noise), 1000):
            site.write(*noise[begin : begin + 1000])
            await site.stored()
        state = await site.until_state(lambda one: one.lost)
        assert state.lost_at is not None
        assert site.shipping is not None
        assert site.shipping.losing() == ("elasticsearch",)
    async with site.running():
        await elastic.start()
        state = await site.until_state(lambda one: one.lines and not one.behind_bytes)
    got = elastic.lines()
    assert state.lost + len(got) == len(noise)
    assert got == noise[state.lost :]


async def test_a_new_destination_begins_now(tmp_path: Path, elastic: Elastic) -> None:
    site = Site(tmp_path)
    async with site.running():
        site.write(*numbered(0, 100))
        await site.stored()
    site.destinations = (config(Kind.ELASTICSEARCH, elastic.url),)
    async with site.running():
        await site.until_state(lambda one: True)
        site.write(*numbered(100, 200))
        await site.until(lambda: len(elastic.documents) >= 100)
        assert elastic.lines() == numbered(100, 200)
    site.destinations = (config(Kind.ELASTICSEARCH, elastic.url, name="all", index="all", history=True),)
    async with site.running():
        await site.until(lambda: len(elastic.documents) >= 300)
    assert [one["message"] for (index, _), one in elastic.documents.items() if index == "all"] == numbered(0, 200)


async def test_only_what_is_wanted(tmp_path: Path, elastic: Elastic) -> None:
    wanted = config(Kind.ELASTICSEARCH, elastic.url, apps=("shop",), level="warn")
    async with Site(tmp_path, wanted).running() as site:
        site.write('{"level": "info", "n": 1}', '{"level": "error", "n": 2}', "plain", "level=warn n=3")
        site.write("level=fatal n=4", container="c2", app="blog")
        await site.until(lambda: len(elastic.documents) == 2)
        await site.until_state(lambda one: not one.behind_bytes)
    assert elastic.lines() == ['{"level": "error", "n": 2}', "level=warn n=3"]


async def test_of_a_container_that_is_gone(tmp_path: Path, elastic: Elastic) -> None:
    await elastic.stop()
    site = Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url))
    async with site.running():
        for number in range(300):  # more than those whose going is remembered
            site.write(f"of {number}", container=f"c{number}")
            await site.stored()
            site.remove(f"c{number}")
        await elastic.start()
        await site.until(lambda: len(elastic.documents) == 300)
    assert sorted(elastic.lines()) == sorted(f"of {number}" for number in range(300))


async def test_an_end_without_a_newline(tmp_path: Path, elastic: Elastic) -> None:
    site = Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url))
    async with site.running():
        site.write("whole")
        site._written["c1"].write("begun", tag="P")
        await site.until(lambda: elastic.lines() == ["whole"])
        site.remove("c1")
        await site.until(lambda: elastic.lines() == ["whole", "begun"])


async def test_a_thin_link_gets_no_more_than_it_bears(tmp_path: Path, elastic: Elastic) -> None:
    thin = config(Kind.ELASTICSEARCH, elastic.url, rate=Size(400_000), batch=Size(128 * 1024), compress=False)
    async with Site(tmp_path, thin).running() as site:
        begin = asyncio.get_running_loop().time()
        site.write(*(f"{number} " + 2000 * "x" for number in range(500)))
        await site.until(lambda: len(elastic.documents) == 500)
        took = asyncio.get_running_loop().time() - begin
        sent = sum(len(body) for _, body in elastic.requests[:-1])
    assert len(elastic.requests) > 2
    assert sent / took < 440_000


async def test_a_damaged_file_of_places_sends_all_again(tmp_path: Path, elastic: Elastic) -> None:
    site = Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url))
    async with site.running():
        site.write(*numbered(0, 50))
        await site.until_state(lambda one: one.lines == 50)
    (tmp_path / "shipping.db").write_bytes(b"not a database" * 500)
    (tmp_path / "shipping.db-wal").unlink(missing_ok=True)
    async with site.running():
        site.write(*numbered(50, 100))
        await site.until(lambda: len(elastic.documents) == 100)
    assert elastic.conflicts == 50
    assert (tmp_path / "shipping.db.damaged").exists()


@pytest.mark.parametrize("stored", [True, False])
async def test_a_file_that_was_replaced_while_nobody_looked(tmp_path: Path, elastic: Elastic, stored: bool) -> None:
    site = Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url))
    async with site.running(kill=True):
        site.write(*numbered(0, 50))
        if stored:
            await site.stored()
        site.write(*numbered(50, 100))  # sent, and not stored yet
        await site.until_state(lambda one: one.lines == 100)
    site.rotate("c1")
    site.write(*numbered(100, 150))
    async with site.running():
        await site.until(lambda: "line 149" in elastic.lines())
        await site.stored()
        state = await site.until_state(lambda one: not one.behind_bytes)
        assert (state.lost, state.lost_bytes) == (0, 0)
    told = elastic.lines()
    assert [one for one in told if one.startswith("line")] == numbered(0, 150)
    assert stored == any("lines are missing here" in one for one in told)


@pytest.mark.parametrize("more", [20, 300])
async def test_a_power_cut_takes_the_end_of_a_file(tmp_path: Path, elastic: Elastic, more: int) -> None:
    site = Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url))
    async with site.running(kill=True):
        site.write(*numbered(0, 100))
        await site.stored()
        site.write(*numbered(100, 200))  # sent, and not stored yet
        await site.until_state(lambda one: one.lines == 200)
    site.cut_off("c1", numbered(0, 150))
    site.write(*numbered(1000, 1000 + more))
    async with site.running():
        await site.until(lambda: f"line {999 + more}" in elastic.lines())
        site.write("later")
        await site.until(lambda: "later" in elastic.lines())
    assert set(elastic.lines()) >= {*numbered(0, 200), *numbered(1000, 1000 + more), "later"}


async def test_a_segment_that_is_damaged(tmp_path: Path, elastic: Elastic) -> None:
    await elastic.stop()
    site = Site(tmp_path, config(Kind.ELASTICSEARCH, elastic.url))
    async with site.running():
        site.write(*numbered(0, 100))
        await site.stored()
        await site.until_state(lambda one: one.failing)
    (segment,) = (tmp_path / "logs/shop").glob("*.db")
    for one in segment.parent.glob(f"{segment.name}-*"):
        one.unlink()
    segment.write_bytes(b"nonsense" * 1000)
    await elastic.start()
    async with site.running():
        site.write(*numbered(100, 200))
        await site.until(lambda: "line 199" in elastic.lines())
        await site.until_state(lambda one: not one.behind_bytes)
    assert elastic.lines() == numbered(0, 200)  # they were still in Podman's file
