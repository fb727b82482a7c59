"""The scene: a box with a little of everything that the page can show. The same apps each time."""

from __future__ import annotations

import math
import time
from pathlib import Path

from minipaas.model.metrics import Seen
from minipaas.model.traffic import RouteCounters
from minipaas.model.usage import Usage
from minipaas.telemetry.meter import Place
from minipaas.telemetry.telemetry import Telemetry
from tests.boxes import RunningBox
from tests.fakepodman.behaviour import Behaviour
from tests.telemetry.made import counters, reading, route

APPS = ("sensors", "gateway", "guestbook", "shop")
"""In the order of their urgency."""

MIB = 1024**2
INSTANCES = (
    ("guestbook", "web", 1, 0.06, 58 * MIB, 9.0),
    ("guestbook", "web", 2, 0.05, 57 * MIB, 0.0),
    ("guestbook", "redis", 1, 0.01, 11 * MIB, 0.0),
    ("shop", "web", 1, 0.11, 83 * MIB, 17.0),
    ("shop", "web", 2, 0.1, 82 * MIB, 0.0),
    ("gateway", "web", 1, 0.03, 31 * MIB, 2.0),
    ("sensors", "web", 1, 0.02, 24 * MIB, 1.0),
)
"""(app, service, slot, cores, bytes, requests a second of its app) of the past."""

_TOML = """
[app]
name = "{app}"
version = "{version}"
description = "{description}"
[rollout]
confirm = "100ms"
drain = "1s"
deadline = "1h"
[services.web]
image = "x"
port = 8080
replicas = {replicas}
routes = [{routes}]
stop = "1s"
memory = "256MiB"
cpus = 0.5
health = {{ http = "/healthz", interval = "200ms", timeout = "1s", grace = "{grace}", retries = 2 }}
{extra}
"""
_REDIS = """
[services.redis]
image = "y"
memory = "128MiB"
volumes = { data = "/data" }
"""


def toml(
    app: str,
    version: str,
    description: str,
    routes: tuple[str, ...],
    *,
    replicas: int = 1,
    grace: str = "500ms",
    extra: str = "",
) -> str:
    return _TOML.format(
        app=app,
        version=version,
        description=description,
        routes=", ".join(f'"{one}"' for one in routes),
        replicas=replicas,
        grace=grace,
        extra=extra,
    )


async def make_past(data: Path, night: tuple[float, float]) -> None:
    """A day of figures, as if the apps had run: every minute, and every ten seconds of the last hour. `night`: from
    when to when, in seconds before now, shop was in trouble; its memory had grown before."""
    for old in data.glob("metrics.db*"):  # noqa: ASYNC240
        old.unlink()
    now = time.time() // 60 * 60
    at = [now - 24 * 3600]
    past = Telemetry(data, lambda: at[0])
    used: dict[str, float] = {}
    answered: dict[str, int] = {}
    failed: dict[str, int] = {}
    routes: list[RouteCounters] = []
    past.count_traffic(lambda: counters(*routes))
    places = {f"{app}-{service}-{slot}": Place(app, service, slot, at[0] - 60) for app, service, slot, *_ in INSTANCES}
    while at[0] < now:
        step = 10.0 if at[0] >= now - 3600 else 60.0
        at[0] += step
        wave = 1 + 0.6 * math.sin(at[0] / 4200) + 0.25 * math.sin(at[0] / 310)
        usage = {}
        before, since = now - at[0], (night[0] + 3 * 3600, night[1])
        leak = 1 + 2 * max(0.0, (since[0] - before) / (since[0] - since[1])) if before > since[1] else 1.0
        bad = night[0] >= before > night[1]
        for (app, _, _, cpu, memory, _), key in zip(INSTANCES, places, strict=True):
            used[key] = used.get(key, 0.0) + cpu * wave * step
            grown = leak if app == "shop" else 1.0
            usage[key] = Usage(cpu=used[key], memory=int(memory * grown * (0.94 + 0.06 * wave)), peak=memory, pids=4)
        routes.clear()
        for app, *_, rate in (one for one in INSTANCES if one[5]):
            answered[app] = answered.get(app, 0) + round(rate * wave * step)
            failed["shop"] = failed.get("shop", 0) + (round(4 * step) if bad and app == "shop" else 0)
            routes.append(route(app, {200: answered[app], 502: failed.get(app, 0)}, bucket=6))
        past.see(dict.fromkeys(APPS, Seen.RUNNING) | ({"shop": Seen.DEGRADED} if bad else {}))
        host = reading(at[0], busy=at[0] * 0.21 + 60 * wave, idle=at[0] * 0.79, received=int(at[0] * 4000))
        await past.take(usage, places, [], host, tick=at[0])
    await past.close()


async def make_scene(box: RunningBox) -> None:
    """guestbook runs; the last deploy of shop failed; gateway is being changed; sensors is down."""
    box.actor, box.origin = "root via socket", "socket"
    await box.trust()
    guestbook = toml("guestbook", "1.4.2", "Visitors leave a line", ("guestbook.local",), replicas=2, extra=_REDIS)
    await box.deploy(guestbook, services=("web", "redis"), version="1.4.2", app="guestbook")
    routes = ("shop.local", "*/shop")
    shop = toml("shop", "2.1.0", "Orders from the counter", routes, replicas=2)
    await box.deploy(shop, version="2.1.0")
    output = ("reading the orders", "!cannot find the database at /data/orders.db")
    box.fake.behave(Behaviour(exit_code=3, lifetime=0.05, output=output), app="shop")
    await box.deploy(shop.replace("2.1.0", "2.2.0"), version="2.2.0")
    box.fake.behave(Behaviour(), app="shop")

    gateway = toml("gateway", "5.0.1", "Speaks to the machines", ("gateway.local",), grace="1h")
    await box.deploy(gateway, version="5.0.1", app="gateway")
    box.fake.behave(Behaviour(status=503), app="gateway")
    await box.send(gateway.replace("5.0.1", "5.1.0"), version="5.1.0", app="gateway")

    sensors = toml("sensors", "0.9.3", "Temperatures of the cold store", ("sensors.local",))
    await box.deploy(sensors, version="0.9.3", app="sensors")
    output = ("!no sensor answers on /dev/ttyUSB0",)
    box.fake.behave(Behaviour(exit_code=1, lifetime=0.02, output=output), app="sensors")
    box.fake.crash(box.running("sensors")[0], 1)
    await box.until(lambda: len(box.instances("sensors")) > 1)
    await settled(box)


async def settled(box: RunningBox) -> None:
    """Wait until what can be well is well."""
    well = ("guestbook", "shop")
    await box.until(lambda: all(len(box.running(app)) > 1 for app in well))
    await box.until(lambda: all(one.healthy for app in well for one in box.instances(app) if one.running))
