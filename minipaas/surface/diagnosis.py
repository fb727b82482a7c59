"""What `doctor` and `install` know of this host before they judge it: gathered at once, each fact with a deadline."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from minipaas.install import check_box, check_host, check_podman, check_user
from minipaas.install.facts import BoxFacts, Facts, Network, PodmanInfo
from minipaas.install.findings import Finding, Level, ask, together
from minipaas.install.layout import Layout
from minipaas.install.places import Places
from minipaas.install.receipt import Receipt
from minipaas.install.service import Init, detect
from minipaas.model.config import Config, is_loopback, parse_config, parse_listen
from minipaas.model.errors import EngineDown, Forbidden, MinipaasError, Missing, Unreachable
from minipaas.model.shipping import ShipState
from minipaas.model.units import counted

T = TypeVar("T")

ANSWER = 6.0
"""Seconds that Podman or the box may take to tell of themselves."""
MAX_CONFIG = 1024**2
BEFORE = (*check_host.CHECKS, *check_podman.CHECKS, *check_user.CHECKS, check_box.configuration)
"""What must be well before an install."""
ALL = (*check_host.CHECKS, *check_podman.CHECKS, *check_user.CHECKS, *check_box.CHECKS)


def here() -> Places:
    """Where minipaas is installed on this host: as this very program is, else for this user, else for everybody."""
    from minipaas import program

    command = program.command()
    holding = Layout.holding(Path(command[0])) if len(command) == 1 else None
    found = Places.around(holding[0].home) if holding is not None else None
    if found is not None:
        return found
    system, user = Places.system(), Places.of_user(Path.home())
    if os.geteuid() == 0 or (Receipt.read(user.home) is None and Receipt.read(system.home) is not None):
        return system
    return user


def facts(places: Places, init: Init | None = None) -> Facts:
    """Everything that there is to know, within a few seconds; what cannot be told is said in its place."""
    from minipaas.control.clock import build_date, clock_synced
    from minipaas.engine.socket import find_socket
    from minipaas.registry.database import copy_path

    receipt = Receipt.read(places.layout.home)
    config_file = Path(receipt.config) if receipt is not None else places.config
    config, config_error = read_config(places.at(config_file))
    socket, socket_error = "", None
    try:
        socket = find_socket(config.podman.socket) or ""
    except MinipaasError as error:
        socket_error = error
    data = Path(receipt.data) if receipt is not None else places.data
    guest = not places.user and os.geteuid() != 0
    asked: dict[str, Callable[[], object]] = {"box": lambda: box(data, config)}
    if not guest:
        asked["info"] = lambda: _podman(socket, "info", ["info"], PodmanInfo)
        asked["networks"] = lambda: _podman(socket, "networks/json", ["network", "ls"], tuple[Network, ...])
    told = together(asked, ANSWER + 1)
    info, networks, answer = told.get("info"), told.get("networks"), told["box"]
    why = socket_error or (info if isinstance(info, Exception) else None)
    return Facts(
        places=places,
        init=receipt.init if receipt is not None else init or detect(places),
        config=config,
        config_error=config_error,
        socket=socket,
        guest=guest,
        podman=info if isinstance(info, PodmanInfo) else None,
        podman_error=_words(why),
        podman_hint=why.hint if isinstance(why, MinipaasError) else "",
        networks=networks if isinstance(networks, tuple) else (),
        box=answer if isinstance(answer, BoxFacts) else None,
        box_error=_words(answer) if isinstance(answer, Exception) else "",
        receipt=receipt,
        synced=clock_synced(),
        floor=build_date(),
        registry_copy=copy_path(data / "registry.db", "day"),
    )


def leftovers(known: Facts) -> tuple[list[str], list[str], list[str]]:
    """Names of the containers that run, of the volumes and of the networks, of the box whose data lie here, whether it
    runs or not: another one may use this Podman, or answer on its port. Raises MinipaasError when it cannot be told
    which box that is."""
    from minipaas.engine.body import BOX
    from minipaas.registry.identity import box_of

    label = f"{BOX}={box_of(known.data / 'registry.db')}"
    mark = quote(msgspec.json.encode({"label": [label]}))
    kind = list[dict[str, Any]]
    told = together(
        {
            "containers": lambda: _podman(
                known.socket, f"containers/json?filters={mark}", ["ps", "--filter", f"label={label}"], kind
            ),
            "volumes": lambda: _podman(
                known.socket, f"volumes/json?filters={mark}", ["volume", "ls", "--filter", f"label={label}"], kind
            ),
            "networks": lambda: _podman(
                known.socket, f"networks/json?filters={mark}", ["network", "ls", "--filter", f"label={label}"], kind
            ),
        },
        ANSWER + 1,
    )
    containers, volumes, networks = (one if isinstance(one, list) else [] for one in told.values())
    return (
        sorted(one["Names"][0] for one in containers),
        sorted(one["Name"] for one in volumes),
        sorted(one["name"] for one in networks),
    )


def diagnose(known: Facts, before: bool = False) -> list[Finding]:
    """All findings, or those that matter before an install; the worst first, else in the order of the tables."""
    order = [Level.BAD, Level.WARN, Level.OK]
    return sorted(ask(BEFORE if before else ALL, known), key=lambda one: order.index(one.level))


def _words(error: Exception | None) -> str:
    if isinstance(error, MinipaasError):
        return error.message
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER:g} s"
    return "" if error is None else f"{type(error).__name__}: {error}"


def read_config(path: Path) -> tuple[Config, str]:
    """What the operator set, the defaults where that cannot be read; and why not."""
    try:
        with path.open("rb") as file:
            return parse_config(path, file.read(MAX_CONFIG)), ""
    except FileNotFoundError:
        return Config(), ""
    except OSError as error:
        return Config(), f"cannot read {path}: {error.strerror}"
    except MinipaasError as error:
        return Config(), error.message


def _podman(socket: str, path: str, words: list[str], kind: type[T]) -> T:
    """By the socket, or by the command where minipaas starts a service of its own."""
    if socket:
        from minipaas.engine.session import Session

        session = Session(socket)
        try:
            _, body = session.call("ask Podman", "GET", path, timeout=ANSWER)
        finally:
            session.close()
        return msgspec.json.decode(body, type=kind)
    tool = shutil.which("podman")
    if tool is None:
        raise EngineDown("there is no podman on this host")
    env = {name: value for name, value in os.environ.items() if name != "CONTAINER_HOST"}
    done = subprocess.run(
        [tool, *words, "--format", "json"],
        capture_output=True,
        timeout=ANSWER,
        check=False,
        env=env,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()
        raise EngineDown(f"podman {' '.join(words)} fails: {last[-1] if last else done.returncode}", hint="podman info")
    return msgspec.json.decode(done.stdout, type=kind)


def box(data: Path, config: Config) -> BoxFacts:
    """What the box here says of itself: on its socket, or, for who may not open that, on its page's port. Raises
    Unreachable."""
    from minipaas.surface.client import Box, Limits
    from minipaas.surface.connection import SOCKET_NAME, Address
    from minipaas.surface.wire_box import BoxView
    from minipaas.surface.wire_certificates import Certificates
    from minipaas.surface.wire_self import SelfView
    from minipaas.surface.wire_shipping import Shipping

    ways = [Address("unix", str(data / SOCKET_NAME))]
    for listen in config.api.listen:
        host, port = parse_listen(listen)
        if port and is_loopback(host):
            ways.append(Address("http", host, port))
    failure: MinipaasError | None = None
    for way in ways:
        try:
            asked = Box(way, limits=Limits(connect=1, answer=ANSWER / 2))
            view: Any = asked.get("/box", BoxView)
            tls: Any = None
            with contextlib.suppress(Missing):  # one that runs an older version
                tls = asked.get("/certificates", Certificates)
            ship: tuple[ShipState, ...] = ()
            with contextlib.suppress(Missing, Forbidden):
                ship = asked.get("/shipping", Shipping).destinations
            own: Any = None
            with contextlib.suppress(Missing):
                own = asked.get("/self", SelfView).returned
        except MinipaasError as error:
            failure = failure or error
            continue
        return BoxFacts(
            id=view.id,
            version=view.version,
            trouble=view.trouble,
            ingress=view.ingress,
            api=view.api,
            apps=view.counts.apps,
            healthy=view.counts.healthy,
            instances=view.counts.instances,
            root_version=view.root_version,
            floor=view.clock.floor,
            certificates=len(tls.certificates) if tls is not None and tls.authority is not None else None,
            certificate_troubles=tls.trouble if tls is not None else (),
            shipping=len(ship),
            shipping_troubles=tuple(_shipping_trouble(one) for one in ship if one.failing or one.lost_bytes),
            returned=(
                f"{own.kind} to {own.to_version} went back to {own.serves}: {own.reason}" if own is not None else ""
            ),
        )
    raise failure or Unreachable("cannot reach the box")


def _shipping_trouble(one: ShipState) -> str:
    lost = f"{counted(one.lost, 'line')} made way before they were sent to {one.name}" if one.lost_bytes else ""
    return "; ".join(filter(None, (f"{one.name}: {one.error}" if one.failing else "", lost)))
