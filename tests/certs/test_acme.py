"""Certificates from an ACME server: ordered, proven over the real ingress, kept, renewed; and what can fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from minipaas.certs.acme import Acme, looks_public
from minipaas.certs.keeper import Keeper
from minipaas.certs.limits import DAY, AcmeLimits, Limits
from minipaas.ingress.ingress import Ingress
from minipaas.model.certificate import Source
from minipaas.model.config import AcmeConfig
from tests.certs.acmeserver import AcmeServer
from tests.certs.made import OtherCa
from tests.certs.test_keeper import NOW, Clock, named, shown

HOST = "shop.example.com"
QUICK = AcmeLimits(poll=0.02)


class Site:
    """An ACME server, the ingress that it comes to, and a box's certificates."""

    def __init__(self, tmp_path: Path, server: AcmeServer, ingress: Ingress) -> None:
        self.data, self.server, self.ingress = tmp_path / "tls", server, ingress
        self.clock = Clock()
        self.routes = [HOST, "shop.local", "*"]
        self.own: list[Path] = []
        self.limits = QUICK

    async def box(self, **settings: str) -> tuple[Keeper, Acme]:
        """As after a start."""
        own = [(one, one) for one in self.own]
        keeper = await Keeper.open(self.data, "0123456789abcdef", own, self.clock, Limits(damp=0))
        config = AcmeConfig(
            agree=True,
            **{"directory": self.server.directory, "ca": str(self.server.root), **settings},  # type: ignore[arg-type]
        )
        keeper.acme = acme = Acme(self.data / "acme", config, self.clock, self.limits)
        keeper.routed = acme.routed = lambda: self.routes
        acme.publish = self.ingress.challenge
        acme.changed = keeper.fetched
        acme.load()
        await keeper.look()
        return keeper, acme


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site_at(tmp_path) as made:
        yield made


@asynccontextmanager
async def site_at(tmp_path: Path) -> AsyncIterator[Site]:
    ingress = Ingress()
    await ingress.start([("127.0.0.1", 0)])
    try:
        async with AcmeServer(tmp_path, ingress.addresses[0][1], NOW) as server:
            yield Site(tmp_path, server, ingress)
    finally:
        await ingress.close(0)


async def test_a_host_is_proven_and_served_also_after_a_start_without_the_server(site: Site, tmp_path: Path) -> None:
    site.server.bad_nonces = 4
    keeper, acme = await site.box(contact="ops@example.com")
    before = await shown(keeper, HOST)
    assert keeper.pair(HOST).facts.source is Source.INTERNAL

    await acme.look()
    await keeper.look()
    assert await shown(keeper, HOST) != before
    found = named(keeper, HOST)
    assert (found.source, found.issuer, found.file) == (Source.ACME, "CN=Signs anybody", "")
    assert await shown(keeper, HOST) == found.fingerprint
    assert [one["host"] for one in site.server.orders] == [HOST], "what is not public stays with the box's own CA"
    assert [one["contact"] for one in site.server.accounts.values()] == [["mailto:ops@example.com"]]
    assert keeper.troubles() == ()
    for path in (site.data / "acme").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path

    await site.server.__aexit__(None, None, None)
    again, acme = await site.box()
    assert again.pair(HOST).facts == found
    await acme.look()
    assert (again.troubles(), len(site.server.orders)) == ((), 1)


