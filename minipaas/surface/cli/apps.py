"""`status`, `rollback`, `remove`, `changes`: what an operator asks about apps and does to them."""

from __future__ import annotations

import click

from minipaas.model.errors import Invalid
from minipaas.model.units import human_bytes
from minipaas.surface.cli.follow import conclude, follow, line_of
from minipaas.surface.cli.options import box_options, dry_run_option, json_option, sure
from minipaas.surface.cli.outlook import ask, show
from minipaas.surface.cli.show import (
    Cell,
    ago,
    clean,
    paint,
    print_json,
    print_json_line,
    print_table,
    span,
    state_cell,
)
from minipaas.surface.client import Box, segment
from minipaas.surface.wire import (
    Accepted,
    Apps,
    AppView,
    ChangeDetail,
    Changes,
    ChangeView,
    InstanceView,
    Releases,
    RollbackRequest,
)
from minipaas.surface.wire_box import BoxView


@click.command()
@click.argument("app", required=False)
@box_options
def status(app: str | None, to: str | None, as_json: bool) -> None:
    """What runs, and how it is: all apps, or everything about one."""
    box = Box.at(to)
    path = f"/apps/{segment(app)}" if app else "/apps"
    answer = box.raw("GET", path)
    if as_json:
        print_json(answer)
    elif app:
        _print_app(box, box.understand(answer, AppView))
    else:
        _print_apps(box, box.understand(answer, Apps))


def _print_apps(box: Box, apps: Apps) -> None:
    facts = box.get("/box", BoxView)
    print(paint(clean(apps.sentence), "green" if apps.well else "red"))
    podman = f"podman {facts.podman.version}{' rootless' if facts.podman.rootless else ''}"
    disk = f"{human_bytes(facts.disk.free)} free{' (tight)' if facts.disk.tight else ''}"
    clock = "" if facts.clock.synced else "; clock not in sync"
    print(paint(f"minipaas {facts.version}, {podman}, {disk}{clock}", "bright_black"))
    if facts.trouble:
        print(paint(clean(facts.trouble), "red"))
    if not apps.apps:
        first = "minipaas trust add root.json, then: " if facts.root_version is None else ""
        print(f"Next: {first}minipaas deploy FILE.bundle")
        return
    rows: list[list[Cell]] = []
    for app in apps.apps:
        wanted = sum(service.replicas for service in app.services)
        healthy = sum(service.healthy for service in app.services)
        rows.append(
            [
                app.name,
                app.serving.version if app.serving else "-",
                state_cell(app.state.value),
                f"{healthy}/{wanted}",
                ago(app.change.started if app.change else None),
                " ".join(route.url or route.route for route in app.routes),
            ]
        )
    print()
    print_table(["APP", "VERSION", "STATE", "HEALTHY", "CHANGED", "ROUTES"], rows)
    for app in apps.apps:
        if app.needs_you:
            print(f"{paint('!', 'red')} {app.name}: {clean(app.sentence)}; minipaas status {app.name}")


def _print_app(box: Box, app: AppView) -> None:
    word, colour = state_cell(app.state.value)
    version = f" {app.serving.version}" if app.serving else ""
    print(f"{app.name}{version}  {paint(word, colour)}  {clean(app.sentence)}")
    if app.change is not None:
        print(_change_line(app.change))
        if app.change.reason.strip():
            why, *more = clean(app.change.reason).strip().split("\n")
            print(f"  {why}" + (f"; its output: minipaas changes {app.change.id}" if more else ""))
    for service in app.services:
        about = f"{service.healthy} of {service.replicas} healthy"
        if service.replicas != service.released:
            about += f" (by hand; the release says {service.released})"
        if service.memory:
            about += f", {human_bytes(service.memory)} of memory each"
        word, colour = state_cell(service.state.value)
        print(f"\n{service.name}  {paint(word, colour)}  {about}")
        if service.instances:
            print_table(["  INSTANCE", "VERSION", "STATE", "SINCE", "DETAIL"], map(_instance_row, service.instances))
    if app.routes:
        print()
        print_table(
            ["ROUTE", "SERVICE", "BACKENDS", "URL"],
            [[r.route, r.service, str(r.backends), r.url] for r in app.routes],
        )
        for route in app.routes:
            if route.trouble:
                print(f"{paint('!', 'red')} {clean(route.trouble)}")
    releases = box.get(f"/apps/{segment(app.name)}/releases", Releases).releases
    if releases:
        print()
        print_table(
            ["VERSION", "ORDER", "ACCEPTED", "OUTCOME", "RELEASE"],
            [
                [
                    release.version,
                    f"{release.epoch}.{release.sequence}",
                    ago(release.accepted),
                    state_cell("serving" if release.serving else "retired" if release.retired else release.outcome),
                    release.digest.removeprefix("sha256:")[:12],
                ]
                for release in releases
            ],
        )


def _instance_row(instance: InstanceView) -> list[Cell]:
    colour = {True: "green", False: "red", None: "yellow"}[instance.well]
    since = instance.finished if instance.finished and instance.state.value == "exited" else instance.started
    detail = instance.detail
    if instance.touched:
        detail += f"{'; ' if detail else ''}{instance.entered or f'entered by {instance.touched}'}"
    return [f"  {instance.name}", instance.version or "-", (instance.word, colour), ago(since), detail]


