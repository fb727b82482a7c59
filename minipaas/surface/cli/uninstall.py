"""`minipaas uninstall`: minipaas off this host again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minipaas.model.errors import MinipaasError, Missing
from minipaas.surface.cli.host import audit, places_of, prefix_option, step, user_option
from minipaas.surface.cli.options import sure

if TYPE_CHECKING:
    from minipaas.install.facts import Facts
    from minipaas.install.places import Places


@click.command()
@user_option
@prefix_option
@click.option("--purge", is_flag=True, help="Also delete configuration and data: registry, images, trust, tokens.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def uninstall(user: bool, prefix: Path | None, purge: bool, yes: bool) -> None:
    """Take minipaas off this host. Apps keep running, though nothing routes to them any more; their volumes stay.

    Configuration and data stay too, so that a later install goes on where this one ended, unless --purge.
    """
    from minipaas.install.installation import Installation
    from minipaas.install.receipt import Receipt
    from minipaas.surface.diagnosis import facts

    places = places_of(user, prefix)
    receipt = Receipt.read(places.layout.home)
    if receipt is None:
        raise Missing(
            f"cannot uninstall: there is no minipaas in {places.home}",
            hint="name the place as install did: --user or --prefix DIR",
            code="install.none",
        )
    known = facts(places)
    for line in _left(known):
        print(line)
    sure(f"Take minipaas off this host{', and delete all its data' if purge else ''}?", yes)
    planned = Installation(places, receipt, known.config)
    version = _current(places)
    with places.layout.lock():
        with step("stop; the apps keep running"):
            planned.manager.stop(planned.manager.known_sockets())
            planned.manager.disable()
        if not purge:
            audit(Path(receipt.data), "uninstall", version)
        with step("remove program, service, completions and manual page"):
            planned.remove(purge)
            planned.manager.forget()
    kept = f"{receipt.config} and {receipt.data}"
    # a user's containers may have left files there of ids that are not that user's own
    delete = f"{'podman unshare ' if places.user else ''}rm -r {shlex.join((receipt.config, receipt.data))}"
    print(f"Deleted: {kept}" if purge else f"Kept: {kept}. They go with: {delete}")


def _left(known: Facts) -> Iterator[str]:
    """What an uninstall leaves, and how to remove it."""
    from minipaas.engine.body import BOX
    from minipaas.surface.diagnosis import leftovers

    try:
        containers, volumes, networks = leftovers(known)
    except MinipaasError as error:
        yield f"Containers, volumes and networks that stay are not listed here: {error.message}"
        yield f"  those of every minipaas on this Podman: podman ps --filter label={BOX}"
        return
    if containers:
        yield f"These containers keep running: {', '.join(containers)}"
        yield f"  remove them: podman rm -f {' '.join(containers)}"
    if volumes:
        yield f"These volumes stay: {', '.join(volumes)}"
        yield f"  delete them, and what is in them: podman volume rm {' '.join(volumes)}"
    if networks:
        yield f"These networks stay: {', '.join(networks)}"
        yield f"  remove them, after the containers: podman network rm {' '.join(networks)}"


def _current(places: Places) -> str:
    current = places.layout.current()
    return current.version if current is not None else "unknown"
