"""The audit log: who did what, when, from where, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minipaas.registry.audit import ANY, Wanted
from minipaas.surface.call import Call, Query
from minipaas.surface.wire_box import Audit, AuditView

REFUSED, DONE = "refused", "done"
"""What `result` asks for."""
TIME = 10**11
"""Seconds that a time can have at most: the year 5138."""
FILTER = (
    Query(name="actor", summary="Only by whom this is a part of the name.", pattern=r"[^\x00-\x1f\x7f]{1,100}"),
    Query(
        name="action",
        summary="Only this action, or all that begin with it and a dot: `deploy`, `token`, `token.add`.",
        pattern=r"[a-z_]{1,40}(\.[a-z_]{1,40})?",
    ),
    Query(name="app", summary="Only what was about this app.", pattern=r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"),
    Query(
        name="result",
        summary="`refused`: only what was refused or failed; `done`: only what was done.",
        pattern=f"{REFUSED}|{DONE}",
    ),
    Query(name="since", summary="Not earlier than this, Unix seconds.", kind=int, maximum=TIME),
    Query(name="until", summary="Earlier than this, Unix seconds.", kind=int, maximum=TIME),
    Query(name="before", summary="Only rows before this id.", kind=int, minimum=1, maximum=10**15),
)


async def listing(call: Call) -> Audit:
    """The newest first."""
    return await rows(call, call.query["limit"], wanted_by(call.query))


def wanted_by(query: Mapping[str, Any]) -> Wanted:
    """What the parameters of `FILTER` ask for."""
    return Wanted(
        actor=query["actor"],
        action=query["action"],
        app=query["app"],
        refused=None if query["result"] is None else query["result"] == REFUSED,
        since=query["since"],
        until=query["until"],
        before=query["before"],
    )


async def rows(call: Call, limit: int, wanted: Wanted = ANY) -> Audit:
    """At most `limit` rows."""
    return Audit(
        rows=tuple(
            AuditView(
                id=row.id,
                at=row.at,
                actor=row.actor,
                action=row.action,
                subject=row.subject,
                origin=row.origin,
                result=row.result,
                app=row.app,
            )
            for row in await call.registry.audit_log(limit, wanted)
        )
    )
