"""Bundles: sent, held, deployed."""

from __future__ import annotations

from minipaas.surface import wire, wire_plan
from minipaas.surface.access import Access
from minipaas.surface.call import Query
from minipaas.surface.handlers import bundles, held
from minipaas.surface.rows.row import V1, Row

ROWS: tuple[Row, ...] = (
    Row(
        method="PUT",
        path=f"{V1}/bundles",
        access=Access.UPLOAD,
        handler=bundles.put,
        summary="Upload a signed bundle: verified while it arrives, then rolled out.",
        request=bytes,
        streams_in=True,
        query=(
            Query(
                name="hold",
                summary="Verify it, keep it waiting, and answer what would happen; access as deploy.",
                kind=bool,
                default=False,
            ),
        ),
        response=wire.Accepted,
        status=202,
        others=((201, wire_plan.Held),),
        errors=(400, 408, 409, 413, 422, 507),
    ),
    Row(
        method="GET",
        path=f"{V1}/held",
        access=Access.DEPLOY,
        handler=held.listing,
        summary="The bundles that were verified and wait, the oldest first.",
        response=wire_plan.HeldBundles,
    ),
    Row(
        method="GET",
        path=f"{V1}/held/{{held}}",
        access=Access.DEPLOY,
        handler=held.one,
        summary="One bundle that waits: why it is believed, what it changes, the very steps that will run.",
        response=wire_plan.Held,
        errors=(404,),
    ),
    Row(
        method="POST",
        path=f"{V1}/held/{{held}}/deploy",
        access=Access.DEPLOY,
        handler=held.deploy,
        summary="Accept a bundle that waits, and roll it out.",
        response=wire.Accepted,
        status=202,
        errors=(404, 409, 422, 507),
    ),
    Row(
        method="DELETE",
        path=f"{V1}/held/{{held}}",
        access=Access.DEPLOY,
        handler=held.drop,
        summary="Drop a bundle that waits.",
        response="",
        status=204,
        errors=(404,),
    ),
    Row(
        method="POST",
        path=f"{V1}/bundles/missing",
        access=Access.DEPLOY,
        handler=bundles.missing,
        summary="Which of these blobs the box does not have, for a sender that wants to leave out the rest.",
        request=wire.Digests,
        response=wire.MissingDigests,
        errors=(400, 413, 415),
    ),
)
