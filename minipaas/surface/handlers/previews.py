"""Previews: what would happen, before anybody says yes."""

from __future__ import annotations

from minipaas.control.foresight import foresee
from minipaas.model.change import ChangeKind
from minipaas.model.outlook import Outlook
from minipaas.surface.call import Call
from minipaas.surface.wire_plan import PlannedStep, PlanPreview, ServiceForecast


async def one(call: Call) -> PlanPreview:
    """Of a request that needs no bundle."""
    query = call.query
    outlook = await foresee(
        call.registry,
        call.control.observed,
        call.app,
        ChangeKind(query["what"]),
        to=query["to"],
        purge=query["volumes"],
        service=query["service"],
        replicas=query["replicas"],
    )
    return preview_view(outlook)


def preview_view(outlook: Outlook) -> PlanPreview:
    """An outlook as it crosses the wire."""
    return PlanPreview(
        app=outlook.app,
        kind=outlook.kind,
        version=outlook.version,
        serving=outlook.serving,
        steps=tuple(
            PlannedStep(kind=type(one.step).__name__, title=one.step.title, after=one.after) for one in outlook.steps
        ),
        services=tuple(
            ServiceForecast(
                name=one.name,
                fate=one.fate,
                before=one.before,
                after=one.after,
                pauses=one.pauses,
                why=one.why,
                hold=one.hold,
                at_most=outlook.back_within if one.pauses else None,
            )
            for one in outlook.services
        ),
        volumes_kept=outlook.volumes_kept,
        volumes_deleted=outlook.volumes_deleted,
        at_most=outlook.at_most,
    )
