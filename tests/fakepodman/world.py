"""What containers do: start, listen, end, be stopped; every change is an event. Runs on the fake's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakepodman.behaviour import Behaviour, Listener
from tests.fakepodman.state import Container, Image, Port, State

Rule = tuple[Callable[[Container], bool], Behaviour]


class Fault(Exception):
    """An error answer of libpod."""

    def __init__(self, status: int, cause: str, message: str = "") -> None:
        super().__init__(message or cause)
        self.status = status
        self.cause = cause
        self.message = f"{message}: {cause}" if message else cause


class World:
    def __init__(self, logs: Path) -> None:
        """`logs`: where containers' log files are."""
        self.state = State()
        self._logs = logs
        self.rules: list[Rule] = []
        self.watchers: set[asyncio.Queue[dict[str, Any]]] = set()

    # --- events

    def tell(self, kind: str, action: str, subject: str, **attributes: str) -> None:
        now = time.time_ns()
        event = {
            "status": action,
            "id": subject,
            "Type": kind,
            "Action": action,
            "Actor": {"ID": subject, "Attributes": attributes},
            "scope": "local",
            "time": now // 10**9,
            "timeNano": now,
        }
        for queue in self.watchers:
            queue.put_nowait(event)

    def tell_of(self, container: Container, action: str) -> None:
        code = str(container.exit_code)
        self.tell("container", action, container.id, name=container.name, containerExitCode=code, **container.labels)

    # --- containers

    def find(self, key: str) -> Container:
        container = self.state.container(key)
        if container is None:
            raise Fault(404, "no such container", f'no container with name or ID "{key}" found')
        return container

    def behaviour_of(self, container: Container) -> Behaviour:
        hook = container.labels.get("io.minipaas.kind") == "hook"
        base = Behaviour(exit_code=0, lifetime=0.02, output=("hook ran",)) if hook else Behaviour()
        for fits, behaviour in reversed(self.rules):
            if fits(container):
                base = behaviour
                break
        text = (container.body.get("env") or {}).get("FAKE", "")
        return Behaviour.from_env(text, base) if text else base

    def create(self, body: dict[str, Any]) -> Container:
        name, wanted = body["name"], body["image"]
        image = self.state.image(wanted)
        if image is None:
            raise Fault(500, "image not known", wanted)
        taken = self.state.container(name)
        if taken is not None:
            words = f'creating container storage: the container name "{name}" is already in use by {taken.id}'
            raise Fault(500, "that name is already in use", words)
        for network in body.get("Networks") or {}:
            if network not in self.state.networks:
                raise Fault(500, "network not found", f"unable to find network with name or ID {network}")
        for volume in body.get("volumes") or ():
            # As Podman does: a volume that is missing is made, without labels.
            self.state.volumes.setdefault(volume["Name"], volume_entry(volume["Name"], {}))
        ports = [
            Port(p.get("host_ip", ""), p.get("host_port", 0), p["container_port"], p.get("protocol") or "tcp")
            for p in body.get("portmappings") or ()
        ]
        container = Container(secrets.token_hex(32), name, image, body, Behaviour(), ports)
        behaviour = self.behaviour_of(container)
        if behaviour.elsewhere:
            for port in ports:
                port.host_port, port.elsewhere = behaviour.elsewhere, True
        self._logs.mkdir(exist_ok=True)
        container.log_file = self._logs / f"{container.id}.log"
        container.log_file.touch()
        container.log_path = self._logs / "hidden" if behaviour.hides_log else container.log_file
        container.hold_ports(free_choice=True)
        self.state.containers[container.id] = container
        self.tell_of(container, "create")
        return container

    def start(self, container: Container) -> bool:
        """False when it runs already."""
        if container.running:
            return False
        container.behaviour = behaviour = self.behaviour_of(container)
        if behaviour.fails_to_start:
            raise Fault(500, "OCI runtime error", behaviour.fails_to_start)
        for mount in container.body.get("mounts") or ():
            if mount["type"] == "bind" and not Path(mount["source"]).exists():
                raise Fault(500, "no such file or directory", f"statfs {mount['source']}")
        try:
            container.hold_ports()
        except OSError as error:
            raise Fault(500, "address already in use", f"cannot listen on the TCP port: listen tcp4: {error}") from None
        container.state, container.started, container.finished = "running", time.time(), None
        container.exit_code, container.oom = 0, False
        container.ended = asyncio.Event()
        for line in behaviour.output:
            container.write(*((2, line[1:]) if line.startswith("!") else (1, line)))
        container.listener = Listener(behaviour, _identity(container))
        container.life = asyncio.create_task(self._live(container), name=container.name)
        self.tell_of(container, "init")
        self.tell_of(container, "start")
        return True

    async def _live(self, container: Container) -> None:
        behaviour, listener = container.behaviour, container.listener
        held = next((port.held for port in container.ports if port.held is not None), None)
        if held is not None and listener is not None and not behaviour.refuses:
            await asyncio.sleep(behaviour.start_delay)
            await listener.open(held)
        if behaviour.exit_code is not None:
            await asyncio.sleep(behaviour.lifetime)
            container.life = None
            await self.end(container, behaviour.exit_code, oom=behaviour.oom)

    async def end(self, container: Container, code: int, *, oom: bool = False) -> None:
        """The process is gone."""
        if not container.running:
            return
        container.state, container.exit_code, container.oom = "exited", code, oom
        container.finished = time.time()
        for session in self.state.execs.values():
            if session.container == container.id:
                session.kill()
        life, container.life = container.life, None
        if life is not None:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
        listener, container.listener = container.listener, None
        if oom:
            self.tell_of(container, "oom")
        self.tell_of(container, "died")
        if listener is not None:
            await listener.close()
        # The listening socket is a duplicate of the held one: a new one refuses connections again.
        container.free_ports()
        with contextlib.suppress(OSError):
            container.hold_ports()
        container.ended.set()
        self.tell_of(container, "cleanup")

    async def stop(self, container: Container, seconds: float) -> bool:
        """False when it does not run."""
        if not container.running:
            return False
        container.state = "stopping"
        behaviour = container.behaviour
        polite = behaviour.stop_delay if not behaviour.ignores_term else float("inf")
        if polite <= seconds:
            await asyncio.sleep(polite)
            await self.end(container, behaviour.term_code)
        else:
            await asyncio.sleep(seconds)
            await self.end(container, 137)
        self.tell_of(container, "stop")
        return True

    async def remove(self, container: Container, *, force: bool) -> None:
        if container.running:
            if not force:
                words = f"cannot remove container {container.id} as it is running - running or paused containers cannot"
                raise Fault(500, "container state improper", f"{words} be removed without force")
            await self.end(container, 137)
        container.free_ports()
        self.state.containers.pop(container.id, None)
        container.log_file.unlink(missing_ok=True)
        self.tell_of(container, "remove")

    # --- images

    def remove_image(self, key: str, *, force: bool = False) -> Image:
        image = self.state.image(key)
        if image is None:
            raise Fault(404, "image not known", key)
        users = [c for c in self.state.containers.values() if c.image is image]
        if users and not force:
            raise Fault(409, "image is in use by a container", f"image used by {users[0].id}")
        if len(image.tags) > 1 and not force:
            words = f"unable to delete image {image.id} by ID with more than one tag ({image.tags})"
            raise Fault(409, "please force removal", words)
        del self.state.images[image.id]
        self.tell("image", "remove", image.id)
        return image


def volume_entry(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "Name": name,
        "Driver": "local",
        "Mountpoint": f"/fake/volumes/{name}/_data",
        "Labels": labels,
        "Options": {},
    }


def network_entry(name: str, labels: dict[str, str], number: int) -> dict[str, Any]:
    return {
        "name": name,
        "id": secrets.token_hex(32),
        "driver": "bridge",
        "network_interface": f"podman{number}",
        "subnets": [{"subnet": f"10.89.{number}.0/24", "gateway": f"10.89.{number}.1"}],
        "internal": False,
        "dns_enabled": True,
        "labels": labels,
    }


def _identity(container: Container) -> dict[str, str]:
    labels = container.labels
    who = {key: labels.get(f"io.minipaas.{key}", "") for key in ("app", "service", "release", "slot", "generation")}
    return {"id": container.id, "name": container.name, "image": f"sha256:{container.image.id}", **who}
