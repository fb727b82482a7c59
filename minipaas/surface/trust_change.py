"""What a new trust root would change, in words, before anybody says yes. Pure functions of two checked roots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from minipaas.surface.i18n import Message, message

if TYPE_CHECKING:
    from minipaas.bundle.root import TrustRoot

SHORT = 16
"""Characters of a key id that people compare."""


def told_change(trusted: Sequence[bytes], root: bytes) -> tuple[Message, ...]:
    """The sentences, the most important first. Raises Refused for a root that would not be trusted."""
    from minipaas.bundle.root import check_chain, check_first

    if not trusted:
        return _first(check_first(root))
    now = check_chain(trusted[-1], [trusted[-1]])
    return _next(now, check_chain(trusted[-1], [root]))


def _first(new: TrustRoot) -> tuple[Message, ...]:
    return (
        message("trust_change.first", version=new.version),
        message("trust_change.releases", threshold=new.threshold, total=len(new.keys), keys=_keys(new.keys)),
        message(
            "trust_change.roots", threshold=new.root_threshold, total=len(new.root_keys), keys=_keys(new.root_keys)
        ),
    )


def _next(old: TrustRoot, new: TrustRoot) -> tuple[Message, ...]:
    if new.version == old.version:
        return (message("trust_change.same", version=new.version),)
    said = [message("trust_change.replaces", version=new.version, old=old.version)]
    added, removed = set(new.keys) - set(old.keys), set(old.keys) - set(new.keys)
    if removed:
        said.append(message("trust_change.removed", n=len(removed), keys=_keys(removed)))
    if added:
        said.append(message("trust_change.added", n=len(added), keys=_keys(added)))
    if new.threshold != old.threshold:
        said.append(message("trust_change.threshold", threshold=new.threshold, total=len(new.keys), old=old.threshold))
    if not added and not removed and new.threshold == old.threshold:
        said.append(message("trust_change.same_releases", threshold=new.threshold, total=len(new.keys)))
    if set(new.root_keys) != set(old.root_keys) or new.root_threshold != old.root_threshold:
        said.append(
            message(
                "trust_change.roots", threshold=new.root_threshold, total=len(new.root_keys), keys=_keys(new.root_keys)
            )
        )
    if new.epoch != old.epoch:
        said.append(message("trust_change.epoch", epoch=new.epoch, old=old.epoch))
    return tuple(said)


def _keys(ids: Iterable[str]) -> str:
    return ", ".join(sorted(key[:SHORT] for key in ids))
