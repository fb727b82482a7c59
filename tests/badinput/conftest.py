"""One box for all refusals: each test shows that it was left as it was found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kit.box import free_port

from tests.badinput.live import LiveBox
from tests.badinput.shop import SERVES, author, forge
from tests.boxes import toml


@pytest.fixture(scope="session")
def port() -> int:
    """The host port that `radio` publishes."""
    return free_port()


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[LiveBox]:
    """It trusts the author; `shop` 2.0 serves (sequence 200, not below 150) after 1.0, and `radio` has a host port."""
    with LiveBox(tmp_path_factory.mktemp("box")) as one:
        trust(one)
        for version, sequence, lowest in (("1.0", 100, 0), (SERVES, 200, 150)):
            end = one.deploy(forge(version=version, sequence=sequence, min_sequence=lowest).build())
            assert end["state"] == "done", end
        text = toml("radio", "1.0", routes='"radio.local"', extra=f'ports = ["127.0.0.1:{port}:1883"]')
        assert one.deploy(forge("radio", "1.0", 100, app_toml=text).build())["state"] == "done"
        one.until(lambda: sorted(one.fake.containers) == ["minipaas-radio-web-1-1", "minipaas-shop-web-1-2"])
        yield one


def trust(box: LiveBox) -> None:
    """`minipaas trust add root.json`."""
    file = box.directory / "root.json"
    file.write_bytes(author()[1])
    said = box.cli("trust", "add", file)
    assert said.code == 0, said