@click.command()
@click.argument("app", required=False)
@click.option(
    "--to",
    "targets",
    metavar="VERSION|URL",
    multiple=True,
    help="The version or digest to go back to (default: the confirmed release before this one); "
    "with :// in it: the box, as for other commands.",
)
@click.option("--no-wait", is_flag=True, help="Return as soon as it has begun.")
@click.option("--self", "own", is_flag=True, help="Not an app, but minipaas itself: to the version before.")
@click.option(
    "--lose-changes", is_flag=True, help="With --self: also when what was accepted since the upgrade is lost."
)
@click.option("--yes", is_flag=True, help="With --self: do not ask.")
@dry_run_option
@json_option
def rollback(
    app: str | None,
    targets: tuple[str, ...],
    no_wait: bool,
    dry_run: bool,
    own: bool,
    lose_changes: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Go back to an earlier release of APP that this box still has; or, with --self, to the minipaas before this one.

    Needs no network.
    """
    urls = [target for target in targets if "://" in target]
    versions = [target for target in targets if "://" not in target]
    if len(urls) > 1 or len(versions) > 1:
        raise Invalid("cannot roll back: --to takes one version and one box", code="cli.rollback")
    if own:
        from minipaas.surface.cli.own import go_back

        if app is not None or versions:
            raise Invalid(
                "cannot roll back: --self is about minipaas itself, and goes to the version before",
                hint="minipaas rollback --self",
                code="cli.rollback",
            )
        if dry_run or no_wait:
            raise Invalid("cannot roll minipaas itself back that way: it is done at once", code="cli.rollback")
        go_back(urls[0] if urls else None, yes, lose_changes, as_json)
        return
    if app is None:
        raise Invalid("cannot roll back: name an app", hint="or minipaas itself: --self", code="cli.rollback")
    box = Box.at(urls[0] if urls else None)
    request = RollbackRequest(to=versions[0] if versions else None)
    if dry_run:
        show(ask(box, app, what="rollback", to=request.to), as_json)
        return
    accepted = box.call("POST", f"/apps/{segment(app)}/rollback", Accepted, request)
    finish(box, accepted, no_wait, as_json, f"{app} {accepted.version} serves")


@click.command()
@click.argument("app")
@click.option("--volumes", is_flag=True, help="Also delete its volumes and all data in them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Return as soon as it has begun.")
@dry_run_option
@box_options
def remove(app: str, volumes: bool, yes: bool, no_wait: bool, dry_run: bool, to: str | None, as_json: bool) -> None:
    """Stop an app and take it off the box. Its volumes stay, unless --volumes.

    With --volumes also an app that was removed before: what it left behind is deleted then.
    """
    box = Box.at(to)
    query = {"volumes": "true" if volumes else None}
    preview = ask(box, app, what="remove", **query)
    if dry_run:
        show(preview, as_json)
        return
    data = "and keep its volumes"
    if volumes:
        data = f"AND DELETE ITS VOLUMES with all data in them ({', '.join(preview.volumes_deleted) or 'it has none'})"
    sure(f"Remove {app} from {box.address} {data}?", yes)
    accepted = box.call("DELETE", f"/apps/{segment(app)}", Accepted, query=query)
    finish(box, accepted, no_wait, as_json, f"{app} is removed")
    if preview.volumes_kept and not as_json and not no_wait:
        print(f"  kept: {', '.join(preview.volumes_kept)}; to delete them: minipaas remove {app} --volumes")


def finish(box: Box, accepted: Accepted, no_wait: bool, as_json: bool, done: str) -> None:
    """Follow a change to its end and say how it went."""
    if no_wait:
        if as_json:
            print_json(accepted)
        else:
            print(f"change {accepted.change} has begun; watch it: minipaas changes {accepted.change}")
        return
    end = follow(box, accepted, as_json)
    if as_json:
        print_json_line(end)
    conclude(end)
    if not as_json:
        print(paint(done, "green"))
        for url in end.urls:
            print(f"  {url}")


@click.command()
@click.argument("what", metavar="[APP|CHANGE]", required=False)
@click.option("-n", "limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@box_options
def changes(what: str | None, limit: int, to: str | None, as_json: bool) -> None:
    """What was changed, by whom, and how it ended; or all steps of one change, by its number."""
    box = Box.at(to)
    one = what is not None and what.isdecimal()
    query = {"app": what, "limit": limit}
    answer = box.raw("GET", f"/changes/{what}") if one else box.raw("GET", "/changes", query=query)
    if as_json:
        print_json(answer)
    elif one:
        _print_change(box.understand(answer, ChangeDetail))
    else:
        rows = [_change_row(change) for change in box.understand(answer, Changes).changes]
        if rows:
            print_table(["CHANGE", "APP", "WHAT", "STATE", "STARTED", "TOOK", "BY", "WHY"], rows)
        else:
            print("No changes yet.")


def _change_row(change: ChangeView) -> list[Cell]:
    took = span(change.ended - change.started) if change.ended else "-"
    reason = change.reason.strip().split("\n", 1)[0]
    what = f"{change.kind.value} {change.version or ''}".rstrip()
    state, since = state_cell(change.state.value), ago(change.started)
    return [str(change.id), change.app, what, state, since, took, change.actor, reason]


def _change_line(change: ChangeView) -> str:
    word, colour = state_cell(change.state.value)
    what = f"{change.kind.value} {change.version or ''}".rstrip()
    return f"change {change.id}: {what}  {paint(word, colour)}  {ago(change.started)} by {clean(change.actor)}"


def _print_change(detail: ChangeDetail) -> None:
    print(_change_line(detail.change))
    for step in detail.steps:
        print(line_of(step) if step.ended is not None else f"… {clean(step.title)}")
    if detail.change.reason:
        print(clean(detail.change.reason).rstrip())
    for url in detail.urls:
        print(f"  {url}")
