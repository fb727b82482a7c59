"""The box itself: facts, news, and the description of this API."""

from __future__ import annotations

from functools import cache

from aiohttp import web

from minipaas.author.version import own_version
from minipaas.control.clock import trusted_time
from minipaas.surface import views
from minipaas.surface.call import Call
from minipaas.surface.sse import EventStream
from minipaas.surface.wire import NewsEvent
from minipaas.surface.wire_box import BoxView, ClockView, CountsView, Healthz, PodmanView


async def healthz(call: Call) -> Healthz:
    """Answers when the registry does."""
    await call.registry.desired()
    return Healthz()


@cache
def _version() -> str:
    return own_version()


async def facts(call: Call) -> BoxView:
    """Facts of this box."""
    control = call.control
    info = control.engine.info
    floor = await call.registry.time_floor()
    time = trusted_time(floor)
    roots = await call.registry.roots()
    return BoxView(
        version=_version(),
        id=call.registry.box_id,
        podman=PodmanView(version=info.version, rootless=info.rootless, runtime=info.runtime),
        trouble=control.trouble,
        disk=views.disk_view(call),
        clock=ClockView(now=time.clock, synced=time.synced, floor=int(time.floor)),
        ingress=tuple(_address(*address) for address in control.ingress.addresses),
        api=tuple(_address(*address) for address in call.context.listen),
        counts=await _counts(call),
        root_version=views.root_view(roots[-1]).version if roots else None,
    )


async def _counts(call: Call) -> CountsView:
    apps = (await call.registry.desired()).apps
    instances = call.control.observed.instances
    serving = [app.serving for app in apps if app.serving is not None]
    return CountsView(
        apps=len(apps),
        services=sum(len(release.spec.services) for release in serving),
        instances=len(instances),
        running=sum(1 for one in instances if one.running),
        healthy=sum(1 for one in instances if one.healthy),
    )


def _address(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"


async def news(call: Call) -> web.StreamResponse:
    """One event whenever there is something to see, at most one a `limits.news_gap`."""
    context = call.context
    last: int | None = call.query["since"]
    given = call.request.headers.get("Last-Event-ID", "")
    if given.isascii() and given.isdigit() and len(given) < 18:
        last = int(given)
    async with EventStream.open(call) as stream:
        while stream.alive:
            version = context.news.current()
            if version != last:
                await stream.send("news", NewsEvent(version=version), str(version))
                last = version
                await context.news.sleep(context.limits.news_gap)
            await stream.wait(version)
    return stream.response


async def openapi(call: Call) -> web.Response:
    """Made from the table, once."""
    from minipaas.surface.openapi import document_json

    return web.Response(body=document_json(), content_type="application/json", headers={"Cache-Control": "no-cache"})
