"""After each look at the world: how every app is, in the words of the page, and who was started again; for telemetry's
history. An app whose instances and wishes are the same as last time costs a comparison.
"""

from __future__ import annotations

from minipaas.model.change import AppDesired, Desired
from minipaas.model.metrics import Seen
from minipaas.model.observed import Instance, Observed
from minipaas.model.release import Release
from minipaas.surface import status
from minipaas.surface.wire import AppState, ServiceState
from minipaas.telemetry.meter import Place
from minipaas.telemetry.telemetry import Telemetry

_SEEN = {
    AppState.DOWN: Seen.DOWN,
    AppState.DEGRADED: Seen.DEGRADED,
    AppState.FAILED: Seen.FAILED,
    AppState.STARTING: Seen.CHANGING,
    AppState.CHANGING: Seen.CHANGING,
    AppState.REMOVING: Seen.CHANGING,
    AppState.RUNNING: Seen.RUNNING,
}


class Watch:
    """Called with each look."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._known: dict[str, tuple[AppDesired, tuple[Instance, ...], Seen]] = {}
        self._starts: dict[str, float | None] | None = None
        """By container id, when those that are there were started; None before the first look."""

    def __call__(self, desired: Desired, observed: Observed) -> None:
        """A look."""
        known: dict[str, tuple[AppDesired, tuple[Instance, ...], Seen]] = {}
        for app in desired.apps:
            instances = observed.of(app.app)
            before = self._known.get(app.app)
            if before is not None and before[0] is app and before[1] == instances:
                known[app.app] = before
            else:
                known[app.app] = (app, instances, seen(app, observed))
        self._known = known
        self._telemetry.see({app: state for app, (_, _, state) in known.items()})
        self._note_restarts(observed)

    def _note_restarts(self, observed: Observed) -> None:
        """Failures are replaced by minipaas alone, so those that were there at the first look are known already."""
        before, self._starts = self._starts, {one.id: one.started for one in observed.instances}
        if before is None:
            return
        for one in observed.instances:
            if one.attempt and one.started is not None and before.get(one.id) != one.started:
                self._telemetry.restarted(Place(one.app, one.service, one.slot, one.started), one.started)


def seen(desired: AppDesired, observed: Observed) -> Seen:
    """How an app is. One that has never served has failed, unless its change is under way."""
    if desired.change is None and desired.serving is None:
        return Seen.FAILED
    services = _services(desired.serving, observed) if desired.serving is not None else []
    return _SEEN.get(status.app_state(desired, desired.change, services), Seen.UNKNOWN)


def _services(release: Release, observed: Observed) -> list[ServiceState]:
    instances = observed.of(release.app)
    found: list[ServiceState] = []
    for name, spec in release.spec.services.items():
        ours = [one for one in instances if one.service == name]
        conditions = [status.condition(one, spec, observed.notes.get(one.id), observed.boot) for one in ours]
        attempts = max((one.attempt for one in ours if one.running), default=0)
        found.append(status.service_state(spec, conditions, attempts)[0])
    return found
