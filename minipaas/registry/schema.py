"""Which schema this program speaks, and how an older registry is led to it.

`schema.sql` is always the whole newest schema. A change of it raises VERSION and adds the SQL that makes the new
version out of the one before as `schema_N.sql`; a test proves that both ways end at the same schema.
"""

from __future__ import annotations

from importlib import resources

from msgspec import Struct

VERSION = 2

APPLICATION_ID = 0x6D706173
"""'mpas' in the file's header (PRAGMA application_id): the file is one of ours."""


class Schema(Struct, frozen=True, kw_only=True):
    """A version, the SQL that makes it from nothing, and the SQL that makes it from the versions before."""

    version: int
    create: str
    migrations: dict[int, str]


def current() -> Schema:
    """The schema of this program."""
    here = resources.files(__package__)
    migrations = {
        number: here.joinpath(f"schema_{number}.sql").read_text(encoding="utf-8") for number in range(2, VERSION + 1)
    }
    return Schema(
        version=VERSION, create=here.joinpath("schema.sql").read_text(encoding="utf-8"), migrations=migrations
    )
