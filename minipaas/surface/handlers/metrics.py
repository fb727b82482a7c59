"""Metrics: the box and its apps at a glance, over a time, and for Prometheus."""

from __future__ import annotations

import asyncio

from aiohttp import web

from minipaas.author.version import own_version
from minipaas.control.clock import trusted_time
from minipaas.model.metrics import AppSeries, HostSeries, Range, Summary
from minipaas.model.typed import to_json
from minipaas.surface import survey
from minipaas.surface.call import Call
from minipaas.telemetry.exposition import Facts, exposition


async def summary(call: Call) -> Summary:
    """At a glance."""
    return call.control.telemetry.summary()


async def app(call: Call) -> web.Response:
    """One app over a time. Large enough to be encoded in a thread."""
    if all(known.app != call.app for known in (await call.registry.desired()).apps):
        raise survey.missing_app(call.app)
    return await _encoded(await call.control.telemetry.app_series(call.app, Range(call.query["range"])))


async def host(call: Call) -> web.Response:
    """The machine over a time."""
    return await _encoded(await call.control.telemetry.host_series(Range(call.query["range"])))


async def _encoded(series: AppSeries | HostSeries) -> web.Response:
    body = await asyncio.to_thread(to_json, series)
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


async def prometheus(call: Call) -> web.Response:
    """Everything that is counted, in Prometheus's text format."""
    control = call.control
    telemetry = control.telemetry
    facts = Facts(
        version=own_version(),
        podman=control.engine.info.version,
        trouble=bool(control.trouble),
        clock_synced=trusted_time(await call.registry.time_floor()).synced,
        disk_free=control.blobs.free_bytes(),
        changes=await call.registry.change_counts(),
        summary=telemetry.summary(),
        ingress=telemetry.traffic(),
        slots=dict(telemetry.totals),
        host=telemetry.host_now(),
        certificates=control.certificates.certificates() if control.certificates is not None else (),
        shipping=await control.shipping.states() if control.shipping is not None else (),
    )
    body, kind = await asyncio.to_thread(exposition, facts, call.request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": kind, "Cache-Control": "no-store"})
