"""`forward`: ports of an instance, here."""

from __future__ import annotations

import click

from minipaas.model.errors import Invalid
from minipaas.surface.cli.enter import visit_options
from minipaas.surface.cli.options import instance_named, to_option
from minipaas.surface.client import Box
from minipaas.surface.wire_access import ForwardPorts


@click.command()
@click.argument("name", metavar="APP[/SERVICE[/N]]")
@click.argument("ports", metavar="[LOCAL:]PORT...", nargs=-1, required=True)
@visit_options
@to_option
def forward(name: str, ports: tuple[str, ...], reason: str, seconds: float | None, to: str | None) -> None:
    """Reach ports of an instance from here, also those that are not published, until Ctrl-C.

    Each connection to LOCAL on 127.0.0.1 here becomes one to PORT on 127.0.0.1 there, within the instance. LOCAL is the
    same as PORT when it is left out, and 0 takes a free one.
    """
    app, service, slot = instance_named(name)
    pairs = tuple(_pair(text) for text in ports)
    wanted = ForwardPorts(
        service=service, slot=slot, reason=reason, seconds=seconds, ports=tuple(there for _, there in pairs)
    )
    from minipaas.surface.cli.forwarded import forwarded

    forwarded(Box.at(to), app, wanted, pairs)


def _pair(text: str) -> tuple[int, int]:
    local, colon, port = text.rpartition(":")
    wrong = Invalid(f"cannot read {text!r}: it is not PORT or LOCAL:PORT", hint="like 6379 or 8080:80", code="cli.port")
    if not port.isdecimal() or not 0 < int(port) < 65536 or (colon and not local.isdecimal()):
        raise wrong
    here = int(local) if colon else int(port)
    if here > 65535:
        raise wrong
    return here, int(port)
