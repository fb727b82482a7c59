"""`restart` and `scale`: how the serving release is run."""

from __future__ import annotations

import click

from minipaas.model.errors import Invalid
from minipaas.surface.cli.apps import finish
from minipaas.surface.cli.options import app_and_service, box_options, dry_run_option
from minipaas.surface.cli.outlook import ask, show
from minipaas.surface.client import Box, segment
from minipaas.surface.wire import Accepted
from minipaas.surface.wire_plan import RestartRequest, ScaleRequest


@click.command()
@click.argument("name", metavar="APP[/SERVICE]")
@click.option("--no-wait", is_flag=True, help="Return as soon as it has begun.")
@dry_run_option
@box_options
def restart(name: str, no_wait: bool, dry_run: bool, to: str | None, as_json: bool) -> None:
    """Replace the instances of an app, or of one service, by new ones of the same release.

    New ones start beside the old, prove that they answer, and take over; no request is lost. A service with a volume
    or a published port is stopped first. If the new ones fail, the old ones go on to serve.
    """
    app, service = app_and_service(name)
    box = Box.at(to)
    if dry_run:
        show(ask(box, app, what="restart", service=service), as_json)
        return
    accepted = box.call("POST", f"/apps/{segment(app)}/restart", Accepted, RestartRequest(service=service))
    finish(box, accepted, no_wait, as_json, f"{name} was restarted")


@click.command()
@click.argument("name", metavar="APP/SERVICE")
@click.argument("replicas", metavar="[N]", required=False, type=click.IntRange(0))
@click.option("--reset", is_flag=True, help="Back to what the release says.")
@click.option("--no-wait", is_flag=True, help="Return as soon as it has begun.")
@dry_run_option
@box_options
def scale(
    name: str, replicas: int | None, reset: bool, no_wait: bool, dry_run: bool, to: str | None, as_json: bool
) -> None:
    """Run a service with N instances, whatever its release says.

    It stays so over later deploys and rollbacks of the app, until it is set again or reset.
    """
    app, service = app_and_service(name)
    if service is None:
        raise Invalid(f"cannot scale {name}: say which service: APP/SERVICE", code="cli.scale")
    if (replicas is None) != reset:
        raise Invalid(f"cannot scale {name}: give a number, or --reset", code="cli.scale")
    box = Box.at(to)
    if dry_run:
        show(ask(box, app, what="scale", service=service, replicas=replicas), as_json)
        return
    request = ScaleRequest(service=service, replicas=replicas)
    accepted = box.call("POST", f"/apps/{segment(app)}/scale", Accepted, request)
    done = f"{name} runs as its release says" if reset else f"{name} runs {replicas} times"
    finish(box, accepted, no_wait, as_json, done)
