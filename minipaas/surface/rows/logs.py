"""What apps wrote."""

from __future__ import annotations

from minipaas.surface import wire, wire_logs, wire_shipping
from minipaas.surface.access import Access
from minipaas.surface.call import Query
from minipaas.surface.handlers import logs, logs_live, shipping
from minipaas.surface.limits import LIMITS
from minipaas.surface.rows.row import V1, Row

ROWS: tuple[Row, ...] = (
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/logs",
        access=Access.READ,
        handler=logs.newest,
        summary="The last lines that the instances of an app wrote, those that are gone included.",
        query=(
            *logs.FILTER,
            logs.BEFORE,
            Query(
                name="tail",
                summary="Lines, at most.",
                kind=int,
                default=100,
                minimum=1,
                maximum=LIMITS.log_lines,
            ),
        ),
        response=wire.Logs,
        errors=(404, 422, 504),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/logs/live",
        access=Access.READ,
        handler=logs_live.live,
        summary="The lines of an app as they come. A reader that comes back goes on where it was.",
        query=tuple(query for query in logs.FILTER if query.name != "until"),
        status=101,
        response="WebSocket",
        hears=wire_logs.FollowLogs,
        says=(wire_logs.LogLines,),
        errors=(404, 504),
    ),
    Row(
        method="GET",
        path=f"{V1}/shipping",
        access=Access.READ,
        handler=shipping.listing,
        summary="Where logs are sent, and how far each destination has come.",
        response=wire_shipping.Shipping,
    ),
)
