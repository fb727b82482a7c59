"""The services of an app as they run now: their instances, who has been in these, and where they answer."""

from __future__ import annotations

from collections.abc import Sequence

from minipaas.forensics.touched import Touch
from minipaas.model.change import AppDesired
from minipaas.model.observed import Instance, Observed
from minipaas.model.release import Release
from minipaas.model.route import Route
from minipaas.model.spec import ServiceSpec
from minipaas.surface import status
from minipaas.surface.call import Call
from minipaas.surface.i18n import EN, message
from minipaas.surface.views import said
from minipaas.surface.wire import InstanceView, RouteView, ServiceState, ServiceView


async def services_of(
    call: Call, desired: AppDesired, shown: Release | None, observed: Observed
) -> tuple[ServiceView, ...]:
    """Services of the release that serves (or is to), then those of which only instances are left."""
    of_app = observed.of(desired.app)
    specs: dict[str, ServiceSpec | None] = dict(shown.spec.services) if shown else {}
    signed = await call.context.release(shown.digest) if shown else None
    for instance in of_app:
        specs.setdefault(instance.service, None)
    return tuple(
        [
            await _service(
                call,
                name,
                spec,
                shown,
                [i for i in of_app if i.service == name],
                observed,
                released=signed.spec.services[name].replicas if signed and spec else 0,
            )
            for name, spec in specs.items()
        ]
    )


async def _service(
    call: Call,
    name: str,
    spec: ServiceSpec | None,
    shown: Release | None,
    instances: Sequence[Instance],
    observed: Observed,
    *,
    released: int,
) -> ServiceView:
    conditions = {i.id: status.condition(i, spec, observed.notes.get(i.id), observed.boot) for i in instances}
    views = [
        InstanceView(
            id=i.id,
            name=i.name,
            slot=i.slot,
            release=i.release,
            version=await call.context.version(i.release),
            state=i.state,
            health=i.health,
            word=conditions[i.id].word,
            well=conditions[i.id].well,
            detail=said(call, EN.say(conditions[i.id].detail)),
            attempt=i.attempt,
            created=i.created,
            started=i.started,
            finished=i.finished,
            exit_code=i.exit_code,
            oom_killed=i.oom_killed,
            touched=touch.by if touch is not None else "",
            entered=entered(touch),
        )
        for i in sorted(instances, key=lambda i: (not i.running, i.slot, -i.generation))
        for touch in (call.control.access.touched.of(i.id),)
    ]
    alive = [i.attempt for i in instances if i.running]
    if spec is None:
        state, healthy = ServiceState.OFF, sum(1 for view in views if view.well)
    else:
        state, healthy = status.service_state(spec, list(conditions.values()), max(alive, default=0))
    image = shown.images.get(name) if shown else None
    return ServiceView(
        name=name,
        state=state,
        replicas=spec.replicas if spec else 0,
        released=released,
        healthy=healthy,
        image=image.config if image else "",
        port=spec.main_port if spec else None,
        memory=int(spec.memory) if spec and spec.memory is not None else None,
        cpus=spec.cpus if spec else None,
        volumes=tuple(spec.volumes) if spec else (),
        routes=_routes(call, name, spec, observed),
        instances=tuple(views),
        pinned=spec is not None and spec.pinned,
    )


def _routes(call: Call, service: str, spec: ServiceSpec | None, observed: Observed) -> tuple[RouteView, ...]:
    backends = {entry.route: len(entry.backends) for entry in observed.routes}
    routes = [
        RouteView(route=str(route), service=service, url=route_url(call, route), backends=backends.get(route, 0))
        for route in (spec.parsed_routes if spec else ())
    ]
    answering = {entry.stream: len(entry.backends) for entry in observed.streams}
    streams = [
        RouteView(
            route=str(mouth.stream),
            service=service,
            url="",
            backends=answering.get(mouth.stream, 0),
            trouble=observed.closed.get(mouth.stream, "") if mouth.stream in answering else "",
        )
        for mouth in (spec.streams if spec else ())
    ]
    return (*routes, *streams)


def route_url(call: Call, route: Route) -> str:
    """Where a route answers, for a link; empty for `*.domain`, which has no one address."""
    if route.host.startswith("*."):
        return ""
    host = call.host if route.host == "*" else route.host
    ingress = call.control.ingress
    scheme, usual = ("https", 443) if ingress.secure else ("http", 80)
    ports = [port for _, port in ingress.secure or ingress.addresses]
    port = "" if not ports or ports[0] == usual else f":{ports[0]}"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{port}{route.prefix}"


async def app_urls(call: Call, app: str) -> tuple[str, ...]:
    """Where an app answers now."""
    for desired in (await call.registry.desired()).apps:
        if desired.app == app and desired.serving is not None:
            routes = [r for service in desired.serving.spec.services.values() for r in service.parsed_routes]
            return tuple(url for url in (route_url(call, route) for route in routes) if url)
    return ()


def entered(touch: Touch | None) -> str:
    """Who has been in an instance, and what they have changed as far as that is known."""
    if touch is None:
        return ""
    if touch.changed:
        return EN.say(message("phrase.touched_files", who=touch.by, n=touch.changed))
    if touch.copied:
        return EN.say(message("phrase.touched_copy", who=touch.by))
    return EN.say(message("phrase.entered" if touch.changed is None else "phrase.entered_clean", who=touch.by))
