"""One installation: which files it consists of, written when they are not there or not right, and taken away again.

What always holds: what an operator may have changed, config.toml and the data directory, is made when it is missing and
never replaced; everything else is written again as this version has it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from minipaas.install import files
from minipaas.install.layout import Version
from minipaas.install.places import Places
from minipaas.install.receipt import NAME, Receipt
from minipaas.install.service import Init, Manager
from minipaas.install.systemd import Service
from minipaas.install.tree import Progress
from minipaas.model.config import Config

CONFIG = """\
# What the operator of this box sets; every key may be left out. All of them: minipaas' operator's handbook.
# Read at the start; `minipaas install` after a change of addresses, so that systemd listens there.

# [api]
# listen = ["127.0.0.1:7070"]          # status page and API

# [ingress]
# http = ["0.0.0.0:80"]                # apps

# [podman]
# socket = "unix:///run/podman/podman.sock"

# [limits]
# keep_releases = 3
"""


class Texts(Struct, frozen=True):
    """What the program tells of itself, to be written into files."""

    manual: str
    completions: Mapping[str, str]
    """Shell -> script."""


class Installation:
    """What `install` and `uninstall` work on."""

    def __init__(self, places: Places, receipt: Receipt, config: Config) -> None:
        self.places = places
        self.receipt = receipt
        self.config = config
        self.manager = Manager(receipt.init, places, service_of(receipt, places, config))

    @classmethod
    def planned(
        cls, places: Places, init: Init, config: Config, texts: Texts, *, doors: tuple[str, ...], own_podman: bool
    ) -> Installation:
        """A new one, or the next of one that is there."""
        receipt = Receipt(
            init=init,
            user=places.user,
            config=str(places.config),
            data=str(places.data),
            files=(),
            doors=doors,
            own_podman=own_podman,
        )
        made = cls(places, receipt, config)
        made._texts = {places.manual: (texts.manual, 0o644)} | {
            places.completions[shell]: (script, 0o644) for shell, script in texts.completions.items()
        }
        return made

    _texts: Mapping[Path, tuple[str, int]] = {}

    def lay_out(self, tree: Path, version: str, progress: Progress | None = None) -> tuple[Version, bool]:
        """Place this version and make it current; and whether another one was, or none."""
        layout = self.places.layout
        placed = layout.place(tree, version, progress)
        changed = layout.current() != placed
        layout.switch(placed)
        layout.prune()
        return placed, changed

    def link(self) -> bool:
        """The name that people type; returns whether anything had to be done."""
        return files.point(self.places.at(self.places.link), self.places.program)

    def write_texts(self) -> bool:
        """Manual page and completions."""
        changed = [files.write(self.places.at(path), *content) for path, content in self._texts.items()]
        return any(changed)

    def write_config(self) -> bool:
        """An example, where there is none."""
        path = self.places.at(self.places.config)
        return not path.exists() and files.write(path, CONFIG)

    def make_data(self) -> bool:
        """The data directory, for nobody else."""
        return files.make_directory(self.places.at(self.places.data), 0o700)

    def write_service(self) -> list[Path]:
        """The init system's files, those of an earlier install that this one does not have removed; and the receipt.
        Returns what had to be done."""
        content = self.manager.content()
        changed = [path for path, row in content.items() if files.write(self.places.at(path), *row)]
        before = Receipt.read(self.places.layout.home)
        ours = {str(path) for path in (*content, *self._texts, self.places.link)}
        for path in (Path(name) for name in sorted(set(before.files if before else ()) - ours)):
            if files.remove(self.places.at(path)):
                changed.append(path)
        self.receipt = msgspec.structs.replace(self.receipt, files=tuple(sorted(ours)))
        self.receipt.write(self.places.layout.home)
        return changed

    def remove(self, purge: bool) -> None:
        """Everything that was written; with `purge` also configuration and data."""
        for name in self.receipt.files:
            files.remove(self.places.at(Path(name)))
        home = self.places.layout.home
        for path in (
            home / NAME,
            *(self.places.at(path) for path in self.manager.content() if path.parent == self.places.home),
        ):
            files.remove(path)
        self.places.layout.remove()
        if purge:
            config = self.places.at(Path(self.receipt.config))
            files.remove(config)
            with contextlib.suppress(OSError):  # there is more in it, or it was not there
                config.parent.rmdir()
            files.remove_tree(self.places.at(Path(self.receipt.data)))


def service_of(receipt: Receipt, places: Places, config: Config) -> Service:
    """What the init system is told."""
    data = Path(receipt.data)
    return Service(
        program=places.program,
        arguments=("serve", "--config", receipt.config, "--data", receipt.data),
        data=data,
        home=places.home,
        http=config.ingress.http or receipt.doors[:1],
        https=config.ingress.https or (receipt.doors[1:] if config.tls_on else ()),
        api=config.api.listen,
        user=places.user,
        own_podman=receipt.own_podman,
    )
