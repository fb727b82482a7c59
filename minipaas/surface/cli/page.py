"""`page`: the status page in a browser, signed in."""

from __future__ import annotations

import sys

import click

from minipaas.surface.cli.options import box_options
from minipaas.surface.cli.show import on_terminal, print_json
from minipaas.surface.client import Box
from minipaas.surface.wire_tokens import PageLink


@click.command()
@box_options
def page(to: str | None, as_json: bool) -> None:
    """Print a link that opens the status page signed in as you. It is good once, for two minutes."""
    link = Box.at(to).call("POST", "/page-links", PageLink)
    if as_json:
        print_json(link)
        return
    print(f"{link.pages[0]}{link.path}")
    if on_terminal():
        port = link.pages[0].rpartition(":")[2]
        print(
            f"Good once, for {link.seconds} s. From elsewhere first: ssh -L {port}:127.0.0.1:{port} HOST",
            file=sys.stderr,
        )
