"""What is signed: an in-toto Statement v1 whose predicate says which release this is.

Subjects: `bundle`, the bundle manifest, and `service/<name>`, the image manifest of each service. So the signature
reaches every byte, and the unsigned index can't give a service another image. An unknown field of the predicate is
refused, not ignored: it might be a condition. More conditions need another predicate type.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from minipaas.bundle import oci
from minipaas.bundle.refusal import refuse
from minipaas.model.errors import Invalid
from minipaas.model.typed import to_json

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://minipaas.dev/release/v1"
BUNDLE_SUBJECT: Final = "bundle"
SERVICE_SUBJECT: Final = "service/"
ORDER_ANNOTATION: Final = "dev.minipaas.order"
IMAGE_ANNOTATION: Final = "dev.minipaas.image."
MAX_COUNT: Final = 2**53 - 1
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_TIME_FORM: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_COUNT)]


class DigestSet(Struct, frozen=True, forbid_unknown_fields=True):
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Subject(Struct, frozen=True, forbid_unknown_fields=True):
    """A name and what it stands for."""

    name: str
    digest: DigestSet


class Predicate(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which release this is. Times are RFC 3339 in UTC, whole seconds."""

    app: str
    version: str
    epoch: Positive
    sequence: Positive
    min_sequence: Count
    root_version: Positive
    issued: str
    valid_until: str | UnsetType = UNSET

    @property
    def issued_at(self) -> int:
        """Unix seconds."""
        return parse_time(self.issued)

    @property
    def expires_at(self) -> int | None:
        """Unix seconds."""
        return None if self.valid_until is UNSET else parse_time(self.valid_until)


class Statement(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """in-toto Statement v1."""

    type: str = field(name="_type", default=STATEMENT_TYPE)
    subject: tuple[Subject, ...]
    predicate_type: str = PREDICATE_TYPE
    predicate: Predicate

    @property
    def subjects(self) -> dict[str, str]:
        """Subject name -> `sha256:<hex>`."""
        return {subject.name: "sha256:" + subject.digest.sha256 for subject in self.subject}

    @property
    def services(self) -> dict[str, str]:
        """Service name -> image manifest digest."""
        return {
            name.removeprefix(SERVICE_SUBJECT): digest
            for name, digest in self.subjects.items()
            if name.startswith(SERVICE_SUBJECT)
        }


def identity(epoch: int, sequence: int, services: dict[str, str]) -> dict[str, str]:
    """The annotations that make a bundle manifest that of one release: its place in the order, and the image manifest
    (`sha256:<hex>`) of every service. Without them, releases with equal files would share one digest."""
    return {ORDER_ANNOTATION: f"{epoch}.{sequence}"} | {
        IMAGE_ANNOTATION + service: digest for service, digest in services.items()
    }


def build(bundle: str, services: dict[str, str], predicate: Predicate) -> bytes:
    """The payload: a statement about these digests (`sha256:<hex>`)."""
    named = {BUNDLE_SUBJECT: bundle} | {SERVICE_SUBJECT + name: services[name] for name in sorted(services)}
    subjects = tuple(Subject(name, DigestSet(digest.removeprefix("sha256:"))) for name, digest in named.items())
    return to_json(Statement(subject=subjects, predicate=predicate))


def parse(payload: bytes, what: str) -> Statement:
    """Read a payload whose signatures were checked. Raises Refused."""
    try:
        statement = oci.decode(payload, Statement)
        if statement.type != STATEMENT_TYPE or statement.predicate_type != PREDICATE_TYPE:
            raise refuse(what, "signature.statement", f"it is a {statement.predicate_type!r:.80}, not a release")
        statement.predicate.issued_at, statement.predicate.expires_at  # noqa: B018 - raise here, not later
    except (msgspec.MsgspecError, ValueError) as error:
        raise refuse(what, "signature.statement", f"the signed statement: {error}") from None
    names = [subject.name for subject in statement.subject]
    strange = [n for n in names if n != BUNDLE_SUBJECT and not n.startswith(SERVICE_SUBJECT)]
    if len(set(names)) != len(names) or strange or BUNDLE_SUBJECT not in names:
        raise refuse(what, "signature.statement", "the subjects of the signed statement are not a bundle and services")
    if statement.predicate.min_sequence > statement.predicate.sequence:
        raise refuse(what, "signature.statement", "its minSequence is above its own sequence")
    return statement


def format_time(seconds: float) -> str:
    """Unix seconds as RFC 3339. Raises Invalid outside the years 1970 to 9999."""
    try:
        if seconds < 0:
            raise ValueError("before 1970")
        return datetime.fromtimestamp(int(seconds), UTC).strftime(_TIME)
    except (ValueError, OverflowError, OSError):
        raise Invalid(
            f"cannot write the time {seconds}: it is not in the years 1970 to 9999", code="input.time"
        ) from None


def parse_time(text: str) -> int:
    """RFC 3339 in UTC with whole seconds as Unix seconds. Raises ValueError."""
    if not _TIME_FORM.fullmatch(text):
        raise ValueError(f"{text!r:.40} is not a time like 2026-01-31T12:00:00Z")
    return int(datetime.strptime(text, _TIME).replace(tzinfo=UTC).timestamp())
