"""`key`: release keys. A private key is written once, with mode 0600, and never replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

import click

from minipaas.surface.cli.options import json_option
from minipaas.surface.cli.show import print_json


@click.group()
def key() -> None:
    """Release keys.

    A release key signs bundles; a trust root says which release keys a box believes.
    """


@key.command("new")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--type",
    "kind",
    type=click.Choice(["ecdsa", "ed25519"]),
    default="ecdsa",
    show_default=True,
    help="ecdsa is P-256: what KMS, HSM and YubiKey speak.",
)
@json_option
def new(path: Path, kind: str, as_json: bool) -> None:
    """Make a key pair: the private key in PATH (mode 0600), the public key in PATH.pub."""
    from minipaas.bundle.keys import SigningKey

    made = SigningKey.generate(cast(Literal["ecdsa", "ed25519"], kind))
    public = made.save(path)
    if as_json:
        print_json({"id": made.key_id, "kind": made.kind, "private": str(path), "public": str(public)})
        return
    print(f"{path}: the private key. Keep it to yourself, and keep a copy.")
    print(f"{public}: the public key, {made.kind} {made.key_id[:12]}")
    print(f"Next: minipaas trust new --key {public} -o root.json")
