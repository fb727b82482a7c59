"""The trust root that a bundle carries: versions 1 to N, from the files that the author has.

What always holds of a `RootChain`: it begins with version 1, has no gap, and each root is signed by the thresholds of
its predecessor and of itself. The author names the newest file; older versions that lie beside it are found by
themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from minipaas.author.limits import LIMITS
from minipaas.bundle.keys import SigningKey
from minipaas.bundle.root import TrustRoot, check_chain, check_first
from minipaas.model.errors import Invalid, MinipaasError, Missing, Refused


class RootChain(Struct, frozen=True):
    """The files in order, and what the newest one says."""

    roots: tuple[bytes, ...]
    newest: TrustRoot


def load_roots(paths: Sequence[Path]) -> RootChain:
    """The chain of the newest of these root files. Raises Missing, Invalid, Refused."""
    given = [load_root(path) for path in paths]
    newest = max(given, key=lambda root: root.version)
    candidates = [*given, *_beside(paths)] if newest.version > 1 else given
    chain = [newest]
    while chain[0].version > 1:
        before = next((x for x in candidates if x.version == chain[0].version - 1 and _leads_to(x, chain[0])), None)
        if before is None:
            raise Invalid(
                f"cannot use {paths[0]}: a bundle carries all versions of the trust root, and version "
                f"{chain[0].version - 1} is neither given nor beside it",
                hint="give every file: --root root.json --root root-2.json",
                code="author.root_chain",
            )
        chain.insert(0, before)
    return RootChain(tuple(root.raw for root in chain), newest)


def load_root(path: Path) -> TrustRoot:
    """One root file, with enough of its own signatures. Raises Missing, Invalid, Refused."""
    return check_first(_read(path), str(path))


def check_signers(newest: TrustRoot, keys: Iterable[SigningKey], what: str) -> None:
    """Raise Refused when a key is none of the root's release keys: no box would count its signature."""
    known = set(newest.keys.values())
    for key in keys:
        if key.public not in known:
            raise Refused(
                f"cannot {what}: key {key.key_id[:12]} is not a release key of trust root version {newest.version}",
                hint="its release keys: " + ", ".join(key_id[:12] for key_id in newest.keys),
                code="author.foreign_key",
            )


def _beside(paths: Sequence[Path]) -> list[TrustRoot]:
    """Every root in the directories of the given ones; other JSON files are passed over."""
    found: list[TrustRoot] = []
    for directory in dict.fromkeys(path.parent for path in paths):
        for path in sorted(directory.glob("*.json")):
            try:
                found.append(load_root(path))
            except MinipaasError:
                continue
    return found


def _leads_to(old: TrustRoot, new: TrustRoot) -> bool:
    try:
        check_chain(old.raw, [new.raw])
    except Refused:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LIMITS.root_file + 1)
    except FileNotFoundError:
        raise Missing(
            f"cannot read {path}: there is no such file",
            hint="make one: minipaas trust new --key release.key.pub -o root.json",
            code="author.root",
        ) from None
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}", code="author.root") from None
    if len(data) > LIMITS.root_file:
        raise Invalid(f"cannot read {path}: it is larger than {LIMITS.root_file // 1024} KiB", code="input.size")
    return data
