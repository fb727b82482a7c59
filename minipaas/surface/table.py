"""The API as one table: method, path, access, handler and types, in one row each.

Server, OpenAPI document and docs/api.md are made from it. What always holds: a row has access and a summary, a row
that changes something is not open, no two rows share method and path; else the import of this module fails.
"""

from __future__ import annotations

from minipaas.surface.rows import access, apps, box, bundles, crashes, logs, page
from minipaas.surface.rows.row import Row

TABLE: tuple[Row, ...] = (*bundles.ROWS, *apps.ROWS, *logs.ROWS, *access.ROWS, *crashes.ROWS, *box.ROWS, *page.ROWS)

if len({(row.method, row.path) for row in TABLE}) != len(TABLE):
    raise TypeError("two rows of the table share method and path")