async def test_the_proof_is_gone_when_it_was_looked_at(site: Site) -> None:
    _, acme = await site.box()
    await acme.look()
    reader, writer = await asyncio.open_connection(*site.ingress.addresses[0])
    token = site.server.orders[0]["token"]
    writer.write(f"GET /.well-known/acme-challenge/{token} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    writer.close()


async def test_the_operators_files_come_first_and_the_boxs_ca_last(site: Site, tmp_path: Path) -> None:
    keeper, acme = await site.box()
    await acme.look()
    await keeper.look()
    site.own = [OtherCa().file(tmp_path / "own.pem", HOST, now=NOW)]
    keeper, acme = await site.box()
    assert keeper.pair(HOST).facts.source is Source.FILE
    assert {one.source for one in keeper.certificates() if one.names == (HOST,)} == {Source.FILE}

    site.own = []
    keeper, _ = await site.box()
    assert await shown(keeper, HOST) == named(keeper, HOST).fingerprint
    site.clock.clock = NOW + 91 * DAY
    await keeper.look()
    assert keeper.pair(HOST).facts.source is Source.INTERNAL
    assert await shown(keeper, HOST) == keeper.pair(HOST).facts.fingerprint


async def test_a_proof_that_fails_is_told_and_tried_again_later(site: Site) -> None:
    keeper, acme = await site.box()
    acme.publish = lambda path, answer: None  # as if the internet came to another box
    await acme.look()
    await keeper.look()
    server = site.server.directory.split("/")[2]
    assert keeper.troubles() == (
        f"cannot get a certificate for {HOST} from {server}: unauthorized: {HOST} answered 404",
    )
    assert keeper.pair(HOST).facts.source is Source.INTERNAL
    await acme.look()
    assert len(site.server.orders) == 1, "not before its time"

    acme.publish = site.ingress.challenge
    await keeper.look(force=True)
    await acme.look()
    await keeper.look()
    assert keeper.troubles() == ()
    assert keeper.pair(HOST).facts.source is Source.ACME


async def test_it_is_renewed_in_time_and_a_failure_takes_nothing_away(site: Site) -> None:
    keeper, acme = await site.box()
    await acme.look()
    await keeper.look()
    first = named(keeper, HOST)
    site.clock.clock = NOW + 50 * DAY
    await acme.look()
    assert len(site.server.orders) == 1

    site.clock.clock = site.server.now = NOW + 61 * DAY
    site.server.limited = True
    await acme.look()
    await keeper.look()
    assert keeper.pair(HOST).facts == first
    (trouble,) = keeper.troubles()
    assert trouble.endswith("rateLimited: too many [31m certificates already")
    assert keeper.trouble_of(first) == trouble

    site.server.limited = False
    acme.hurry()
    await acme.look()
    await keeper.look()
    assert await shown(keeper, HOST) == named(keeper, HOST).fingerprint != first.fingerprint
    assert keeper.troubles() == ()
    assert len(site.server.accounts) == 1


@pytest.mark.parametrize(("clock", "floor"), [(0.0, NOW + DAY), (NOW - 400 * DAY, NOW - 5 * DAY)])
async def test_a_clock_that_is_late_asks_for_nothing_and_serves_on(site: Site, clock: float, floor: float) -> None:
    _, acme = await site.box()
    await acme.look()
    site.clock = Clock(clock, floor)
    keeper, acme = await site.box()
    await acme.look()
    assert keeper.pair(HOST).facts.source is Source.ACME
    assert len(site.server.orders) == 1


async def test_a_clock_that_runs_ahead_is_told(site: Site) -> None:
    site.clock.clock = NOW + 4000 * DAY
    keeper, acme = await site.box()
    await acme.look()
    (trouble,) = keeper.troubles()
    assert "is its clock right?" in trouble
    assert keeper.pair(HOST).facts.source is Source.INTERNAL


async def test_what_another_server_has_signed_does_not_serve(site: Site) -> None:
    _, acme = await site.box()
    await acme.look()
    keeper, _ = await site.box(directory="https://acme.invalid/directory")
    assert keeper.pair(HOST).facts.source is Source.INTERNAL


@pytest.mark.parametrize(
    ("what", "trouble"),
    [
        ("stranger", "its own certificate is not believed: self"),
        ("nobody", "Connection refused"),
        ("no file", "Could not find"),
        ("nonsense", "its answer is not understood: "),
        ("endless", "its answer is too long"),
        ("slow", "it took too long"),
        ("other name", "what it has signed is for elsewhere.example.com"),
        ("no key", "delete it, and a new account is made"),
    ],
)
async def test_servers_that_are_of_no_use(site: Site, tmp_path: Path, what: str, trouble: str) -> None:
    settings = {}
    if what == "stranger":
        other = tmp_path / "other.pem"
        other.write_bytes(OtherCa().pem)
        settings["ca"] = str(other)
    elif what == "nobody":
        settings["directory"] = "https://127.0.0.1:9/directory"
    elif what == "no file":
        settings["ca"] = str(tmp_path / "nowhere.pem")
    elif what == "nonsense":
        site.server.says = "<html>\x1b[2J"
    elif what == "endless":
        site.server.says = " " * (2 << 20)
    elif what == "slow":
        site.server.drips = True
        site.limits = AcmeLimits(request=1)
    elif what == "no key":
        (site.data / "acme").mkdir(parents=True)
        (site.data / "acme/account.pem").write_text("nonsense")
    else:
        site.server.names = ["elsewhere.example.com"]
    keeper, acme = await site.box(**settings)
    await acme.look()
    (said,) = keeper.troubles()
    assert trouble in said
    assert said.isprintable()
    assert keeper.pair(HOST).facts.source is Source.INTERNAL


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("shop.example.com", True),
        ("a.b.co.uk", True),
        ("shop", False),
        ("*", False),
        ("*.example.com", False),
        ("shop.local", False),
        ("box.localhost", False),
        ("192.168.1.10", False),
    ],
)
def test_which_hosts_look_public(host: str, public: bool) -> None:
    assert looks_public(host) is public
