"""Crashes: the kept scenes of failed instances."""

from __future__ import annotations

from minipaas.surface import wire_access, wire_crash
from minipaas.surface.access import Access
from minipaas.surface.call import Query
from minipaas.surface.handlers import commands, crashes
from minipaas.surface.rows.row import NAME, V1, Row

ROWS: tuple[Row, ...] = (
    Row(
        method="GET",
        path=f"{V1}/crashes",
        access=Access.READ,
        handler=crashes.listing,
        summary="Failed instances whose scenes are kept, equal failures together, those that happened last first.",
        query=(Query(name="app", summary="Only of this app.", pattern=NAME),),
        response=wire_crash.Crashes,
    ),
    Row(
        method="GET",
        path=f"{V1}/crashes/{{crash}}",
        access=Access.READ,
        handler=crashes.one,
        summary="One scene: why it ended, and everything that is known about it.",
        response=wire_crash.Crash,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/crashes/{{crash}}/log",
        access=Access.READ,
        handler=crashes.log,
        summary="The last lines of its log.",
        response="text/plain",
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/crashes/{{crash}}/files",
        access=Access.ADMIN,
        handler=crashes.files,
        summary="What it has written, as a tar compressed with zstd.",
        response="application/zstd",
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/crashes/{{crash}}/export",
        access=Access.ADMIN,
        handler=crashes.export,
        summary="All of a scene as one file, signed by this box.",
        query=(Query(name="image", summary="With the image that it ran.", kind=bool, default=False),),
        response="application/vnd.minipaas.crash.v1+tar",
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/crash-key",
        access=Access.OPEN,
        handler=crashes.key,
        summary="The key with which this box signs the scenes that it exports.",
        response=wire_crash.CrashKey,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/crashes/{{crash}}/open",
        access=Access.ENTER,
        handler=commands.reopen,
        summary="A command or shell in a container made from the scene, without a network. Bytes as for exec.",
        status=101,
        response="WebSocket",
        hears=wire_access.RunCommand,
        says=(wire_access.Opened, wire_access.Notice, wire_access.Taken, wire_access.Ended),
        errors=(404, 503),
    ),
    Row(
        method="DELETE",
        path=f"{V1}/crashes/{{crash}}",
        access=Access.ADMIN,
        handler=crashes.remove,
        summary="Let a scene go; by the id of a group all scenes of it.",
        response=wire_crash.CrashRemoved,
        errors=(404,),
    ),
)
