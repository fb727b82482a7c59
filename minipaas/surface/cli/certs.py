"""`certs`: what a box shows to clients that come with TLS, and the root of its own CA."""

from __future__ import annotations

import sys

import click

from minipaas.surface.cli.options import box_options, to_option
from minipaas.surface.cli.show import Cell, paint, print_json, print_table
from minipaas.surface.client import Box
from minipaas.surface.wire_certificates import Certificates, CertificateView

_SOON = 21


@click.group(invoke_without_command=True)
@box_options
@click.pass_context
def certs(ctx: click.Context, to: str | None, as_json: bool) -> None:
    """The certificates of a box: for which names, from whom, how long they are good."""
    if ctx.invoked_subcommand is not None:
        return
    box = Box.at(to)
    answer = box.raw("GET", "/certificates")
    if as_json:
        print_json(answer)
        return
    known = box.understand(answer, Certificates)
    if known.authority is None:
        print("TLS is off. Next: write [tls] into config.toml, and start minipaas again")
        return
    print(f"apps with TLS at {', '.join(known.https)}" if known.https else "apps without TLS; the API has it")
    print(f"CA of this box: {known.authority.fingerprint}   (to trust it: minipaas certs ca > ca.pem)")
    if known.certificates:
        print()
        print_table(["NAMES", "FROM", "DAYS LEFT", "USED FOR", "TROUBLE"], map(_row, known.certificates))
    _tell(known)


@certs.command("ca")
@to_option
def authority(to: str | None) -> None:
    """Print the root certificate of the box's own CA, and on stderr its fingerprint, to be compared. Who trusts it
    believes every name that this box answers for."""
    import hashlib
    import ssl

    pem = Box.at(to).root().decode()
    sys.stdout.write(pem)
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    print(f"sha256:{digest}", file=sys.stderr)


@certs.command("reload")
@box_options
def reload(to: str | None, as_json: bool) -> int:
    """Load the PEM files again, now. Ends with 1 when one of them cannot be used; the one before it serves on."""
    box = Box.at(to)
    answer = box.raw("POST", "/certificates/reload")
    known = box.understand(answer, Certificates)
    if as_json:
        print_json(answer)
    else:
        own = sum(1 for one in known.certificates if one.source == "file")
        print(f"{own} own certificate{'' if own == 1 else 's'}")
        _tell(known)
    return 1 if known.trouble else 0


def _row(one: CertificateView) -> list[Cell]:
    left = str(one.days_left)
    used = [*one.routes, *(["API"] if one.api else [])]
    return [
        ", ".join(one.names),
        {"internal": "this box's CA", "acme": "acme"}.get(one.source, one.file or "a file"),
        (left, "red") if one.days_left < _SOON else left,
        ", ".join(used),
        (one.trouble, "red"),
    ]


def _tell(known: Certificates) -> None:
    for trouble in known.trouble:
        print(paint(f"! {trouble}", "red", sys.stderr), file=sys.stderr)
