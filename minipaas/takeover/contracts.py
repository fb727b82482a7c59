"""What a life needs from the rest of the program: a box that it can open, and what a hand-over is for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol, TypeAlias

from minipaas.ingress.ingress import Ingress
from minipaas.takeover.listeners import Listeners


class Heart(Protocol):
    """A box whose registry is open."""

    async def alive(self) -> None:
        """Returns when the registry answers."""

    async def rest(self, patience: float) -> None:
        """Take nothing in any more; wait for what is under way, at most so many seconds."""


class Wish(Protocol):
    """A hand-over that somebody wants, and what has to be right on the disk for it."""

    command: tuple[str, ...]
    """The program that is to serve."""
    trial: bool
    """Whether it has to prove itself before it is relied on."""

    def step(self, title: str) -> AbstractContextManager[object]:
        """Whoever watches sees this step. May raise MinipaasError, like the next two."""

    def before(self) -> None:
        """The registry is closed, and the heir about to open it."""

    def ready(self) -> None:
        """The heir serves. If this raises, it is not wanted."""

    def started(self) -> None:
        """The heir is started once more."""

    def failed(self, reason: str, last_lines: list[str], *, served: bool) -> None:
        """This process serves again. `served`: the heir had served. Never raises."""


OpenHeart: TypeAlias = Callable[[Ingress, Listeners, float], AbstractAsyncContextManager[Heart]]
"""Opens a box that answers on an ingress and on sockets, with so many seconds for the first look at the apps."""
