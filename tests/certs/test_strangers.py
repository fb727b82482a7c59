"""A whole box and ACME servers of others, on a network of the test's own: ordered, proven on port 80, served, renewed,
and refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec
import pytest

from minipaas.model.certificate import Certificate, Source
from minipaas.model.config import AcmeConfig, TlsConfig
from tests.apart import Names, apart
from tests.boxes import RunningBox, config, running_box, toml
from tests.certs.strangers import LIFE, Stranger, caddy, pebble
from tests.fakepodman.server import FakePodman

pytestmark = pytest.mark.strangers

SHOP, ASTRAY = "shop.example.com", "astray.example.com"
HERE, NOWHERE = "127.0.0.1", "127.0.0.9"
"""The box is at the first; on the second nobody listens."""
NAMES = {"localhost": HERE, "acme.test": HERE, SHOP: HERE}


def of(box: RunningBox, host: str) -> Certificate | None:
    """What the ACME server has signed for a host."""
    keeper = box.control.certificates
    assert keeper is not None
    return next((one for one in keeper.certificates() if one.source is Source.ACME and one.names == (host,)), None)


async def reload(box: RunningBox) -> None:
    await box.control.reload_certificates(actor="test", origin="test")


async def curl(root: Path, host: str) -> str:
    """What curl gets that believes only in this root; the certificate has to be for the host, with its whole chain."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "--noproxy", "*", "--max-time", "20", "--cacert", str(root), "-w", "%{http_code}"),
        *("-o", "/dev/null", f"https://{host}/"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return said.decode()


async def story(box: RunningBox, server: Stranger, names: Names) -> None:
    await box.trust()
    await box.deploy(toml(routes=f'"{SHOP}", "{ASTRAY}"'))
    await reload(box)
    keeper = box.control.certificates
    assert keeper is not None
    first = await box.until(lambda: of(box, SHOP))
    assert isinstance(first, Certificate)
    assert await curl(server.root, SHOP) == "200"

    # The name of the other one leads astray: the server's own words say so, and the box's own CA speaks meanwhile.
    (trouble,) = await box.until(keeper.troubles)  # type: ignore[misc]
    server_said = f"cannot get a certificate for {ASTRAY} from {server.directory.split('/')[2]}: connection: "
    assert trouble.startswith(server_said), trouble
    assert of(box, ASTRAY) is None
    own = keeper.pair(ASTRAY).facts
    assert own.source is Source.INTERNAL

    names.lead({**NAMES, ASTRAY: HERE})
    # Go looks at names again after five seconds.
    await asyncio.sleep(5.5)
    await reload(box)
    await box.until(lambda: of(box, ASTRAY))
    await box.until(lambda: not keeper.troubles())
    assert await curl(server.root, ASTRAY) == "200"

    # Time goes by: a release says that it is later than the box's clock has it.
    later = box.bundle(toml(version="2.0", routes=f'"{SHOP}"'), version="2.0", issued=time.time() + LIFE * 3 / 4)
    assert (await box.ended(await box.send_file(later))).state == "done"
    await reload(box)

    def renewed() -> bool:
        now = of(box, SHOP)
        return now is not None and now.fingerprint != first.fingerprint and now.not_after > first.not_after

    await box.until(renewed)
    assert await curl(server.root, SHOP) == "200"
    assert keeper.troubles() == ()


@pytest.mark.parametrize("stranger", [caddy, pebble])
def test_a_box_and_an_acme_server_of_others(
    stranger: Callable[[Path], AbstractAsyncContextManager[Stranger]], tmp_path: Path
) -> None:
    here = tmp_path / "server"
    here.mkdir()

    async def run(names: Names) -> None:
        names.lead({**NAMES, ASTRAY: NOWHERE})
        async with stranger(here) as server:
            with FakePodman(tmp_path) as fake:
                plain = config(fake)
                acme = AcmeConfig(agree=True, directory=server.directory, ca=str(server.ca), contact="ops@example.com")
                settings = msgspec.structs.replace(
                    plain,
                    ingress=msgspec.structs.replace(plain.ingress, http=("127.0.0.1:80",), https=("127.0.0.1:443",)),
                    tls=TlsConfig(acme=acme),
                )
                async with running_box(fake, tmp_path, settings) as box:
                    await story(box, server, names)

    apart(run, tmp_path)
