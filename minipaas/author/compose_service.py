"""One service of a Compose file as a service of `app.toml`.

It keeps Compose's meaning by writing it out: where minipaas's default is stricter than Compose's, the line is there
with a comment that says what may be removed. Whatever has no counterpart becomes a note; nothing vanishes silently
except labels, and keys that only concern Compose itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from minipaas.author import compose_values as values
from minipaas.author.apptoml import Draft, toml
from minipaas.author.compose_health import import_health
from minipaas.author.compose_keys import HANDLED, HTTP_PORTS, SILENT, WHY, WRITABLE
from minipaas.author.interpolate import parse_env
from minipaas.author.limits import LIMITS
from minipaas.author.starter import app_name
from minipaas.model.errors import Invalid
from minipaas.model.spec import ENV_KEY, MAX_REPLICAS, VOLUME
from minipaas.model.units import Size


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a service of the file needs to know of the rest."""

    compose_dir: Path
    target_dir: Path
    environ: Mapping[str, str]
    names: Mapping[str, str]
    """Compose's service names -> ours, of the services that are carried over."""
    note: Callable[[str], None]


class ServiceImport:
    """Turns one `services.NAME` into a Draft. Call `run` once."""

    def __init__(self, name: str, raw: dict[str, Any], around: Surroundings) -> None:
        self._raw = raw
        self._around = around
        self._compose_name = name
        self._draft = Draft(name=around.names[name])
        self._ports: list[values.Port] = []
        self._port: int | None = None
        self._one_replica = ""

    def run(self) -> Draft:
        """The draft. Raises Invalid where the file is not valid Compose."""
        for part in (self._source, self._commands, self._mounts, self._network, self._replicas, self._waits):
            self._guard(part)
        for part in (self._resources, self._health, self._rights, self._stop, self._env, self._leftovers):
            self._guard(part)
        return self._draft

    def _guard(self, part: Callable[[], None]) -> None:
        try:
            part()
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            what = part.__name__.strip("_")
            raise Invalid(
                f"cannot import service {self._compose_name}: {what}: {error}", code="author.compose"
            ) from None

    def _note(self, text: str) -> None:
        self._around.note(f"{self._draft.name}: {text}")

    def _source(self) -> None:
        build, image = self._raw.get("build"), self._raw.get("image")
        if build is not None:
            context = values.text(build.get("context", ".")) if isinstance(build, dict) else values.text(build)
            if isinstance(build, dict):
                self._build_options(build)
            if "://" not in context and not context.startswith("git@"):
                here = (self._around.compose_dir / context).resolve()
                self._draft.set("build", Path(os.path.relpath(here, self._around.target_dir.resolve())).as_posix())
                return
            self._note(f"build: the context {context} is not a directory here; clone it, or build the image yourself")
            image = image or f"localhost/{self._draft.name}:latest"
        if not image:
            raise ValueError("it has neither image nor build")
        self._draft.set("image", values.image(values.text(image)), "exported from your local Podman: podman pull it")

    def _build_options(self, build: dict[str, Any]) -> None:
        name = build.get("dockerfile")
        if name not in (None, "Dockerfile", "Containerfile"):
            self._note(f"build.dockerfile: {name}: minipaas takes Containerfile or Dockerfile; rename it")
        rest = sorted(set(build) - {"context", "dockerfile", "labels", "tags"})
        if rest:
            self._note(f"build.{', build.'.join(rest)}: not carried over; put it into the Containerfile")

    def _commands(self) -> None:
        for name in ("entrypoint", "command"):
            if (value := self._raw.get(name)) is not None:
                words = values.command(value)
                if words:
                    self._draft.set(name, words)
                else:
                    self._note(f"{name}: an empty one is not carried over; the image's own is used")
        if (workdir := self._raw.get("working_dir")) is not None:
            self._draft.set("workdir", values.text(workdir))
        if (user := self._raw.get("user")) is not None:
            self._draft.set("user", values.text(user))

    def _mounts(self) -> None:
        kept: dict[str, str] = {}
        for entry in self._raw.get("volumes") or []:
            mount = values.mount(entry)
            if mount.kind == "bind":
                self._note(
                    f"volumes: {mount.source} on {mount.target}: a directory of the host is not carried over; "
                    "bake it into the image or use a named volume"
                )
            elif mount.kind == "tmpfs" and mount.target.rstrip("/") in WRITABLE:
                continue
            elif mount.kind != "volume":
                writable = ", ".join(WRITABLE)
                self._note(f"volumes: {mount.kind} on {mount.target}: not carried over; {writable} are always writable")
            else:
                self._volume(mount, kept)
        if kept:
            self._draft.set("volumes", kept, "kept across releases; stopped before its successor starts")
            self._one_replica = "it has a volume"
        for path in values.texts(self._raw.get("tmpfs") or []):
            if path.partition(":")[0].rstrip("/") not in WRITABLE:
                self._note(f"tmpfs: {path}: not carried over; {', '.join(WRITABLE)} are always writable")

    def _volume(self, mount: values.Mount, kept: dict[str, str]) -> None:
        source = mount.source or re.sub(r"[^a-z0-9]+", "-", f"{self._draft.name}{mount.target}".lower()).strip("-")
        name = re.sub(r"[^a-z0-9_.-]", "-", source.lower())[:63]
        if not VOLUME.fullmatch(name):
            name = f"v{name}"[:63]
        if not mount.source:
            self._note(f"volumes: {mount.target} had no name; it is now {name} and is kept across releases")
        elif name != mount.source:
            self._note(f"volumes: {mount.source} is now {name}")
        if name in kept:
            self._note(f"volumes: {name} on {mount.target}: a second mount of it is not carried over")
            return
        if mount.read_only:
            self._note(f"volumes: {name} on {mount.target} was read-only and is now writable")
        kept[name] = mount.target

    def _network(self) -> None:
        published: list[str] = []
        exposed = [port for entry in self._raw.get("expose") or [] for port in values.ports(entry)]
        self._ports = [port for entry in self._raw.get("ports") or [] for port in values.ports(entry)]
        for port in self._ports:
            if port.protocol not in ("tcp", "udp"):
                self._note(f"ports: {port.container}/{port.protocol}: only tcp and udp are carried over")
            elif port.host is None:
                self._note(f"ports: {port.container} had a random port of the host; publish a fixed one or use a route")
            elif ":" in port.address:
                self._note(f"ports: {port.published}: an IPv6 address is not carried over")
            elif port.published not in published:
                published.append(port.published)
        inner = [port.container for port in (*self._ports, *exposed) if port.protocol == "tcp"]
        if inner:
            self._port = next((port for port in inner if port in HTTP_PORTS), inner[0])
            self._draft.set("port", self._port, "what routes and probes use")
        if self._port in HTTP_PORTS:
            route = toml([f"{self._draft.name}.local"])
            self._draft.say(f"routes = {route}  # it looks like HTTP: with a route, the ingress answers for it")
        if published:
            self._draft.set("ports", published, "opened on the host, past the ingress; with a route it may go")
            self._one_replica = self._one_replica or "it publishes a port"
        if any(port.host in (80, 443) for port in self._ports):
            self._note("ports: 80 and 443 are where a box's ingress listens; prefer a route")
        self._networks()

    def _networks(self) -> None:
        networks = self._raw.get("networks") or {}
        settings = networks.values() if isinstance(networks, dict) else ()
        if any(setting for setting in settings):
            self._note("networks: aliases and addresses are not carried over; it is reached by its service name")

    def _replicas(self) -> None:
        deploy = self._raw.get("deploy") or {}
        replicas = deploy.get("replicas", self._raw.get("scale", 1))
        if not isinstance(replicas, int) or not 0 <= replicas <= MAX_REPLICAS:
            raise ValueError(f"{replicas!r} is not 0 to {MAX_REPLICAS}")
        if replicas > 1 and self._one_replica:
            self._note(f"deploy.replicas: {replicas}: one instance only, because {self._one_replica}")
            replicas = 1
        if replicas != 1:
            self._draft.set("replicas", replicas)
        rest = sorted(set(deploy) - {"replicas", "resources", "labels", "restart_policy", "mode"})
        if deploy.get("mode", "replicated") != "replicated":
            rest.append(f"mode {deploy['mode']}")
        if rest:
            self._note(f"deploy: {', '.join(rest)}: not carried over; minipaas has its own rollout")

    def _waits(self) -> None:
        raw = self._raw.get("depends_on") or []
        conditions = raw if isinstance(raw, dict) else dict.fromkeys(values.texts(raw))
        kept = [self._around.names[name] for name in conditions if name in self._around.names]
        for name, setting in conditions.items():
            if name not in self._around.names:
                self._note(f"depends_on: {name}: not carried over, because that service is not")
            elif (setting or {}).get("condition") == "service_completed_successfully":
                self._note(f"depends_on: {name} runs to its end: make it a release hook ([services.NAME.hooks])")
        if kept:
            self._draft.set("depends_on", kept)

    def _resources(self) -> None:
        resources = (self._raw.get("deploy") or {}).get("resources") or {}
        limits = resources.get("limits") or {}
        if (memory := limits.get("memory", self._raw.get("mem_limit"))) not in (None, 0):
            written = values.size(memory)
            if Size.parse(written) < Size.parse("4MiB"):
                self._note(f"memory: {memory}: below 4MiB; not carried over")
            else:
                self._draft.set("memory", written)
        if (cpus := limits.get("cpus", self._raw.get("cpus"))) is not None and float(cpus) > 0:
            self._draft.set("cpus", float(cpus))
        if (pids := limits.get("pids", self._raw.get("pids_limit"))) is not None:
            self._draft.set("pids", int(pids) if int(pids) > 0 else 1_000_000)
        if resources.get("reservations"):
            self._note("deploy.resources.reservations: nothing is reserved on a single box; only limits are")

    def _health(self) -> None:
        found = import_health(self._raw.get("healthcheck") or {"disable": True}, self._port)
        for note in found.notes:
            self._note(note)
        if found.instead is not None:
            self._draft.say(f"health = {toml(found.instead)}  # the same without a process in the container")
        if found.health is not None:
            self._draft.set("health", found.health)

    def _rights(self) -> None:
        if self._raw.get("read_only") is not True:
            self._draft.set(
                "read_only", False, "Compose's default; remove it if only volumes, /tmp and /run are written"
            )
        add, drop = self._raw.get("cap_add"), self._raw.get("cap_drop")
        kept = values.capabilities(add, drop)
        if kept:
            self._draft.say("Compose's capabilities, written out; minipaas grants none by itself. Remove what is not")
            self._draft.say("needed: NET_BIND_SERVICE is for ports below 1024; CHOWN, DAC_OVERRIDE, FOWNER, SETGID and")
            self._draft.say("SETUID for an image that starts as root and changes its user; the rest may mostly go.")
            self._draft.set("capabilities", kept)
        if any(values.text(item).upper() == "ALL" for item in add or []):
            self._note("cap_add: ALL: not carried over; name the capabilities that it needs")
        for option in values.texts(self._raw.get("security_opt") or []):
            if not re.fullmatch(r"no-new-privileges([:=]true)?", option):
                self._note(f"security_opt: {option}: not carried over")

    def _stop(self) -> None:
        if (grace := self._raw.get("stop_grace_period")) is not None:
            self._draft.set("stop", str(values.duration(grace)))

    def _env(self) -> None:
        merged: dict[str, str | None] = {}
        for entry in _list(self._raw.get("env_file")):
            merged |= self._env_file(entry)
        merged |= values.environment(self._raw.get("environment"))
        for name, value in merged.items():
            found = self._around.environ.get(name) if value is None else value
            if not ENV_KEY.fullmatch(name):
                self._note(f"environment: {name!r} is not a variable name; not carried over")
            elif found is None:
                self._note(f"environment: {name} has no value here; not carried over")
            else:
                self._draft.env[name] = found

    def _env_file(self, entry: Any) -> dict[str, str | None]:
        name = values.text(entry["path"] if isinstance(entry, dict) else entry)
        path = self._around.compose_dir / name
        if not path.is_file():
            self._note(f"env_file: {name} is not there; not carried over")
            return {}
        if path.stat().st_size > LIMITS.env_file:
            raise ValueError(f"env_file {name} is larger than {LIMITS.env_file // 1024} KiB")
        return parse_env(path.read_text("utf-8", "replace"))

    def _leftovers(self) -> None:
        if self._raw.get("restart") in (False, "no"):
            self._note('restart: "no": minipaas keeps a service running; a one-off task belongs into a release hook')
        for key in sorted(set(map(str, self._raw)) - HANDLED - SILENT):
            if not key.startswith("x-") and self._raw.get(key) not in (None, False, [], {}):
                self._note(f"{key}: {WHY.get(key, 'not carried over')}")


def service_names(names: list[str]) -> dict[str, str]:
    """Compose's service names as DNS labels. Raises Invalid when two become one."""
    ours = {name: app_name(name) for name in names}
    if len(set(ours.values())) != len(ours):
        raise Invalid(
            "cannot import the Compose file: two services have the same name as DNS labels",
            hint="rename one of: " + ", ".join(sorted(names)),
            code="author.compose",
        )
    return ours


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
