"""Checks of the box: whether it is installed as it should be, runs, and what it says."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from minipaas.install import check_box
from minipaas.install.facts import Facts
from minipaas.install.findings import Level
from minipaas.install.installation import Installation, Texts
from minipaas.install.places import Places
from minipaas.install.service import Init
from minipaas.model.config import Config, IngressConfig
from tests.install.facts import box, facts
from tests.install.made import tree


def installed(tmp_path: Path, **given: object) -> Facts:
    """A prefix with version 1.0 in it, and units for systemd below it."""
    places = Places(
        home=tmp_path / "opt/minipaas",
        link=tmp_path / "bin/minipaas",
        config=tmp_path / "etc/minipaas/config.toml",
        data=tmp_path / "var/lib/minipaas",
        share=tmp_path / "share",
        units=tmp_path / "units",
    )
    made = Installation.planned(
        places, Init.SYSTEMD, Config(), Texts("", {}), doors=("0.0.0.0:80", "0.0.0.0:443"), own_podman=False
    )
    with places.layout.lock():
        made.lay_out(tree(tmp_path / "built"), "1.0")
    made.link()
    made.make_data()
    made.write_service()
    return facts(tmp_path, places=places, receipt=made.receipt, **given)


def test_a_host_without_a_box(tmp_path: Path) -> None:
    known = facts(tmp_path)
    assert check_box.program(known).mend == "minipaas install"
    assert [check(known) for check in (check_box.box, check_box.trust, check_box.service_files)] == [None] * 3


def test_a_box_that_is_well(tmp_path: Path) -> None:
    told = check_box.box(installed(tmp_path, box=box()))
    assert told is not None
    assert (told.level, told.says) == (Level.OK, "1.0: 2 apps, 3 of 3 instances healthy")
    told = check_box.box(facts(tmp_path, box=box(apps=1, healthy=1, instances=1)))
    assert told is not None
    assert told.says == "1.0: 1 app, 1 of 1 instance healthy"


def test_a_box_that_does_not_answer(tmp_path: Path) -> None:
    told = check_box.box(installed(tmp_path, box_error="nobody listens"))
    assert told is not None
    assert (told.level, told.says) == (Level.BAD, "nobody listens")
    assert told.mend.startswith("systemctl start minipaas")


def test_a_box_in_trouble(tmp_path: Path) -> None:
    told = check_box.box(installed(tmp_path, box=box(trouble="Podman is gone")))
    assert told is not None
    assert (told.level, told.says) == (Level.BAD, "Podman is gone")


def test_another_version_runs(tmp_path: Path) -> None:
    told = check_box.box(installed(tmp_path, box=box(version="0.9")))
    assert told is not None
    assert (told.level, told.says) == (Level.WARN, "0.9 runs, and 1.0 is installed")
    assert told.mend == "systemctl restart minipaas"


def test_an_upgrade_that_was_gone_back_from(tmp_path: Path) -> None:
    assert check_box.upgrade(installed(tmp_path, box=box())) is None
    found = check_box.upgrade(
        installed(tmp_path / "other", box=box(returned="upgrade to 2.0 went back to 1.0: it died"))
    )
    assert found is not None
    assert (found.level, found.says) == (Level.WARN, "upgrade to 2.0 went back to 1.0: it died")
    assert found.mend.startswith("minipaas upgrade --status")


def test_nobody_is_believed(tmp_path: Path) -> None:
    told = check_box.trust(facts(tmp_path, box=box(root_version=None)))
    assert told is not None
    assert (told.level, told.mend) == (Level.WARN, "minipaas trust add root.json")


@pytest.mark.parametrize(
    ("count", "troubles", "level", "says"),
    [
        (None, (), None, ""),
        (3, (), Level.OK, "3, all good"),
        (3, ("certificate a.pem: it ended 2 days ago", "cannot read b.pem"), Level.WARN, "it ended 2 days ago; cannot"),
    ],
)
def test_certificates(
    tmp_path: Path, count: int | None, troubles: tuple[str, ...], level: Level | None, says: str
) -> None:
    told = check_box.certificates(facts(tmp_path, box=box(certificates=count, certificate_troubles=troubles)))
    assert (told.level if told else None) is level
    assert says in (told.says if told else "")


def test_units_that_are_not_as_the_configuration_has_it(tmp_path: Path) -> None:
    known = installed(tmp_path)
    told = check_box.service_files(known)
    assert told is not None
    assert told.level is Level.OK
    changed = Config(ingress=IngressConfig(http=("0.0.0.0:8088",)))
    told = check_box.service_files(msgspec.structs.replace(known, config=changed))
    assert told is not None
    assert (told.level, told.mend) == (Level.WARN, "minipaas install")
    assert "minipaas-http.socket" in told.says


def test_a_program_that_is_not_in_the_path(tmp_path: Path) -> None:
    told = check_box.program(installed(tmp_path))
    assert (told.level, str(tmp_path / "bin") in told.mend) == (Level.WARN, True)


def test_an_old_copy_of_the_registry(tmp_path: Path) -> None:
    copy = tmp_path / "registry.db.day.copy"
    copy.write_text("")
    known = installed(tmp_path, box=box(), registry_copy=copy)
    told = check_box.registry_copy(known)
    assert told is not None
    assert told.level is Level.OK
    week_ago = time.time() - 7 * 86400
    os.utime(copy, (week_ago, week_ago))
    told = check_box.registry_copy(known)
    assert told is not None
    assert (told.level, "7 days old" in told.says) == (Level.WARN, True)


def test_a_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    told = check_box.configuration(facts(tmp_path, config_error="cannot read it: x"))
    assert told is not None
    assert told.level is Level.BAD


@pytest.mark.parametrize(
    ("count", "troubles", "level", "says"),
    [
        (0, (), None, ""),
        (2, (), Level.OK, "logs go to 2 destinations"),
        (2, ("far: nobody listens there",), Level.WARN, "far: nobody listens there"),
    ],
)
def test_shipping(tmp_path: Path, count: int, troubles: tuple[str, ...], level: Level | None, says: str) -> None:
    told = check_box.shipping(facts(tmp_path, box=box(shipping=count, shipping_troubles=troubles)))
    assert (told and told.level) == level
    assert told is None or says in told.says
