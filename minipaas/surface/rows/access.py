"""Ways into instances, and who is or was in them."""

from __future__ import annotations

from minipaas.surface import wire_access
from minipaas.surface.access import Access
from minipaas.surface.call import PATH_PATTERNS, Query
from minipaas.surface.handlers import commands, copies, forwards, leases
from minipaas.surface.rows.row import NAME, V1, Row, limit

LEASE = PATH_PATTERNS["lease"]

ROWS: tuple[Row, ...] = (
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/exec",
        access=Access.ENTER,
        handler=commands.run,
        summary="A command or shell in an instance. Bytes begin with the number of their stream: 0 in, 1 out, 2 error.",
        status=101,
        response="WebSocket",
        hears=wire_access.RunCommand,
        says=(wire_access.Opened, wire_access.Notice, wire_access.Taken, wire_access.Ended),
        errors=(404, 503),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/files",
        access=Access.ENTER,
        handler=copies.run,
        summary="Files out of an instance, or into it, as a tar.",
        status=101,
        response="WebSocket",
        hears=wire_access.CopyFiles,
        says=(wire_access.Opened, wire_access.Place, wire_access.Taken, wire_access.Ended),
        errors=(404, 503),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/forward",
        access=Access.ENTER,
        handler=forwards.run,
        summary="Ports of an instance, published or not, for as long as this is open.",
        status=101,
        response="WebSocket",
        hears=wire_access.ForwardPorts,
        says=(wire_access.Opened, wire_access.Notice, wire_access.Ended),
        errors=(404, 503),
    ),
    Row(
        method="GET",
        path=f"{V1}/leases/{{lease}}/connect",
        access=Access.ENTER,
        handler=forwards.connect,
        summary="One TCP connection to a forwarded port; only for whoever opened the access.",
        query=(Query(name="port", summary="Which.", kind=int, default=0, minimum=1, maximum=65535),),
        status=101,
        response="WebSocket",
        says=(wire_access.Taken, wire_access.Ended),
        errors=(404, 503),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/drift",
        access=Access.READ,
        handler=leases.drift,
        summary="What differs in an instance from its image, and who has been in it.",
        query=(
            Query(name="service", summary="Of this service.", pattern=NAME),
            Query(name="slot", summary="This instance of it.", kind=int, default=0, minimum=1, maximum=10_000),
        ),
        response=wire_access.Drift,
        errors=(404, 422, 502, 503),
    ),
    Row(
        method="GET",
        path=f"{V1}/leases",
        access=Access.READ,
        handler=leases.listing,
        summary="Who is in an instance now, and who was, the newest first.",
        query=(
            Query(name="app", summary="Only of this app.", pattern=NAME),
            Query(name="before", summary="Only those that are over and began before this one.", pattern=LEASE),
            limit(50),
        ),
        response=wire_access.Leases,
    ),
    Row(
        method="DELETE",
        path=f"{V1}/leases/{{lease}}",
        access=Access.ENTER,
        handler=leases.end,
        summary="End somebody's access now.",
        status=204,
        response="",
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/leases/{{lease}}/recording",
        access=Access.ENTER,
        handler=leases.recording,
        summary="What a session showed, to be played again (asciicast v2).",
        response="application/x-asciicast",
        errors=(404,),
    ),
)
