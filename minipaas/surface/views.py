"""From the registry's words to the wire's, in one place. What always holds: text that may quote what an instance wrote
(reasons and details beyond their first line) only goes to who may read logs."""

from __future__ import annotations

import json
import time
from datetime import datetime

from minipaas.model.change import Change
from minipaas.model.release import Release
from minipaas.registry.journal import JournalRow
from minipaas.registry.releases import ReleaseRow
from minipaas.surface.call import Call
from minipaas.surface.wire import ChangeView, ReleaseView, StepView
from minipaas.surface.wire_box import DiskView
from minipaas.surface.wire_trust import RootView


def release_row_view(row: ReleaseRow) -> ReleaseView:
    """A release and what became of it."""
    return release_view(
        row.release,
        serving=row.serving,
        good=row.good,
        accepted=row.accepted_at,
        outcome=row.outcome or "",
        retired=row.retired_at is not None,
    )


def release_view(
    release: Release,
    *,
    serving: bool = False,
    good: bool = False,
    accepted: float | None = None,
    outcome: str = "",
    retired: bool = False,
) -> ReleaseView:
    """A release, without its spec: that has environment values."""
    return ReleaseView(
        digest=release.digest,
        app=release.app,
        version=release.version,
        epoch=release.epoch,
        sequence=release.sequence,
        issued=release.issued,
        valid_until=release.valid_until,
        signers=release.signers,
        size=sum({image.manifest: image.size for image in release.images.values()}.values()),
        serving=serving,
        good=good,
        accepted=accepted,
        outcome=outcome,
        retired=retired,
    )


async def change_view(call: Call, change: Change) -> ChangeView:
    """A change, with the versions behind its digests."""
    return ChangeView(
        id=change.id,
        app=change.app,
        kind=change.kind,
        state=change.state,
        active=change.state.active,
        target=change.target,
        version=await call.context.version(change.target),
        fallback=change.fallback,
        fallback_version=await call.context.version(change.fallback),
        actor=change.actor,
        started=change.started,
        deadline=change.deadline,
        switched=change.switched,
        ended=change.ended,
        reason=said(call, change.reason),
    )


def step_view(call: Call, row: JournalRow) -> StepView:
    """One row of the journal."""
    return StepView(
        id=row.id,
        kind=row.kind,
        title=row.title,
        started=row.started,
        ended=row.ended,
        ok=row.ok if row.ended is not None else None,
        detail=said(call, row.detail),
    )


def said(call: Call, text: str) -> str:
    """Text that may end with lines of a log: all of it, or its first line."""
    return text if call.caller.sees_logs else text.partition("\n")[0]


def disk_view(call: Call) -> DiskView:
    """The file system of the data directory."""
    free = call.control.blobs.free_bytes()
    reserve = int(call.control.config.limits.reserve)
    return DiskView(free=free, reserve=reserve, tight=free < reserve)


def root_view(root: bytes) -> RootView:
    """A root that this box has verified, read for display only (TUF 1.0.33, 4.3)."""
    signed = json.loads(root)["signed"]
    roles = signed["roles"]
    expires_at = datetime.fromisoformat(signed["expires"]).timestamp()
    return RootView(
        version=signed["version"],
        epoch=signed.get("x-minipaas-epoch", 1),
        expires=signed["expires"],
        expires_at=expires_at,
        expired=expires_at < time.time(),
        keys=tuple(roles["targets"]["keyids"]),
        threshold=roles["targets"]["threshold"],
        root_keys=tuple(roles["root"]["keyids"]),
        root_threshold=roles["root"]["threshold"],
    )
