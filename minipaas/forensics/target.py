"""Which instance is meant. Pure.

Without a number it is one that serves: routed to, healthy, of the newest generation, in this order of importance.
"""

from __future__ import annotations

from minipaas.model.errors import Invalid, Missing
from minipaas.model.observed import Instance, Observed


def choose(observed: Observed, app: str, service: str | None, slot: int | None) -> Instance:
    """A running instance. Raises Missing (`access.no_instance`), Invalid (`access.which`)."""
    known = observed.of(app)
    services = sorted({one.service for one in known})
    if service is None and len(services) > 1:
        raise Invalid(
            f"cannot enter {app}: it has the services {', '.join(services)}",
            hint=f"say which: {app}/{services[0]}",
            code="access.which",
        )
    fitting = [
        one
        for one in known
        if one.running and (service is None or one.service == service) and (slot is None or one.slot == slot)
    ]
    if not fitting:
        asked = "/".join([app, *([service] if service else []), *([str(slot)] if slot else [])])
        raise Missing(
            f"cannot enter {asked}: no instance of it runs",
            hint=f"see: minipaas status {app}",
            code="access.no_instance",
        )
    routed = {backend.instance for entry in observed.routes_of(app) for backend in entry.backends}
    return max(fitting, key=lambda one: (one.id in routed, one.healthy, one.generation, -one.slot))
