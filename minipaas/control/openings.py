"""Whether the ports that a release wants to be open on this box can be had, before anything of it is run.

It is tried for real: each is bound and closed again. What is open for the app already, and what its own containers
have published until now, counts as free.
"""

from __future__ import annotations

from collections.abc import Sequence

from minipaas.ingress.doors import LOCAL, bind
from minipaas.ingress.ingress import Ingress
from minipaas.model.change import Desired
from minipaas.model.config import Config, parse_listen
from minipaas.model.errors import Conflict
from minipaas.model.release import Release
from minipaas.model.stream import Stream


class Openings:
    """`refuse` may be called from any thread."""

    def __init__(self, ingress: Ingress, config: Config) -> None:
        self._ingress = ingress
        self._api = tuple(parse_listen(one)[1] for one in config.api.listen)
        self._addresses: Sequence[str] = config.ingress.stream_addresses

    def refuse(self, release: Release, desired: Desired) -> None:
        """Raises Conflict(port.own, port.in_use, port.not_permitted, port.address). Other apps are not asked here."""
        published = _published(release.app, desired)
        for service in release.spec.services.values():
            for mouth in service.streams:
                if mouth.stream not in published and not self._ingress.streams.has(mouth.stream):
                    self._try(mouth.stream, LOCAL if mouth.local else self._addresses)

    def _try(self, stream: Stream, addresses: Sequence[str]) -> None:
        own = self._own(stream)
        if own:
            raise Conflict(
                f"cannot listen on {stream}: minipaas itself has this port, for {own}",
                hint="choose another port in app.toml, or another one for minipaas in config.toml",
                code="port.own",
            )
        for address in addresses:
            bind(address, stream).close()

    def _own(self, stream: Stream) -> str:
        if stream.protocol != "tcp":
            return ""
        if stream.port in [port for _, port in (*self._ingress.addresses, *self._ingress.secure)]:
            return "the routes of apps"
        return "the status page and the API" if stream.port in self._api else ""


def _published(app: str, desired: Desired) -> set[Stream]:
    """What containers of the app may hold now; they are stopped before the port is opened."""
    releases = [one for mine in desired.apps if mine.app == app for one in (mine.serving, mine.good, mine.target)]
    specs = [spec for release in releases if release is not None for spec in release.spec.services.values()]
    return {port.stream for spec in specs for port in spec.published}
