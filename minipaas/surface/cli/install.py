"""`minipaas install`: this program as a service of this host."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minipaas.model.errors import Invalid, MinipaasError, Refused
from minipaas.surface.cli.host import ROOT, audit, places_of, prefix_option, progress, step, user_option
from minipaas.surface.cli.show import paint

if TYPE_CHECKING:
    from minipaas.install.facts import BoxFacts, Facts
    from minipaas.install.findings import Finding
    from minipaas.install.installation import Installation, Texts
    from minipaas.install.places import Places
    from minipaas.install.service import Init


@click.command()
@click.option(
    "--trust",
    "root",
    metavar="ROOT",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The trust root that the new box believes: root.json.",
)
@user_option
@prefix_option
@click.option("--no-start", is_flag=True, help="Start it with the host, and not now.")
@click.option(
    "--init",
    "init_name",
    type=click.Choice(["systemd", "openrc", "sysv", "none"]),
    help="What starts services here. Default: what is found.",
)
@click.option("--force", is_flag=True, help="Go on though something is missing.")
def install(
    root: Path | None, user: bool, prefix: Path | None, no_start: bool, init_name: str | None, force: bool
) -> None:
    """Make minipaas a service of this host: look what is missing, lay the program out, start it.

    Can be typed again at any time: what is right already stays as it is, and running apps go on. Also an upgrade, with
    a pause; and what to type after addresses in config.toml have changed. With DESTDIR in the environment, everything
    is written below that directory, as of an image that is being made, and nothing is started.
    """
    from minipaas.install.service import Init, detect

    destination = Path(os.environ.get("DESTDIR") or ROOT).absolute()
    live = destination == ROOT
    if root is not None and (no_start or not live):
        why = "a trust root is added to a box that runs"
        raise Invalid(
            f"cannot install with --trust and without starting: {why}", hint="start it, then: minipaas trust add"
        )
    tree, version = _program()
    places = places_of(user, prefix, destination)
    trust = _trust_root(root)
    init = Init(init_name) if init_name else detect(places)
    known = _checked(places, init, force) if live else None
    planned = _planned(places, init, known)
    if known is not None and known.box is not None and init is not Init.NONE and not planned.manager.active():
        raise Refused(
            f"cannot install: a minipaas that no service started uses {known.data}",
            hint=f"stop it first, apps keep running: kill $(cat {known.data}/lock)",
            code="install.running",
        )
    changed = _write(planned, tree, version)
    if init is Init.NONE:
        print(f"Nothing starts it here by itself: {places.link} {' '.join(planned.manager.service.arguments)}")
        if root is not None:
            print(f"When it runs: minipaas trust add {root}")
        return
    with step(f"start {_when(places)}"):
        planned.manager.enable()
    if no_start or not live:
        print("Not started: --no-start" if live else f"Not started: it lies below {destination}")
        return
    try:
        box = _start(planned, version, changed)
    except MinipaasError as error:
        before = planned.places.layout.previous()
        if changed is not None and before is not None:
            back = " ".join([str(places.home / "previous/minipaas"), "install", *_named(user, prefix)])
            error.hint = f"{error.hint}; {before.version}, which was here before, is back by: {back}".removeprefix("; ")
        raise
    if trust is not None:
        _believe(planned, trust)
    _next(planned, box, trusted=trust is not None or box.root_version is not None)


def _named(user: bool, prefix: Path | None) -> list[str]:
    """The options that name the place."""
    return ["--user"] if user else [] if prefix is None else ["--prefix", str(prefix)]


# -- what is installed -----------------------------------------------------------------------------------------------


def _program() -> tuple[Path, str]:
    """The unpacked program, and its version."""
    from minipaas import program
    from minipaas.surface.cli.about import own_version

    tree = program.tree()
    if tree is None:
        raise Invalid(
            "cannot install: this minipaas runs from its sources",
            hint="build the one file, and install that: scripts/build, then dist/minipaas install",
            code="install.sources",
        )
    return tree, own_version()


def _trust_root(file: Path | None) -> bytes | None:
    """The trust root, checked before anything is done."""
    if file is None:
        return None
    from minipaas.bundle.root import check_first
    from minipaas.surface.cli.trust import read_root

    data = read_root(file)
    check_first(data, str(file))
    return data


def _checked(places: Places, init: Init, force: bool) -> Facts:
    """Look at the host first. Raises Refused when something is missing."""
    from minipaas.install.findings import Level
    from minipaas.surface.cli.doctor import show
    from minipaas.surface.diagnosis import diagnose, facts

    with step("look at this host") as told:
        known = facts(places, init)
        found: list[Finding] = diagnose(known, before=True)
        told.append(f"{sum(1 for one in found if one.level is Level.OK)} of {len(found)} checks are well")
    worse = [one for one in found if one.level is not Level.OK]
    if worse:
        show(worse)
    missing = [one.name for one in found if one.level is Level.BAD]
    if missing and not force:
        raise Refused(
            f"cannot install: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not as minipaas needs it",
            hint="mend that, then type this again; or go on all the same: --force",
            code="install.preflight",
        )
    return known


def _planned(places: Places, init: Init, known: Facts | None) -> Installation:
    """Which files, with what in them."""
    from minipaas.install.check_host import usual_doors
    from minipaas.install.installation import Installation
    from minipaas.install.receipt import Receipt
    from minipaas.install.service import Init, podman_is_a_service
    from minipaas.model.config import Config
    from minipaas.surface.diagnosis import read_config

    before = Receipt.read(places.layout.home)
    config = known.config if known is not None else read_config(places.at(places.config))[0]
    if known is None:
        doors: tuple[str, ...] = ("0.0.0.0:80", "0.0.0.0:443")
    elif before is not None and before.init is init and known.box is not None:
        doors = before.doors  # what it listens on now is its own
    else:
        doors = usual_doors(known)
    own = not (known is not None and known.socket) and not (init is Init.SYSTEMD and podman_is_a_service(places))
    return Installation.planned(places, init, config or Config(), _texts(), doors=doors, own_podman=own)


def _texts() -> Texts:
    """Manual page and completions, from the commands themselves."""
    from click.shell_completion import get_completion_class

    from minipaas.install.installation import Texts
    from minipaas.surface.cli.main import cli
    from minipaas.surface.cli.manual import page

    scripts = {}
    for shell in ("bash", "zsh", "fish"):
        made = get_completion_class(shell)
        if made is not None:
            complete = made(cli, {}, "minipaas", "_MINIPAAS_COMPLETE")
            scripts[shell] = complete.source_template % complete.source_vars()
    return Texts(page(), scripts)


# -- the steps -------------------------------------------------------------------------------------------------------


def _write(planned: Installation, tree: Path, version: str) -> list[str] | None:
    """Everything onto the disk. Returns the files of the service that are others now; None: what runs is as it should
    be."""
    places = planned.places
    with places.layout.lock():
        with step(f"lay out {version} in {places.home}") as told, progress() as heard:
            placed, changed = planned.lay_out(tree, version, heard)
            told.append(placed.name if changed else "already there")
        for title, act in (
            (f"link {places.link}", planned.link),
            ("manual page and completions", planned.write_texts),
            (f"example of {places.config}", planned.write_config),
            (f"data directory {places.data}", planned.make_data),
        ):
            with step(title) as told:
                if not act():
                    told.append("already there")
        with step(f"service files for {planned.receipt.init.value}") as told:
            written = planned.write_service()
            told.append(", ".join(path.name for path in written) or "already there")
    return [path.name for path in written] if changed or written else None


def _start(planned: Installation, version: str, changed: list[str] | None) -> BoxFacts:
    """Start it, or start it anew with what has changed, and wait until it answers."""
    from minipaas.install import limits
    from minipaas.surface.diagnosis import box

    manager = planned.manager
    data, config = Path(planned.receipt.data), planned.config
    with step("start") as told:
        active = manager.active()
        if active and changed is None:
            told.append("it runs already")
        else:
            stale = [name for name in changed or () if name.endswith(".socket")]
            if active or stale:
                manager.stop(stale)  # in the other sockets, who connects waits
            audit(data, "install", version)
            manager.start()
        until = time.monotonic() + limits.READY
        while True:
            try:
                return box(data, config)
            except MinipaasError as error:
                if time.monotonic() > until:
                    raise MinipaasError(
                        f"cannot start minipaas: {error.message}", hint=_why(planned), code="install.not_ready"
                    ) from None
            time.sleep(0.2)


def _why(planned: Installation) -> str:
    from minipaas.install.service import Init

    if planned.receipt.init is Init.SYSTEMD:
        user = "--user " if planned.places.user else ""
        return f"what it said: journalctl {user}-u minipaas -n 50; what is wrong here: minipaas doctor"
    return "what it said: grep minipaas /var/log/syslog, or logread; what is wrong here: minipaas doctor"


def _when(places: Places) -> str:
    """What the service starts with. A user's services that do not linger come and go with the sessions."""
    from minipaas.install.check_user import lingers, me

    return "with the host" if not places.user or lingers() else f"when {me()} logs in"


