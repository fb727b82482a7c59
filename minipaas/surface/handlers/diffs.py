"""What changed between two releases."""

from __future__ import annotations

from msgspec.structs import replace

from minipaas.model.difference import SettingDiff
from minipaas.model.errors import Missing
from minipaas.plan.difference import Comparison, command
from minipaas.registry.releases import ReleaseRow
from minipaas.surface import views
from minipaas.surface.call import Call
from minipaas.surface.wire import ReleaseView
from minipaas.surface.wire_history import ReleaseDiff


async def one(call: Call) -> ReleaseDiff:
    """From `from`, or from what serves (or came before it), to the named release."""
    return await diff_of(call, call.app, call.request.match_info["release"], call.query["from"])


async def diff_of(call: Call, app: str, name: str, base: str | None) -> ReleaseDiff:
    """Both named by version, sequence or digest. Raises Missing, Invalid(release.ambiguous)."""
    new = await call.registry.named(app, name)
    old = await call.registry.named(app, base) if base is not None else await _before(call, new)
    return diff_view(
        call, await call.control.comparisons.of(old, new), views.release_row_view(old), views.release_row_view(new)
    )


async def _before(call: Call, new: ReleaseRow) -> ReleaseRow:
    """What serves; for what serves, the release that came before it."""
    rows = await call.registry.releases(new.release.app)
    serving = next((row for row in rows if row.serving and not new.serving), None)
    earlier = next((row for row in rows if row.release.order < new.release.order), None)
    found = serving or earlier
    if found is None:
        raise Missing(
            f"cannot compare {new.release.app} {new.release.version}: there is no other release to compare it with",
            hint=f"minipaas diff {new.release.app} FROM TO",
            code="release.alone",
        )
    return found


def diff_view(call: Call, comparison: Comparison, base: ReleaseView, release: ReleaseView) -> ReleaseDiff:
    """A comparison as it crosses the wire: what is run is shown as logs are."""
    most = call.context.limits.packages
    return ReleaseDiff(
        app=release.app,
        base=base,
        release=release,
        sentence=comparison.sentence,
        images=comparison.images,
        settings=tuple(_setting(call, one) for one in comparison.settings),
        packages=comparison.packages[:most],
        unknown=comparison.unknown,
        left_out=max(0, len(comparison.packages) - most),
    )


def _setting(call: Call, one: SettingDiff) -> SettingDiff:
    if call.caller.sees_logs or not command(one.key):
        return one
    return replace(one, before=None, after=None, hidden=True)
