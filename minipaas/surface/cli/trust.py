"""`trust`: make and rotate a trust root (the author's side), and tell a box whom to believe (the operator's).

What always holds: no file is replaced; a root key that is made here is written with mode 0600 before the root that
needs it; private keys never go to a box.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minipaas.model.errors import Invalid, MinipaasError, Refused
from minipaas.surface.cli.options import box_options, json_option
from minipaas.surface.cli.show import Cell, paint, print_json, print_table, stamp
from minipaas.surface.client import Box
from minipaas.surface.wire_trust import TrustView

if TYPE_CHECKING:
    from minipaas.bundle.keys import PublicKey, SigningKey
    from minipaas.bundle.root import TrustRoot

MAX_ROOT = 1 << 20
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)

key_option = click.option("--key", "keys", metavar="PUB", type=FILE, multiple=True, help="A release key (.pub).")
output_option = click.option("-o", "--output", type=OUTPUT, required=True, help="Where to write the root.")


@click.group()
def trust() -> None:
    """Whose bundles a box accepts.

    The trust root names the release keys and how many of them must sign a bundle. It is itself signed by a root key,
    which stays offline: whoever has it can change whom your boxes believe.
    """


@trust.command("new")
@key_option
@click.option(
    "--threshold", type=click.IntRange(min=1), default=1, show_default=True, help="Release keys a bundle needs."
)
@click.option(
    "--root-key", "root_keys", metavar="KEY", type=FILE, multiple=True, help="A root key. Default: a new one."
)
@click.option(
    "--root-threshold", type=click.IntRange(min=1), default=1, show_default=True, help="Root keys a root needs."
)
@output_option
@json_option
def new(
    keys: tuple[Path, ...],
    threshold: int,
    root_keys: tuple[Path, ...],
    root_threshold: int,
    output: Path,
    as_json: bool,
) -> None:
    """Make a trust root. Without --root-key a root key is made beside it: keep that one offline."""
    from minipaas.bundle.keys import SigningKey
    from minipaas.bundle.root import new_root

    if not keys:
        raise Invalid(
            "cannot make a trust root: no release key is given",
            hint="minipaas key new release.key, then: minipaas trust new --key release.key.pub -o root.json",
            code="root.keys",
        )
    _refuse_existing(output)
    made: Path | None = None
    if root_keys:
        signers = _private(root_keys)
    else:
        made = output.with_suffix(".key")
        signers = [SigningKey.generate()]
    root = new_root(
        release_keys=_public(keys), threshold=threshold, root_signers=signers, root_threshold=root_threshold
    )
    if made is not None:
        signers[0].save(made)
    _write(output, root)
    if as_json:
        print_json(_facts(_checked(root)) | {"file": str(output), "root_key": made and str(made)})
        return
    print(f"{output}: a bundle needs {threshold} of {len(keys)} release key{'s' if len(keys) > 1 else ''}")
    if made is not None:
        print(f"{made}: the root key. Take it off this machine and keep it offline, in two places;")
        print("  whoever has it can change whom your boxes believe, and without it you can't.")
    print(f"Next, on each box: minipaas trust add {output.name}")


@trust.command("rotate")
@click.argument("file", type=FILE)
@click.option(
    "--root-key", "root_keys", metavar="KEY", type=FILE, multiple=True, required=True, help="A root key of FILE."
)
@key_option
@click.option("--threshold", type=click.IntRange(min=1), help="Release keys a bundle needs.")
@click.option(
    "--new-root-key", "new_root_keys", metavar="KEY", type=FILE, multiple=True, help="A root key from now on."
)
@click.option("--root-threshold", type=click.IntRange(min=1), help="Root keys the next root needs.")
@click.option("--new-epoch", is_flag=True, help="Outdate every bundle made so far, whatever its sequence number.")
@output_option
@json_option
def rotate(
    file: Path,
    root_keys: tuple[Path, ...],
    keys: tuple[Path, ...],
    threshold: int | None,
    new_root_keys: tuple[Path, ...],
    root_threshold: int | None,
    new_epoch: bool,
    output: Path,
    as_json: bool,
) -> None:
    """Make the next version of a trust root.

    What is not given stays. --key and --new-root-key replace all keys of their kind: name those that stay, too.
    """
    from minipaas.bundle.root import check_chain, rotate_root

    _refuse_existing(output)
    current = read_root(file)
    fresh = _private(new_root_keys)
    root = rotate_root(
        current,
        signers=[*_private(root_keys), *fresh],
        release_keys=_public(keys) or None,
        threshold=threshold,
        root_keys=[key.public for key in fresh] or None,
        root_threshold=root_threshold,
        new_epoch=new_epoch,
    )
    complete = True
    try:
        check_chain(current, [root], str(output))
    except Refused as error:
        if error.code != "root.signature":
            raise
        complete = False
    _write(output, root)
    if as_json:
        print_json({"file": str(output), "complete": complete})
    elif complete:
        print(f"{output}: ready. Boxes learn of it from the next bundle, or by: minipaas trust add {output.name}")
    else:
        print(f"{output}: more root keys must sign it. Next: minipaas trust sign {output} --root-key KEY")


@trust.command("sign")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, writable=True, path_type=Path))
@click.option("--root-key", "root_keys", metavar="KEY", type=FILE, multiple=True, required=True, help="A root key.")
def sign(file: Path, root_keys: tuple[Path, ...]) -> None:
    """Add signatures to a root that needs more than one root key. FILE is changed in place."""
    from minipaas.bundle.root import sign_root

    root = read_root(file)
    for key in _private(root_keys):
        root = sign_root(root, key)
    beside = file.with_name(file.name + ".part")
    _write(beside, root)
    beside.replace(file)
    print(f"{file}: signed")


@trust.command("show")
@click.argument("file", type=FILE)
@json_option
def show(file: Path, as_json: bool) -> None:
    """What a root.json says. Refused when its own signatures don't suffice."""
    root = _checked(read_root(file), str(file))
    facts = _facts(root)
    if as_json:
        print_json(facts)
        return
    print(f"trust root version {root.version}, epoch {root.epoch}, good until {stamp(root.expires)[:10]}")
    print(f"releases need {root.threshold} of these keys:")
    for key_id, key in root.keys.items():
        print(f"  {key_id}  {key.kind}")
    print(f"the next root needs {root.root_threshold} of these root keys:")
    for key_id in root.root_keys:
        print(f"  {key_id}")


