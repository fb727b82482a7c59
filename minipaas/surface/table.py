"""The API as one table: method, path, access, handler and types, in one row each.

Server, OpenAPI document and docs/api.md are made from it. What always holds: a row has access and a summary, a row
that changes something is not open, no two rows share method and path; else the import of this module fails.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Struct

from minipaas.model.metrics import AppSeries, HostSeries, Summary
from minipaas.surface import wire, wire_history, wire_plan, wire_self
from minipaas.surface.access import Access
from minipaas.surface.call import PATH_PATTERNS, Handler, Query
from minipaas.surface.handlers import (
    apps,
    audit,
    box,
    bundles,
    certificates,
    changes,
    diffs,
    events,
    held,
    metrics,
    own,
    page_links,
    previews,
    tokens,
    trust,
)
from minipaas.surface.limits import LIMITS
from minipaas.surface.pages import actions, sign_in, upload
from minipaas.surface.pages import tokens as token_forms
from minipaas.surface.pages import trust as trust_form
from minipaas.surface.pages.app import app as app_page
from minipaas.surface.pages.assets import static
from minipaas.surface.pages.audit import audit as audit_page
from minipaas.surface.pages.box import box as box_page
from minipaas.surface.pages.diff import diff as diff_page
from minipaas.surface.pages.events import events as events_page
from minipaas.surface.pages.output import output
from minipaas.surface.pages.overview import overview

V1 = "/api/v1"


class Row(Struct, frozen=True, kw_only=True):
    """One endpoint. `response`: a wire struct, or the media type of what is not JSON."""

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    response: type[Struct] | str
    status: int = 200
    others: tuple[tuple[int, type[Struct]], ...] = ()
    """Other answers than `response` that are successes, by status."""
    query: tuple[Query, ...] = ()
    request: type | None = None
    """A wire struct; `bytes` for a body that is taken as it is."""
    form: type[Struct] | None = None
    """The fields of a browser's form; it must bring the secret of its page (`access.check_csrf`)."""
    streams_in: bool = False
    """The handler itself reads the body."""
    errors: tuple[int, ...] = ()
    """Beside those that every row may answer with."""

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names in braces."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    @property
    def body_required(self) -> bool:
        """Whether an empty body is an error."""
        return self.request is bytes or (
            self.request is not None and any(field.required for field in msgspec.structs.fields(self.request))
        )

    @property
    def api(self) -> bool:
        """Whether it is part of the versioned API, not of the page."""
        return self.path.startswith(V1) or self.path in ("/healthz", "/metrics")

    def __post_init__(self) -> None:
        if not isinstance(self.access, Access):
            raise TypeError(f"{self.method} {self.path}: access is missing")
        if self.method != "GET" and (self.access is Access.OPEN or (self.access is Access.DOOR and not self.form)):
            raise TypeError(f"{self.method} {self.path}: what changes something is not open")
        if not self.summary.endswith("."):
            raise TypeError(f"{self.method} {self.path}: the summary is missing")


def _limit(default: int, maximum: int = LIMITS.rows) -> Query:
    return Query(name="limit", summary="How many at most.", kind=int, default=default, minimum=1, maximum=maximum)


_RANGE = Query(
    name="range",
    summary="How far back: 1h in steps of 10 s, 24h of 1 min, 30d of 15 min.",
    pattern="1h|24h|30d",
    default="1h",
)
_NAME = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"

