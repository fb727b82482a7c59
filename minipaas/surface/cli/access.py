"""`token` and `audit`: who may use a box, and who did."""

from __future__ import annotations

import sys

import click

from minipaas.surface.cli.options import box_options, moment
from minipaas.surface.cli.show import on_terminal, print_json, print_table, stamp
from minipaas.surface.client import Box, segment
from minipaas.surface.wire import Role
from minipaas.surface.wire_box import Audit
from minipaas.surface.wire_tokens import NewToken, TokenRequest, Tokens


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
@click.option("--actor", metavar="TEXT", help="Only by whom this is a part of the name.")
@click.option("--action", metavar="WORD", help="Only this action: deploy, token, token.add, refused.")
@click.option("--app", metavar="APP", help="Only what was about this app.")
@click.option("--result", type=click.Choice(["done", "refused"]), help="Only what was done, or what was not.")
@click.option("--since", metavar="TIME", help="Not older: 2h, 7d, 2026-11-24, or 2026-11-24T09:12.")
@click.option("--until", metavar="TIME", help="Older, written in the same way.")
@box_options
def audit(
    limit: int,
    before: int | None,
    actor: str | None,
    action: str | None,
    app: str | None,
    result: str | None,
    since: str | None,
    until: str | None,
    to: str | None,
    as_json: bool,
) -> None:
    """Who did what to this box, when, from where, and what came of it. The newest first."""
    box = Box.at(to)
    wanted = {
        "limit": limit,
        "before": before,
        "actor": actor,
        "action": action,
        "app": app,
        "result": result,
        "since": None if since is None else moment(since, "--since"),
        "until": None if until is None else moment(until, "--until"),
    }
    answer = box.raw("GET", "/audit", query=wanted)
    if as_json:
        print_json(answer)
        return
    rows = [
        [str(row.id), stamp(row.at), row.actor, row.action, row.subject, row.origin, row.result]
        for row in box.understand(answer, Audit).rows
    ]
    print_table(["ID", "WHEN", "WHO", "DID", "TO WHAT", "FROM", "RESULT"], rows)
