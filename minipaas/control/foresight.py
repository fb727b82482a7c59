"""Foresight: what a request would do to the box as it is now. Nothing is changed; what would be refused is refused."""

from __future__ import annotations

import time

from minipaas.model.change import AppDesired, ChangeKind
from minipaas.model.errors import Invalid
from minipaas.model.launch import volume_name
from minipaas.model.observed import Observed
from minipaas.model.outlook import Outlook
from minipaas.plan.preview import outlook
from minipaas.registry.registry import Registry


async def foresee(
    registry: Registry,
    observed: Observed,
    app: str,
    kind: ChangeKind,
    *,
    to: str | None = None,
    purge: bool = False,
    service: str | None = None,
    replicas: int | None = None,
) -> Outlook:
    """The outlook of a rollback (`to`), removal (`purge`), restart (`service`) or scaling (`service`, `replicas`).
    Raises what the request itself would raise."""
    now = time.time()
    rehearse = registry.rehearse
    desired: AppDesired
    match kind:
        case ChangeKind.ROLLBACK:
            desired = await rehearse.rollback(app, to, now)
        case ChangeKind.REMOVE:
            desired = await rehearse.remove(app, purge=purge, leftovers=bool(volumes_of(app, observed)), now=now)
        case ChangeKind.RESTART:
            desired = await rehearse.restart(app, service, now)
        case ChangeKind.SCALE if service is not None:
            desired = await rehearse.scale(app, service, replicas, now)
        case ChangeKind.SCALE:
            raise Invalid(f"cannot scale {app}: say which service", code="service.none")
        case ChangeKind.DEPLOY:
            raise Invalid("cannot foresee a deploy without its bundle: hold it first", code="preview.deploy")
    return outlook(desired, observed, now)


def volumes_of(app: str, observed: Observed) -> tuple[str, ...]:
    """Podman's names of the app's volumes, also of an app that was removed."""
    prefix = volume_name(app, "")
    return tuple(sorted(name for name in observed.volumes if name.startswith(prefix)))