def _believe(planned: Installation, trust: bytes) -> None:
    from minipaas.surface.client import Box
    from minipaas.surface.connection import SOCKET_NAME, Address
    from minipaas.surface.wire_trust import TrustView

    with step("trust") as told:
        at = Box(Address("unix", str(planned.places.data / SOCKET_NAME)))
        root = at.understand(at.raw("POST", "/trust", trust), TrustView).roots[-1]
        told.append(f"root version {root.version}: {root.threshold} of {len(root.keys)} release keys")


def _next(planned: Installation, box: BoxFacts, trusted: bool) -> None:
    """The next three commands."""
    from minipaas.install.check_user import enable_linger, lingers, me

    places = planned.places
    print(paint(f"\nminipaas {box.version} runs, and starts {_when(places)}.", "green"))
    if places.user and not lingers():
        print(paint(f"It ends, with all apps, when {me()} logs out, until: {enable_linger()}", "yellow"))
    shown = [f"page: http://{one}" for one in box.api] + [f"apps: http://{one}" for one in box.ingress]
    print("  ".join(shown))
    prefix = "" if str(places.link.parent) in os.environ.get("PATH", "").split(":") else f"{places.link.parent}/"
    if places.data != type(places).system().data and not places.user:
        prefix = f"MINIPAAS_DATA={places.data} {prefix}"
    print("\nNext:")
    first = "minipaas status" if trusted else "minipaas trust add root.json"
    for command in (first, "minipaas deploy APP.bundle", "minipaas doctor"):
        print(f"  {prefix}{command}")
