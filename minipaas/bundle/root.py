"""The trust root: a TUF `root.json` that says whose releases a box believes.

What always holds of a `TrustRoot`: enough of its root keys signed it, and enough of its predecessor's when it has one;
its release keys (the `targets` role) are distinct, of a supported kind, and at least as many as the threshold.
`x-minipaas-epoch` in the signed part is the epoch of the bundles made under it; it never goes down.

The expiry of a root only warns. An edge box may stand for years without a visitor: a date must not lock its owner out.
Who may no longer sign is said by the next root, not by the calendar.

Follows the TUF specification 1.0, section 5.3, through tuf's Metadata API.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from minipaas.bundle.keys import PublicKey, SigningKey
from minipaas.bundle.refusal import refuse
from minipaas.model.errors import Invalid

if TYPE_CHECKING:
    from minipaas.bundle.foreign import Metadata, Root

EPOCH_FIELD: Final = "x-minipaas-epoch"
MAX_ROOT: Final = 1 << 20
VALID_DAYS: Final = 3650
"""How long a new root says it is good for; afterwards boxes warn."""


class TrustRoot(Struct, frozen=True, kw_only=True):
    """A root that was checked."""

    raw: bytes
    version: int
    epoch: int
    keys: dict[str, PublicKey]
    """Release keys by key id."""
    threshold: int
    """How many distinct release keys must have signed a bundle."""
    expires: int
    """Unix seconds; after it there is a warning, nothing else."""
    root_keys: tuple[str, ...]
    """Key ids that may sign the next root."""
    root_threshold: int


def new_root(
    *,
    release_keys: Sequence[PublicKey],
    threshold: int = 1,
    root_signers: Sequence[SigningKey],
    root_keys: Sequence[PublicKey] | None = None,
    root_threshold: int = 1,
    expires: datetime | None = None,
) -> bytes:
    """Version 1 of a trust root, signed by `root_signers`.

    `root_keys`: who may sign the next one; by default the signers. Not all of them need to sign here: `sign_root` adds
    more. Raises Invalid.
    """
    from minipaas.bundle.foreign import Metadata, Root

    root = Root(version=1, expires=_expiry(expires), consistent_snapshot=False, unrecognized_fields={EPOCH_FIELD: 1})
    _set_role(root, "root", root_keys or [signer.public for signer in root_signers], root_threshold)
    _set_role(root, "targets", release_keys, threshold)
    return _signed(Metadata(root), root_signers)


def rotate_root(
    current: bytes,
    *,
    signers: Sequence[SigningKey],
    release_keys: Sequence[PublicKey] | None = None,
    threshold: int | None = None,
    root_keys: Sequence[PublicKey] | None = None,
    root_threshold: int | None = None,
    new_epoch: bool = False,
    expires: datetime | None = None,
) -> bytes:
    """The next version, changed in what is given. `signers` must hold enough old and enough new root keys, or
    `sign_root` adds what is missing. Raises Invalid, Refused."""
    from minipaas.bundle.foreign import Metadata

    old = check_first(current)
    root = _parse(current, "the root").signed
    root.version += 1
    root.expires = _expiry(expires)
    root.unrecognized_fields[EPOCH_FIELD] = old.epoch + new_epoch
    for role, keys, wanted in (("root", root_keys, root_threshold), ("targets", release_keys, threshold)):
        held = [PublicKey(root.keys[key_id]) for key_id in root.roles[role].keyids]
        for key_id in list(root.roles[role].keyids):
            root.revoke_key(key_id, role)
        _set_role(root, role, held if keys is None else keys, wanted or root.roles[role].threshold)
    return _signed(Metadata(root), signers)


def sign_root(root: bytes, signer: SigningKey) -> bytes:
    """The same root with one more signature. Raises Refused when it is not a root."""
    metadata = _parse(root, "the root")
    metadata.sign(signer.tuf_signer(), append=True)
    return metadata.to_bytes()


def check_first(root: bytes, what: str = "the root") -> TrustRoot:
    """A root that the owner gives: it must bear enough of its own signatures. Raises Refused."""
    metadata = _parse(root, what)
    _verify(metadata.signed, metadata, what)
    return _trust(root, metadata, what)


def check_chain(trusted: bytes, chain: Sequence[bytes], what: str = "the root") -> TrustRoot:
    """The last root that `trusted` leads to through `chain`, which must not end before `trusted`. Raises Refused."""
    newest, _ = follow_chain(trusted, chain, what)
    if not chain or _parse(chain[-1], what).signed.version < newest.version:
        raise refuse(what, "root.old", f"root version {newest.version} is trusted already, which is newer")
    return newest


def follow_chain(trusted: bytes, chain: Sequence[bytes], what: str = "the root") -> tuple[TrustRoot, tuple[bytes, ...]]:
    """(the newest root, the roots that are new after `trusted`).

    `chain` has consecutive versions, ascending. Those before `trusted` are passed over, the one of the same version
    must be the same, each later one must be signed by the thresholds of its predecessor and its own. Raises Refused.
    """
    current = _parse(trusted, "the trusted root")
    newest = _trust(trusted, current, "the trusted root")
    added: list[bytes] = []
    last: int | None = None
    for raw in chain:
        metadata = _parse(raw, what)
        version = metadata.signed.version
        if last is not None and version != last + 1:
            raise refuse(what, "root.chain", f"root version {version} follows version {last}")
        last = version
        if version < current.signed.version:
            continue
        if version == current.signed.version:
            if metadata.signed_bytes != current.signed_bytes:
                raise refuse(what, "root.fork", f"its root version {version} is not the one that is trusted")
            continue
        if version != current.signed.version + 1:
            raise refuse(what, "root.chain", f"root version {current.signed.version + 1} is missing")
        _verify(current.signed, metadata, what)
        _verify(metadata.signed, metadata, what)
        trust = _trust(raw, metadata, what)
        if trust.epoch < newest.epoch:
            raise refuse(what, "root.epoch", f"root version {version} lowers the epoch")
        current, newest = metadata, trust
        added.append(raw)
    return newest, tuple(added)


def check_versions(chain: Sequence[bytes], what: str) -> None:
    """A bundle carries the chain from version 1 on, without a gap. Raises Refused."""
    for number, raw in enumerate(chain, 1):
        version = _parse(raw, what).signed.version
        if version != number:
            raise refuse(what, "root.chain", f"its root chain has version {version} in place {number}")


def _parse(data: bytes, what: str) -> Metadata[Root]:
    from minipaas.bundle.foreign import DeserializationError, Metadata, RepositoryError, Root

    if len(data) > MAX_ROOT:
        raise refuse(what, "root.format", "the trust root is larger than 1 MiB")
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
        metadata.signed_bytes  # noqa: B018 - some documents parse and have no canonical form
    except (DeserializationError, RepositoryError, RecursionError):
        raise refuse(what, "root.format", "the trust root is not a TUF document") from None
    if not isinstance(metadata.signed, Root):
        raise refuse(what, "root.format", f"this is TUF {metadata.signed.type}, not root")
    epoch = metadata.signed.unrecognized_fields.get(EPOCH_FIELD)
    if type(epoch) is not int or epoch < 1:
        raise refuse(what, "root.format", f"the trust root has no {EPOCH_FIELD}")
    return metadata


def _verify(by: Root, metadata: Metadata[Root], what: str) -> None:
    """Raise Refused unless enough distinct root keys of `by` signed."""
    from minipaas.bundle.foreign import RepositoryError

    _distinct(by, "root", what)
    try:
        by.verify_delegate("root", metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        version = metadata.signed.version
        raise refuse(what, "root.signature", f"root version {version} by the keys of {by.version}: {error}") from None


def _distinct(root: Root, role: str, what: str) -> dict[str, PublicKey]:
    """The keys of a role: no key counts twice under two ids."""
    try:
        keys = {key_id: PublicKey(root.keys[key_id]) for key_id in root.roles[role].keyids}
    except (KeyError, Invalid):
        raise refuse(what, "root.keys", f"the {role} role has a key that is missing or not supported") from None
    if len(set(keys.values())) != len(keys) or len(keys) < root.roles[role].threshold:
        raise refuse(what, "root.keys", f"the {role} role has a key twice, or fewer keys than its threshold")
    return keys


def _trust(raw: bytes, metadata: Metadata[Root], what: str) -> TrustRoot:
    root = metadata.signed
    return TrustRoot(
        raw=raw,
        version=root.version,
        epoch=root.unrecognized_fields[EPOCH_FIELD],
        keys=_distinct(root, "targets", what),
        threshold=root.roles["targets"].threshold,
        expires=int(root.expires.timestamp()),
        root_keys=tuple(root.roles["root"].keyids),
        root_threshold=root.roles["root"].threshold,
    )


def _set_role(root: Root, role: str, keys: Sequence[PublicKey], threshold: int) -> None:
    if len(set(keys)) != len(keys):
        raise Invalid("cannot make a trust root: the same key is given twice", code="root.keys")
    if not 1 <= threshold <= len(keys):
        raise Invalid(
            f"cannot make a trust root: threshold {threshold} of {len(keys)} {role} keys is not possible",
            hint="the threshold is at least 1 and at most the number of keys",
            code="root.keys",
        )
    for key in keys:
        root.add_key(key.tuf, role)
    root.roles[role].threshold = threshold


def _expiry(given: datetime | None) -> datetime:
    moment = given or datetime.now(UTC) + timedelta(days=VALID_DAYS)
    return moment.astimezone(UTC).replace(microsecond=0)


def _signed(metadata: Metadata[Root], signers: Sequence[SigningKey]) -> bytes:
    for signer in signers:
        metadata.sign(signer.tuf_signer(), append=True)
    return metadata.to_bytes()
