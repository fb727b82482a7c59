"""`token` and `audit`: who may use a box, and who did."""

from __future__ import annotations

import sys

import click

from minipaas.surface.cli.options import box_options
from minipaas.surface.cli.show import on_terminal, print_json, print_table, stamp
from minipaas.surface.client import Box, segment
from minipaas.surface.wire import Audit, NewToken, Role, TokenRequest, Tokens


@click.group()
def token() -> None:
    """Who may use the API over TCP. The Unix socket needs no token."""


@token.command("new")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What it may do.")
@box_options
def new(name: str, role: str, to: str | None, as_json: bool) -> None:
    """Make a token. Its secret is shown this once; the box keeps only a hash of it."""
    made = Box.at(to).call("POST", "/tokens", NewToken, TokenRequest(name=name, role=Role(role)))
    if as_json:
        print_json(made)
    elif on_terminal():
        print(f"{made.secret}\n\nThis is shown once. Use it as: MINIPAAS_TOKEN=… minipaas … --to https://host:port")
    else:
        print(made.secret)


@token.command("list")
@box_options
def listing(to: str | None, as_json: bool) -> None:
    """The tokens, without their secrets."""
    box = Box.at(to)
    answer = box.raw("GET", "/tokens")
    if as_json:
        print_json(answer)
        return
    rows = [[row.name, row.role.value, stamp(row.created)] for row in box.understand(answer, Tokens).tokens]
    if rows:
        print_table(["NAME", "ROLE", "CREATED"], rows)
    else:
        print("No tokens: over TCP this box can only be read. Next: minipaas token new NAME --role deploy")


@token.command("revoke")
@click.argument("name")
@box_options
def revoke(name: str, to: str | None, as_json: bool) -> None:
    """Make a token worthless from now on."""
    Box.at(to).raw("DELETE", f"/tokens/{segment(name)}")
    if as_json:
        print_json({"revoked": name})
    else:
        print(f"token {name} is revoked", file=sys.stderr)


@click.command()
@click.option("-n", "limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many.")
@click.option("--before", type=int, metavar="ID", help="Older than this row.")
@box_options
def audit(limit: int, before: int | None, to: str | None, as_json: bool) -> None:
    """Who did what to this box, when, from where, and what came of it. The newest first."""
    box = Box.at(to)
    answer = box.raw("GET", "/audit", query={"limit": limit, "before": before})
    if as_json:
        print_json(answer)
        return
    rows = [
        [str(row.id), stamp(row.at), row.actor, row.action, row.subject, row.origin, row.result]
        for row in box.understand(answer, Audit).rows
    ]
    print_table(["ID", "WHEN", "WHO", "DID", "TO WHAT", "FROM", "RESULT"], rows)
