"""Which schema this program speaks, and how an older registry is led to it.

`schema.sql` is always the whole newest schema. A change of it raises VERSION and adds the SQL that makes the new
version out of the one before to MIGRATIONS; a test proves that both ways end at the same schema.
"""

from __future__ import annotations

from importlib import resources

from msgspec import Struct

VERSION = 1
MIGRATIONS: dict[int, str] = {}
"""By the version they lead to."""

APPLICATION_ID = 0x6D706173
"""'mpas' in the file's header (PRAGMA application_id): the file is one of ours."""


class Schema(Struct, frozen=True, kw_only=True):
    """A version, the SQL that makes it from nothing, and the SQL that makes it from the versions before."""

    version: int
    create: str
    migrations: dict[int, str]


def current() -> Schema:
    """The schema of this program."""
    create = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    return Schema(version=VERSION, create=create, migrations=MIGRATIONS)