@trust.command("add")
@click.argument("file", type=FILE)
@box_options
def add(file: Path, to: str | None, as_json: bool) -> None:
    """Tell a box to believe a root. It is its first, or one that follows from what it believes now."""
    box = Box.at(to)
    answer = box.raw("POST", "/trust", read_root(file))
    if as_json:
        print_json(answer)
        return
    root = box.understand(answer, TrustView).roots[-1]
    print(f"{box.address} believes root version {root.version}: {root.threshold} of {len(root.keys)} release keys")


@trust.command("list")
@box_options
def listing(to: str | None, as_json: bool) -> None:
    """Whom a box believes. The last line is in force."""
    box = Box.at(to)
    answer = box.raw("GET", "/trust")
    if as_json:
        print_json(answer)
        return
    roots = box.understand(answer, TrustView).roots
    if not roots:
        print("This box believes nobody yet. Next: minipaas trust add root.json")
        return
    rows: list[list[Cell]] = []
    for root in roots:
        keys = " ".join(key[:12] for key in root.keys)
        expires: Cell = (root.expires[:10], "red") if root.expired else root.expires[:10]
        rows.append([str(root.version), str(root.epoch), expires, f"{root.threshold} of {len(root.keys)}", keys])
    print_table(["VERSION", "EPOCH", "GOOD UNTIL", "NEEDS", "RELEASE KEYS"], rows)
    if roots[-1].expired:
        print(paint("The root in force is past its date; it still counts. Next: minipaas trust rotate", "yellow"))


def _facts(root: TrustRoot) -> dict[str, object]:
    return {
        "version": root.version,
        "epoch": root.epoch,
        "threshold": root.threshold,
        "keys": [{"id": key_id, "kind": key.kind} for key_id, key in root.keys.items()],
        "expires": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(root.expires)),
        "root_threshold": root.root_threshold,
        "root_keys": root.root_keys,
    }


def _checked(root: bytes, what: str = "the root") -> TrustRoot:
    from minipaas.bundle.root import check_first

    return check_first(root, what)


def _public(paths: Sequence[Path]) -> list[PublicKey]:
    from minipaas.bundle.keys import PublicKey

    return [PublicKey.load(path) for path in paths]


def _private(paths: Sequence[Path]) -> list[SigningKey]:
    from minipaas.bundle.keys import SigningKey

    return [SigningKey.load(path) for path in paths]


def read_root(file: Path) -> bytes:
    """The content of a file that may be a root. Raises Invalid for one that is too large."""
    with file.open("rb") as source:
        data = source.read(MAX_ROOT + 1)
    if len(data) > MAX_ROOT:
        raise Invalid(f"cannot read {file}: it is larger than {MAX_ROOT >> 20} MiB, so not a root", code="root.format")
    return data


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise Invalid(f"cannot write {path}: it exists already", hint="choose another name", code="root.exists")


def _write(path: Path, data: bytes) -> None:
    """A new file, on disk when this returns. Raises MinipaasError."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise MinipaasError(f"cannot write {path}: {error.strerror}", code="root.write") from None