TABLE: tuple[Row, ...] = (
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
    Row(
        method="GET",
        path=f"{V1}/apps",
        access=Access.OPEN,
        handler=apps.listing,
        summary="All apps, the most urgent first, with services and instances.",
        response=wire.Apps,
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}",
        access=Access.OPEN,
        handler=apps.one,
        summary="One app.",
        response=wire.AppView,
        errors=(404,),
    ),
    Row(
        method="DELETE",
        path=f"{V1}/apps/{{app}}",
        access=Access.ADMIN,
        handler=apps.remove,
        summary="Remove an app: routes, instances, network; its volumes only when asked to.",
        query=(Query(name="volumes", summary="Delete its volumes, and what is in them.", kind=bool, default=False),),
        response=wire.Accepted,
        status=202,
        errors=(404, 409, 422),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/releases",
        access=Access.OPEN,
        handler=apps.releases,
        summary="The releases of an app that this box has accepted, the newest first.",
        response=wire.Releases,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/releases/{{release}}/diff",
        access=Access.OPEN,
        handler=diffs.one,
        summary="What changed in a release (a version or digest): images, app.toml without its values of environment "
        "variables, packages by the bills of materials.",
        query=(
            Query(
                name="from",
                summary="Against this version or digest; what serves, or came before it, when left out.",
                pattern=PATH_PATTERNS["release"],
            ),
        ),
        response=wire_history.ReleaseDiff,
        errors=(404, 422),
    ),
    Row(
        method="POST",
        path=f"{V1}/apps/{{app}}/rollback",
        access=Access.DEPLOY,
        handler=apps.rollback,
        summary="Go back to an accepted release; needs no network.",
        request=wire.RollbackRequest,
        response=wire.Accepted,
        status=202,
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="POST",
        path=f"{V1}/apps/{{app}}/restart",
        access=Access.DEPLOY,
        handler=apps.restart,
        summary="Replace the instances of an app, or of one service, by new ones of the same release.",
        request=wire_plan.RestartRequest,
        response=wire.Accepted,
        status=202,
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="POST",
        path=f"{V1}/apps/{{app}}/scale",
        access=Access.DEPLOY,
        handler=apps.scale,
        summary="Run a service with more or fewer instances than its release says, also of later releases.",
        request=wire_plan.ScaleRequest,
        response=wire.Accepted,
        status=202,
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/preview",
        access=Access.DEPLOY,
        handler=previews.one,
        summary="What a rollback, removal, restart or scaling would do now: the very steps, and what pauses.",
        query=(
            Query(name="what", summary="Of what.", pattern="rollback|remove|restart|scale", default="restart"),
            Query(name="to", summary="For a rollback: the version or digest.", pattern=".{1,128}"),
            Query(name="volumes", summary="For a removal: its volumes too.", kind=bool, default=False),
            Query(name="service", summary="For a restart or scaling: this service.", pattern=_NAME),
            Query(
                name="replicas",
                summary="For a scaling: how many; as many as the release says when left out.",
                kind=int,
                minimum=0,
                maximum=10_000,
            ),
        ),
        response=wire_plan.PlanPreview,
        errors=(404, 409, 422),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/events",
        access=Access.OPEN,
        handler=events.listing,
        summary="What happened to an app, the newest first: changes, upkeep, deaths; the audit for who may read it.",
        query=(
            _limit(100),
            Query(name="before", summary="Only what stands before this id.", pattern="[0-9]{1,17}-[0-4]-[0-9]{1,15}"),
        ),
        response=wire_history.Events,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/logs",
        access=Access.READ,
        handler=apps.logs,
        summary="The last lines that the instances of an app wrote.",
        query=(
            Query(name="service", summary="Only this service.", pattern=_NAME),
            Query(
                name="tail",
                summary="Lines an instance, at most.",
                kind=int,
                default=100,
                minimum=1,
                maximum=LIMITS.log_lines,
            ),
        ),
        response=wire.Logs,
        errors=(404, 502),
    ),
    Row(
        method="GET",
        path=f"{V1}/metrics",
        access=Access.OPEN,
        handler=metrics.summary,
        summary="The machine and all apps at a glance: what they use, what they answer, how they were.",
        response=Summary,
    ),
    Row(
        method="GET",
        path=f"{V1}/metrics/host",
        access=Access.OPEN,
        handler=metrics.host,
        summary="The machine over a time.",
        query=(_RANGE,),
        response=HostSeries,
    ),
    Row(
        method="GET",
        path=f"{V1}/apps/{{app}}/metrics",
        access=Access.OPEN,
        handler=metrics.app,
        summary="What each slot of an app used and each of its routes answered, over a time.",
        query=(_RANGE,),
        response=AppSeries,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/changes",
        access=Access.OPEN,
        handler=changes.listing,
        summary="Changes, the newest first.",
        query=(Query(name="app", summary="Only of this app.", pattern=_NAME), _limit(50)),
        response=wire.Changes,
    ),
    Row(
        method="GET",
        path=f"{V1}/changes/{{id}}",
        access=Access.OPEN,
        handler=changes.one,
        summary="One change with the steps done so far.",
        response=wire.ChangeDetail,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/changes/{{id}}/events",
        access=Access.OPEN,
        handler=changes.events,
        summary="The steps of a change as server-sent events, `step` when one begins and when it ends, until `end`.",
        response="text/event-stream",
        errors=(404, 503),
    ),
    Row(
        method="GET",
        path=f"{V1}/events",
        access=Access.OPEN,
        handler=box.news,
        summary="A server-sent event `news` whenever there is something new to see.",
        query=(
            Query(
                name="since",
                summary="What was last seen.",
                kind=int,
                default=None,
                minimum=0,
                maximum=10**17,
            ),
        ),
        response="text/event-stream",
        errors=(503,),
    ),
    Row(
        method="GET",
        path=f"{V1}/trust",
        access=Access.OPEN,
        handler=trust.listing,
        summary="Whom this box believes: the versions of the trust root, their keys and thresholds.",
        response=wire.TrustView,
    ),
    Row(
        method="POST",
        path=f"{V1}/trust",
        access=Access.ADMIN,
        handler=trust.add,
        summary="Trust a root: the first, or one that the present root has signed. The body is the root.json.",
        request=bytes,
        response=wire.TrustView,
        status=201,
        errors=(400, 409, 413, 422),
    ),
    Row(
        method="GET",
        path=f"{V1}/certificates",
        access=Access.OPEN,
        handler=certificates.listing,
        summary="TLS on this box: where, with which certificates, what is wrong with them.",
        response=wire.Certificates,
    ),
    Row(
        method="POST",
        path=f"{V1}/certificates/reload",
        access=Access.ADMIN,
        handler=certificates.reload,
        summary="Load the operator's PEM files again, now; one that cannot be used leaves the one before it serving.",
        response=wire.Certificates,
        errors=(404,),
    ),
    Row(
        method="GET",
        path=certificates.ROOT,
        access=Access.OPEN,
        handler=certificates.root,
        summary="The root certificate of this box's own CA, in PEM, for clients to trust.",
        response="application/x-x509-ca-cert",
        errors=(404,),
    ),
    Row(
        method="GET",
        path=f"{V1}/box",
        access=Access.OPEN,
        handler=box.facts,
        summary="Facts of this box: versions, disk, clock, addresses, counts.",
        response=wire.BoxView,
    ),
    Row(
        method="GET",
        path=f"{V1}/self",
        access=Access.OPEN,
        handler=own.view,
        summary="Which minipaas serves, and how its last upgrade, return or reload went, step by step.",
        response=wire_self.SelfView,
        errors=(404,),
    ),
    Row(
        method="PUT",
        path=f"{V1}/self",
        access=Access.ADMIN,
        handler=own.upgrade,
        summary="Upgrade minipaas from a signed bundle of itself: verified, put beside the present one, handed over.",
        request=bytes,
        streams_in=True,
        response=wire_self.HandoverView,
        status=202,
        errors=(400, 404, 408, 409, 413, 422, 507),
    ),
    Row(
        method="POST",
        path=f"{V1}/self/rollback",
        access=Access.ADMIN,
        handler=own.go_back,
        summary="Go back to the minipaas before this one; needs no network.",
        request=wire_self.BackRequest,
        response=wire_self.HandoverView,
        status=202,
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="POST",
        path=f"{V1}/self/reload",
        access=Access.ADMIN,
        handler=own.reload,
        summary="Start minipaas anew, with config.toml as it is now, without losing a request.",
        response=wire_self.HandoverView,
        status=202,
        errors=(404, 409),
    ),
    Row(
        method="GET",
        path=f"{V1}/audit",
        access=Access.READ,
        handler=audit.listing,
        summary="Who did what, when, from where, with what result; the newest first.",
        query=(_limit(100), *audit.FILTER),
        response=wire.Audit,
    ),
    Row(
        method="GET",
        path=f"{V1}/tokens",
        access=Access.ADMIN,
        handler=tokens.listing,
        summary="All tokens, without their secrets.",
        response=wire.Tokens,
    ),
    Row(
        method="POST",
        path=f"{V1}/tokens",
        access=Access.ADMIN,
        handler=tokens.add,
        summary="Make a token. The answer shows its secret this once.",
        request=wire.TokenRequest,
        response=wire.NewToken,
        status=201,
        errors=(400, 409, 413, 415),
    ),
    Row(
        method="DELETE",
        path=f"{V1}/tokens/{{name}}",
        access=Access.ADMIN,
        handler=tokens.revoke,
        summary="Revoke a token, from now on.",
        response="",
        status=204,
        errors=(404,),
    ),
    Row(
        method="POST",
        path=f"{V1}/page-links",
        access=Access.READ,
        handler=page_links.add,
        summary="Make a link that signs one browser in as you, once, within two minutes.",
        response=wire.PageLink,
        status=201,
        errors=(409,),
    ),
    Row(
        method="GET",
        path=f"{V1}/openapi.json",
        access=Access.OPEN,
        handler=box.openapi,
        summary="This API as an OpenAPI 3.1 document.",
        response="application/json",
    ),
    Row(
        method="GET",
        path="/healthz",
        access=Access.OPEN,
        handler=box.healthz,
        summary="Whether minipaas itself answers.",
        response=wire.Healthz,
    ),
    Row(
        method="GET",
        path="/metrics",
        access=Access.OPEN,
        handler=metrics.prometheus,
        summary="Everything that is counted, in the text format of Prometheus.",
        response="text/plain",
    ),
    Row(
        method="GET",
        path="/",
        access=Access.OPEN,
        handler=overview,
        summary="The status page.",
        response="text/html",
    ),
    Row(
        method="GET",
        path="/apps/{app}",
        access=Access.OPEN,
        handler=app_page,
        summary="One app on the status page.",
        response="text/html",
        errors=(404,),
    ),
    Row(
        method="GET",
        path="/apps/{app}/releases/{release}/diff",
        access=Access.OPEN,
        handler=diff_page,
        summary="What changed between two releases, on the page.",
        response="text/html",
        errors=(404, 422),
    ),
    Row(
        method="GET",
        path="/apps/{app}/events",
        access=Access.OPEN,
        handler=events_page,
        summary="What happened to an app, on the page.",
        response="text/html",
        errors=(404,),
    ),
    Row(
        method="GET",
        path="/apps/{app}/output",
        access=Access.READ,
        handler=output,
        summary="The last lines that the instances of a service wrote, on the page.",
        response="text/html",
        errors=(404, 502),
    ),
    Row(
        method="GET",
        path="/apps/{app}/rollback",
        access=Access.DEPLOY,
        handler=actions.ask(actions.Rollback),
        summary="What going back would do, and the button to do it.",
        response="text/html",
        errors=(404, 409),
    ),
    Row(
        method="POST",
        path="/apps/{app}/rollback",
        access=Access.DEPLOY,
        handler=actions.do(actions.Rollback),
        summary="Go back, from the page.",
        form=actions.Rollback,
        response="text/html",
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="GET",
        path="/apps/{app}/restart",
        access=Access.DEPLOY,
        handler=actions.ask(actions.Restart),
        summary="What a restart would do, and the button to do it.",
        response="text/html",
        errors=(404, 409),
    ),
    Row(
        method="POST",
        path="/apps/{app}/restart",
        access=Access.DEPLOY,
        handler=actions.do(actions.Restart),
        summary="Restart, from the page.",
        form=actions.Restart,
        response="text/html",
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="GET",
        path="/apps/{app}/scale",
        access=Access.DEPLOY,
        handler=actions.ask(actions.Scale),
        summary="What another number of instances would do, and the button to do it.",
        response="text/html",
        errors=(404, 409, 422),
    ),
    Row(
        method="POST",
        path="/apps/{app}/scale",
        access=Access.DEPLOY,
        handler=actions.do(actions.Scale),
        summary="Scale, from the page.",
        form=actions.Scale,
        response="text/html",
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="GET",
        path="/apps/{app}/remove",
        access=Access.ADMIN,
        handler=actions.ask(actions.Remove),
        summary="What a removal would do, and the button to do it.",
        response="text/html",
        errors=(404, 409),
    ),
    Row(
        method="POST",
        path="/apps/{app}/remove",
        access=Access.ADMIN,
        handler=actions.do(actions.Remove),
        summary="Remove, from the page.",
        form=actions.Remove,
        response="text/html",
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="GET",
        path="/upload",
        access=Access.OPEN,
        handler=upload.upload,
        summary="Where a browser brings bundles.",
        response="text/html",
    ),
    Row(
        method="GET",
        path="/upload/held/{held}",
        access=Access.DEPLOY,
        handler=upload.held,
        summary="A held bundle on the status page: who signed it, what it changes, what will happen.",
        response="text/html",
        errors=(404,),
    ),
    Row(
        method="POST",
        path="/upload/held/{held}/deploy",
        access=Access.DEPLOY,
        handler=upload.deploy,
        summary="Deploy a held bundle from the status page.",
        form=upload.Decision,
        response="text/html",
        errors=(400, 404, 409, 413, 415, 422),
    ),
    Row(
        method="POST",
        path="/upload/held/{held}/drop",
        access=Access.DEPLOY,
        handler=upload.drop,
        summary="Throw a held bundle away from the status page.",
        form=upload.Decision,
        response="text/html",
        errors=(400, 404, 413, 415),
    ),
    Row(
        method="GET",
        path="/upload/changes/{id}",
        access=Access.OPEN,
        handler=upload.change,
        summary="One change on the status page, for whoever has begun it.",
        response="text/html",
        errors=(404,),
    ),
    Row(
        method="GET",
        path="/box",
        access=Access.OPEN,
        handler=box_page,
        summary="Facts of this box on the status page.",
        response="text/html",
    ),
    Row(
        method="POST",
        path="/box/tokens",
        access=Access.ADMIN,
        handler=token_forms.make,
        summary="Make a token on the status page, which shows its secret this once.",
        form=token_forms.MakeToken,
        response="text/html",
        status=201,
        errors=(400, 409, 413, 415),
    ),
    Row(
        method="POST",
        path="/box/tokens/revoke",
        access=Access.ADMIN,
        handler=token_forms.revoke,
        summary="Revoke a token on the status page.",
        form=token_forms.RevokeToken,
        response="text/html",
        status=303,
        errors=(400, 404, 413, 415),
    ),
    Row(
        method="POST",
        path="/box/trust",
        access=Access.ADMIN,
        handler=trust_form.add,
        summary="See on the status page what a trust root would change; then trust it.",
        form=trust_form.TrustRootForm,
        response="text/html",
        errors=(400, 409, 413, 415, 422),
    ),
    Row(
        method="GET",
        path="/audit",
        access=Access.READ,
        handler=audit_page,
        summary="The audit log on the status page, with a filter.",
        response="text/html",
        errors=(400,),
    ),
    Row(
        method="GET",
        path="/sign-in",
        access=Access.DOOR,
        handler=sign_in.show,
        summary="Sign a browser in: a form for a token, or by a link of `minipaas page`.",
        response="text/html",
    ),
    Row(
        method="POST",
        path="/sign-in",
        access=Access.DOOR,
        handler=sign_in.enter,
        summary="Sign a browser in with a token.",
        form=sign_in.SignIn,
        response="text/html",
        errors=(400, 413, 415, 429),
    ),
    Row(
        method="POST",
        path="/sign-out",
        access=Access.DOOR,
        handler=sign_in.leave,
        summary="Sign a browser out.",
        form=sign_in.SignOut,
        response="text/html",
        errors=(400, 413, 415),
    ),
    Row(
        method="GET",
        path="/static/{file}",
        access=Access.DOOR,
        handler=static,
        summary="Style, scripts and their licences.",
        response="*/*",
        errors=(404,),
    ),
)

if len({(row.method, row.path) for row in TABLE}) != len(TABLE):
    raise TypeError("two rows of the table share method and path")
