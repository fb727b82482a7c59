"""The scene: a box with a little of everything that the page can show. The same apps each time."""

from __future__ import annotations

from minipaas.model.observed import HealthState
from tests.boxes import RunningBox
from tests.fakepodman.behaviour import Behaviour

APPS = ("sensors", "gateway", "guestbook", "shop")
"""In the order of their urgency."""

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


async def make_scene(box: RunningBox) -> None:
    """guestbook runs; the last deploy of shop failed; gateway is being changed; sensors is down."""
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
    await box.until(lambda: all(one.health is HealthState.HEALTHY for one in box.instances("guestbook") if one.running))
