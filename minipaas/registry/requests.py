"""What a box can be asked: accept a release, roll back, remove, restart, scale. Each is one transaction that checks
again what may have changed since the caller looked, begins a change, and writes its audit row; or it raises, and
nothing is different."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from sqlite3 import Connection

from msgspec.structs import replace

from minipaas.model.change import RELEASES, Change, ChangeKind, ChangeState
from minipaas.model.errors import Conflict, Invalid, Missing, Refused
from minipaas.model.release import Release, Tuning
from minipaas.model.spec import MAX_REPLICAS, ServiceSpec
from minipaas.registry import apps, audit, changes, releases, trust
from minipaas.registry.clashes import refuse_clashes
from minipaas.registry.limits import REMOVE_DEADLINE
from minipaas.registry.releases import ReleaseRow


def accept(
    db: Connection,
    release: Release,
    *,
    new_roots: Sequence[bytes],
    trusted_root: int | None,
    actor: str,
    origin: str,
    now: float,
    clean: frozenset[str] = frozenset(),
) -> Change:
    """Take in a verified release and begin to deploy it. `trusted_root` is the version of the newest root that the
    verification started from; services in `clean` get new instances also where nothing of theirs has changed. Raises
    Conflict(root.moved, root.fork, route.taken, port.taken), Refused(root.gap, release.downgrade,
    release.below_floor, release.number)."""
    if trusted_root is not None and trust.newest_root(db) != trusted_root:
        raise Conflict(
            f"cannot accept {release.app} {release.version}: the trust root changed while it was verified",
            hint="send the bundle again",
            code="root.moved",
        )
    add_roots(db, [trust.numbered(root) for root in new_roots], actor=actor, origin=origin, now=now)
    trust.refuse_downgrade(db, release)
    releases.put(db, release, now)
    trust.raise_floor(db, release)
    refuse_clashes(release, apps.desired(db))
    pointers = apps.ensure(db, release.app)
    change = changes.begin(
        db,
        release.app,
        ChangeKind.DEPLOY,
        target=release.digest,
        fallback=pointers.good,
        actor=actor,
        now=now,
        deadline=now + release.spec.rollout.deadline,
        tuning=_wanted(db, release.app, pointers),
        instead=f"deploy {release.version}",
    )
    change = _anew(db, change, clean & release.spec.services.keys())
    _record(db, change, f"{release.app} {release.version} ({release.short})", origin)
    return change


def _anew(db: Connection, change: Change, services: Collection[str]) -> Change:
    """Its own number tells the instances that it starts for these from all that were there before, also from an earlier
    attempt."""
    if not services:
        return change
    tuning = {name: replace(change.tuning.get(name, Tuning()), restarted=change.id) for name in services}
    change = replace(change, tuning={**change.tuning, **tuning})
    changes.save(db, change)
    return change


def accept_own(
    db: Connection,
    release: Release,
    *,
    new_roots: Sequence[bytes],
    trusted_root: int,
    actor: str,
    origin: str,
    now: float,
) -> None:
    """Take in a verified release of minipaas itself. It is no app: nothing is deployed, its blobs are not kept, and
    what becomes of it is no change; but it raises the floors like any other. Raises as `accept` does."""
    if trust.newest_root(db) != trusted_root:
        raise Conflict(
            f"cannot accept {release.app} {release.version}: the trust root changed while it was verified",
            hint="send the bundle again",
            code="root.moved",
        )
    add_roots(db, [trust.numbered(root) for root in new_roots], actor=actor, origin=origin, now=now)
    trust.refuse_downgrade(db, release)
    releases.put(db, release, now)
    trust.raise_floor(db, release)
    audit.append(
        db,
        at=now,
        actor=actor,
        action="self.upgrade",
        subject=f"{release.app} {release.version} ({release.short})",
        origin=origin,
        result="accepted",
    )


def rollback(db: Connection, app: str, to: str | None, *, actor: str, origin: str, now: float) -> Change:
    """Begin to go back to the named release, or to the last that was confirmed before. Raises Missing(app.missing,
    release.missing, release.retired, release.no_previous), Invalid(release.ambiguous),
    Refused(release.below_floor, release.already_serving), Conflict(route.taken, port.taken)."""
    pointers = apps.get(db, app)
    row = previous(db, app) if to is None else releases.named(db, app, to)
    if row is None:
        raise Missing(
            f"cannot roll back {app}: no earlier release was ever confirmed here",
            hint=f"see what there is: minipaas status {app}",
            code="release.no_previous",
        )
    release = row.release
    floor = trust.floor(db, app)
    if trust.below(release, floor):
        raise Refused(
            f"cannot roll back {app} to {release.version}: sequence {release.sequence} of epoch {release.epoch} is "
            f"below the lowest that its author still allows, {floor.min_sequence} of epoch {floor.epoch}",
            hint="deploy a newer bundle",
            code="release.below_floor",
        )
    if row.retired:
        raise Missing(
            f"cannot roll back {app} to {release.version}: its images are no longer on this box",
            hint="build the old version as a new release and deploy that",
            code="release.retired",
        )
    if release.digest == pointers.serving and changes.active(db, app) is None:
        raise Refused(
            f"cannot roll back {app} to {release.version}: it serves already",
            hint=f"name another release: minipaas rollback {app} --to VERSION",
            code="release.already_serving",
        )
    refuse_clashes(release, apps.desired(db))
    change = changes.begin(
        db,
        app,
        ChangeKind.ROLLBACK,
        target=release.digest,
        fallback=pointers.good,
        actor=actor,
        now=now,
        deadline=now + release.spec.rollout.deadline,
        tuning=_wanted(db, app, pointers),
        instead=f"rollback to {release.version}",
    )
    _record(db, change, f"{app} {release.version} ({release.short})", origin)
    return change


def remove(
    db: Connection, app: str, *, purge: bool, leftovers: bool = False, actor: str, origin: str, now: float
) -> Change:
    """Begin to remove an app, with `purge` its volumes too. Asked again while it goes on, it is the same change.
    `leftovers`: there are volumes of it, so with `purge` also an app that was removed before is removed again.
    Raises Missing(app.missing)."""
    pointers = apps.ensure(db, app) if purge and leftovers else apps.get(db, app)
    change = changes.active(db, app)
    if change is None or change.kind is not ChangeKind.REMOVE or change.purge != purge:
        change = changes.begin(
            db,
            app,
            ChangeKind.REMOVE,
            target=None,
            fallback=pointers.good,
            actor=actor,
            now=now,
            deadline=now + REMOVE_DEADLINE,
            purge=purge,
            instead="remove",
        )
    _record(db, change, f"{app} with its volumes" if purge else app, origin, actor=actor, at=now)
    return change


def restart(db: Connection, app: str, service: str | None, *, actor: str, origin: str, now: float) -> Change:
    """Begin to replace the instances of the serving release, or of one service of it. Raises Missing(app.missing,
    service.missing), Refused(app.not_serving), Conflict(change.under_way)."""
    what = f"{app}/{service}" if service is not None else app
    serving, tuning = _serving(db, app, "restart", what)
    if service is not None:
        _service(serving, service, "restart")
    change = _run_anew(db, serving, ChangeKind.RESTART, tuning, actor=actor, now=now, instead=f"restart of {what}")
    change = _anew(db, change, [service] if service is not None else list(serving.spec.services))
    _record(db, change, what, origin)
    return change


def scale(
    db: Connection, app: str, service: str, replicas: int | None, *, actor: str, origin: str, now: float
) -> Change:
    """Begin to run a service with so many instances; None: as many as its release says. Later releases are run so too.
    Raises Missing(app.missing, service.missing), Refused(app.not_serving, service.pinned), Invalid(service.replicas),
    Conflict(change.under_way)."""
    what = f"{app}/{service}"
    serving, tuning = _serving(db, app, "scale", what)
    pinned = _pinned_by(_service(serving, service, "scale"))
    if pinned:
        raise Refused(
            f"cannot scale {what}: {pinned}, so it runs exactly once",
            hint="to stop it, remove the app; to run it more often, build a release in which it does not",
            code="service.pinned",
        )
    if replicas is not None and not 0 <= replicas <= MAX_REPLICAS:
        raise Invalid(
            f"cannot scale {what} to {replicas}: it takes 0 to {MAX_REPLICAS}",
            hint=f"minipaas scale {what} {MAX_REPLICAS}",
            code="service.replicas",
        )
    tuning[service] = replace(tuning.get(service, Tuning()), replicas=replicas)
    to = f"{what} to {'what its release says' if replicas is None else replicas}"
    change = _run_anew(db, serving, ChangeKind.SCALE, tuning, actor=actor, now=now, instead=f"scale {to}")
    _record(db, change, to, origin)
    return change


def _serving(db: Connection, app: str, verb: str, what: str) -> tuple[Release, dict[str, Tuning]]:
    """The release that serves, and how it is to be run as far as asked until now."""
    pointers = apps.get(db, app)
    serving = releases.maybe(db, pointers.serving)
    if serving is None:
        raise Refused(
            f"cannot {verb} {what}: nothing of it serves", hint="minipaas deploy FILE", code="app.not_serving"
        )
    active = changes.active(db, app)
    if active is not None and (active.kind in RELEASES or active.kind is ChangeKind.REMOVE):
        raise Conflict(
            f"cannot {verb} {what}: change {active.id} ({active.kind.value}) is under way",
            hint=f"wait for it: minipaas changes {active.id}",
            code="change.under_way",
        )
    return serving, _wanted(db, app, pointers)


def _service(release: Release, service: str, verb: str) -> ServiceSpec:
    found = release.spec.services.get(service)
    if found is None:
        raise Missing(
            f"cannot {verb} {release.app}/{service}: {release.app} {release.version} has no such service",
            hint=f"it has: {', '.join(release.spec.services)}",
            code="service.missing",
        )
    return found


def _pinned_by(service: ServiceSpec) -> str:
    if service.volumes:
        return "it holds a volume"
    return "it publishes a port of the host" if service.ports else ""


def _run_anew(
    db: Connection,
    serving: Release,
    kind: ChangeKind,
    tuning: dict[str, Tuning],
    *,
    actor: str,
    now: float,
    instead: str,
) -> Change:
    """Begin a change towards the serving release, run differently. Its release hooks have been run when it came."""
    return changes.begin(
        db,
        serving.app,
        kind,
        target=serving.digest,
        fallback=apps.get(db, serving.app).good,
        actor=actor,
        now=now,
        deadline=now + serving.spec.rollout.deadline,
        tuning=tuning,
        hooks_done=[name for name, service in serving.spec.services.items() if service.hooks.release is not None],
        instead=instead,
    )


def _wanted(db: Connection, app: str, pointers: apps.Pointers) -> dict[str, Tuning]:
    """How the app is to be run: as the change under way wants it, unless that has failed already; else as it is run."""
    active = changes.active(db, app)
    if active is not None and active.state in (ChangeState.ROLLING, ChangeState.CONFIRMING):
        return dict(active.tuning)
    return dict(releases.tuning_of(pointers.serving_tuning))


def previous(db: Connection, app: str) -> ReleaseRow | None:
    """Where a rollback goes that names nothing: the newest confirmed release before the serving one. While a change is
    under way that has not switched, that change is what is taken back, so the serving one itself."""
    pointers = apps.get(db, app)
    serving = releases.maybe(db, pointers.serving)
    if serving is None:
        return releases.confirmed_before(db, app, None, inclusive=True)
    active = changes.active(db, app)
    unswitched = active is not None and active.target != serving.digest
    return releases.confirmed_before(db, app, serving.order, inclusive=unswitched)


def protected(db: Connection, app: str) -> frozenset[str]:
    """Releases of an app that collection must not take: those it stands on, goes to, or may have to go back to."""
    pointers = apps.get(db, app)
    active = changes.active(db, app)
    back = previous(db, app)
    kept = {pointers.serving, pointers.good, back.release.digest if back else None}
    if active is not None:
        kept |= {active.target, active.fallback}
    return frozenset(digest for digest in kept if digest is not None)


def retire(db: Connection, app: str, digests: Sequence[str], now: float) -> tuple[str, ...]:
    """Give releases up, except those that are in use; returns the ones given up."""
    try:
        kept = protected(db, app)
    except Missing:
        kept = frozenset()
    return releases.retire(db, app, digests, kept, now)


def add_roots(db: Connection, new: Sequence[tuple[int, bytes]], *, actor: str, origin: str, now: float) -> None:
    """Append trust roots, each new one with an audit row. Raises Conflict(root.fork), Refused(root.gap)."""
    for version in trust.append_roots(db, new, now):
        audit.append(
            db, at=now, actor=actor, action="trust.add", subject=f"root {version}", origin=origin, result="added"
        )


def _record(
    db: Connection, change: Change, subject: str, origin: str, *, actor: str | None = None, at: float | None = None
) -> None:
    audit.append(
        db,
        at=change.started if at is None else at,
        actor=actor or change.actor,
        action=change.kind.value,
        subject=subject,
        origin=origin,
        result=f"change {change.id}",
        app=change.app,
    )
