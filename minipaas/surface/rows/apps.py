"""Apps: how they are, what they did, what they use, and what may be done to them."""

from __future__ import annotations

from minipaas.model.metrics import AppSeries, HostSeries, Summary
from minipaas.surface import wire, wire_history, wire_plan, wire_timeline
from minipaas.surface.access import Access
from minipaas.surface.call import PATH_PATTERNS, Query
from minipaas.surface.handlers import apps, diffs, events, metrics, previews, timeline
from minipaas.surface.rows.row import NAME, RANGE, V1, Row, limit

ROWS: tuple[Row, ...] = (
    Row(
        method="GET",
        path=f"{V1}/apps",
        access=Access.OPEN,
        handler=apps.listing,
        summary="All apps, the most urgent first, with services and instances.",
        response=wire.Apps,
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}",
        access=Access.OPEN,
        handler=apps.one,
        summary="One app.",
        response=wire.AppView,
        errors=(404,),
    ),
    Row(
        method="DELETE",
        path=f"{V1}/apps/{{app}}",
        access=Access.ADMIN,
        handler=apps.remove,
        summary="Remove an app: routes, instances, network; its volumes only when asked to.",
        query=(Query(name="volumes", summary="Delete its volumes, and what is in them.", kind=bool, default=False),),
        response=wire.Accepted,
        status=202,
        errors=(404, 409, 422),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/releases",
        access=Access.OPEN,
        handler=apps.releases,
        summary="The releases of an app that this box has accepted, the newest first.",
        response=wire.Releases,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/releases/{{release}}/diff",
        access=Access.OPEN,
        handler=diffs.one,
        summary="What changed in a release (a version or digest): images, app.toml without its values of environment "
        "variables, packages by the bills of materials.",
        query=(
            Query(
                name="from",
                summary="Against this version or digest; what serves, or came before it, when left out.",
                pattern=PATH_PATTERNS["release"],
            ),
        ),
        response=wire_history.ReleaseDiff,
        errors=(404, 422),
    ),
    Row(
        method="POST",
        path=f"{V1}/apps/{{app}}/rollback",
        access=Access.DEPLOY,
        handler=apps.rollback,
        summary="Go back to an accepted release; needs no network.",
        request=wire.RollbackRequest,
        response=wire.Accepted,
        status=202,
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="POST",
        path=f"{V1}/apps/{{app}}/restart",
        access=Access.DEPLOY,
        handler=apps.restart,
        summary="Replace the instances of an app, or of one service, by new ones of the same release.",
        request=wire_plan.RestartRequest,
        response=wire.Accepted,
        status=202,
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="POST",
        path=f"{V1}/apps/{{app}}/scale",
        access=Access.DEPLOY,
        handler=apps.scale,
        summary="Run a service with more or fewer instances than its release says, also of later releases.",
        request=wire_plan.ScaleRequest,
        response=wire.Accepted,
        status=202,
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/preview",
        access=Access.DEPLOY,
        handler=previews.one,
        summary="What a rollback, removal, restart or scaling would do now: the very steps, and what pauses.",
        query=(
            Query(name="what", summary="Of what.", pattern="rollback|remove|restart|scale", default="restart"),
            Query(name="to", summary="For a rollback: the version or digest.", pattern=".{1,128}"),
            Query(name="volumes", summary="For a removal: its volumes too.", kind=bool, default=False),
            Query(name="service", summary="For a restart or scaling: this service.", pattern=NAME),
            Query(
                name="replicas",
                summary="For a scaling: how many; as many as the release says when left out.",
                kind=int,
                minimum=0,
                maximum=10_000,
            ),
        ),
        response=wire_plan.PlanPreview,
        errors=(404, 409, 422),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/events",
        access=Access.OPEN,
        handler=events.listing,
        summary="What happened to an app, the newest first: changes, upkeep, deaths; the audit for who may read it.",
        query=(
            limit(100),
            Query(name="before", summary="Only what stands before this id.", pattern="[0-9]{1,17}-[0-4]-[0-9]{1,15}"),
        ),
        response=wire_history.Events,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/timeline",
        access=Access.OPEN,
        handler=timeline.one,
        summary="An app's past on one axis: changes, crashes, restarts, how it was and what it used; for who may read "
        "logs also accesses, gaps in the log, and what was done to minipaas itself.",
        query=(timeline.WINDOW, timeline.UNTIL),
        response=wire_timeline.Timeline,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/metrics",
        access=Access.OPEN,
        handler=metrics.summary,
        summary="The machine and all apps at a glance: what they use, what they answer, how they were.",
        response=Summary,
    ),
    Row(
        method="GET",
        path=f"{V1}/metrics/host",
        access=Access.OPEN,
        handler=metrics.host,
        summary="The machine over a time.",
        query=(RANGE,),
        response=HostSeries,
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/metrics",
        access=Access.OPEN,
        handler=metrics.app,
        summary="What each slot of an app used and each of its routes answered, over a time.",
        query=(RANGE,),
        response=AppSeries,
        errors=(404,),
    ),
)
