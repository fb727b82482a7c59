"""A capsule as one file, signed by its box, to be looked into on another machine.

A USTAR tar of `capsule.json`, `log.txt`, `files.tar.zst` (where the instance has written anything), `box.pub` and
`signature.json`: a Sigstore bundle v0.3 over an in-toto Statement v1 whose subjects are the other members. The key says
which box it was; that it is the right one is for people to compare (`minipaas crash key`).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct, field

from minipaas.bundle import dsse
from minipaas.bundle.keys import PublicKey, SigningKey
from minipaas.bundle.statement import STATEMENT_TYPE, DigestSet, Subject
from minipaas.forensics import limits
from minipaas.forensics.shelf import CAPSULE, FILES, LOG
from minipaas.model.capsule import Capsule
from minipaas.model.errors import Invalid, Missing, Refused
from minipaas.model.typed import to_json

ENDING: Final = ".crash"
MEDIA_TYPE: Final = "application/vnd.minipaas.crash.v1+tar"
_PREDICATE: Final = "https://minipaas.dev/crash/v1"
_KEY, _SIGNATURE = "box.pub", "signature.json"
_SIZES: Final = {
    CAPSULE: limits.CAPSULE,
    LOG: limits.LOG_SIZE,
    FILES: 2 * limits.FILES,
    _KEY: 4096,
    _SIGNATURE: 64 * 1024,
}
"""What a file may have in it, and how large."""


class _Predicate(Struct, frozen=True, kw_only=True):
    app: str
    service: str
    id: str


class _Statement(Struct, frozen=True, kw_only=True, rename="camel"):
    type: str = field(name="_type", default=STATEMENT_TYPE)
    subject: tuple[Subject, ...]
    predicate_type: str = _PREDICATE
    predicate: _Predicate


class Exported(Struct, frozen=True, kw_only=True):
    """What such a file says, after its signature was checked."""

    capsule: Capsule
    log: str
    key_id: str
    """Of the box."""


def box_key(data: Path) -> SigningKey:
    """The key of this box; made when it is asked for the first time. Blocking. Raises MinipaasError, OSError."""
    path = data / "box.key"
    if not path.exists():
        SigningKey.generate().save(path)
    return SigningKey.load(path)


def export(capsule: Capsule, parts: Mapping[str, Path], key: SigningKey, out: BinaryIO) -> None:
    """Write the file. `parts`: the capsule's files by their names, those that there are. Blocking. Raises OSError."""
    public = key.public.pem()
    digests = {name: _digest(path) for name, path in parts.items()} | {_KEY: hashlib.sha256(public).hexdigest()}
    statement = _Statement(
        subject=tuple(Subject(name, DigestSet(digests[name])) for name in sorted(digests)),
        predicate=_Predicate(app=capsule.app, service=capsule.service, id=capsule.id),
    )
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in ((_SIGNATURE, dsse.sign(to_json(statement), key)), (_KEY, public)):
            tar.addfile(_member(name, len(data)), io.BytesIO(data))
        for name, path in parts.items():
            with path.open("rb") as file:
                tar.addfile(_member(name, path.stat().st_size), file)


def read(path: Path, believed: PublicKey | None = None) -> Exported:
    """Check a file and look into it. `believed`: whose it must be; None: whoever says so in it. Blocking.

    Raises Missing, Invalid (`crash.format`), Refused (`crash.signature`).
    """
    what = f"cannot open {path}"
    try:
        members, digests = _members(path)
        key = PublicKey.parse(members[_KEY], f"the key in {path}")
        signed = dsse.parse(members[_SIGNATURE], str(path))
        statement = msgspec.json.decode(signed.payload, type=_Statement)
        capsule = msgspec.json.decode(members[CAPSULE], type=Capsule)
    except FileNotFoundError:
        raise Missing(f"{what}: there is no such file", code="crash.no_file") from None
    except (OSError, KeyError, tarfile.TarError, msgspec.MsgspecError, ValueError) as error:
        raise Invalid(
            f"{what}: it is not a file of `minipaas crash export`: {error}",
            hint="copy it again from the box",
            code="crash.format",
        ) from None
    del digests[_SIGNATURE]
    told = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if (
        statement.predicate_type != _PREDICATE
        or told != digests
        or not key.verify(signed.signature, dsse.pae(signed.payload))
    ):
        raise Refused(f"{what}: it was changed after its box signed it", hint="export it again", code="crash.signature")
    if believed is not None and key != believed:
        raise Refused(
            f"{what}: it was signed by the box with key {key.key_id[:16]}, not by the one that you believe",
            hint="compare with `minipaas crash key` on the box",
            code="crash.signature",
        )
    return Exported(capsule=capsule, log=members[LOG].decode(errors="replace"), key_id=key.key_id)


def _members(path: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """The small members, and the digests of all."""
    contents: dict[str, bytes] = {}
    digests: dict[str, str] = {}
    with tarfile.open(path, mode="r:") as tar:
        for member in tar:
            if member.name not in _SIZES or member.name in digests or not member.isreg():
                raise ValueError(f"{member.name[:80]!r} has no business in it")
            if member.size > _SIZES[member.name]:
                raise ValueError(f"{member.name} is too large")
            file = tar.extractfile(member)
            if file is None:
                raise ValueError(f"{member.name} cannot be read")
            if member.name == FILES:
                digests[FILES] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
            else:
                contents[member.name] = file.read()
                digests[member.name] = hashlib.sha256(contents[member.name]).hexdigest()
    return contents, digests


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info
