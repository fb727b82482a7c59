"""The fake's API: one table of routes over the world, and the controls that tests use."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from tests.fakepodman import files, scene
from tests.fakepodman.behaviour import Behaviour
from tests.fakepodman.commands import attach, frame, resize
from tests.fakepodman.pull import pull_for_real
from tests.fakepodman.state import Container, ExecSession, Image, Refusal
from tests.fakepodman.world import Fault, World, network_entry, volume_entry

T = TypeVar("T")
PATIENCE = 60.0
Args = dict[str, str]
Handler = Callable[["FakePodman", web.Request, Args], Awaitable[web.StreamResponse]]
_ROUTES: list[tuple[str, re.Pattern[str], str, Handler]] = []


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    """`{x}` is one path segment, `{x+}` any number of them."""
    pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+?)", re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))

    def add(handler: Handler) -> Handler:
        _ROUTES.append((method, re.compile(pattern + r"\Z"), f"{method} {template}", handler))
        return handler

    return add


class FakePodman:
    """`async with FakePodman(tmp_path) as fake:` or `with …`. Lives on a thread of its own; all public methods may be
    called from any other thread and return when it is done."""

    def __init__(self, directory: Path, *, socket: Path | None = None) -> None:
        self.socket = str(socket or directory / "podman.sock")
        self.calls: Counter[str] = Counter()
        """By `METHOD template`: fake.calls["POST containers/create"]."""
        self.bodies: list[tuple[str, Any]] = []
        """(`METHOD template`, decoded JSON) of every call that had one, in order."""
        self.world = World(Path(self.socket).with_suffix(".logs"))
        self.refusals: list[Refusal] = []
        self.pulls: dict[str, str] = {}
        """What a pull gives: (a part of) the reference -> image id. Others are really pulled from that registry."""
        self.version = "4.3.1"
        self.rootless = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-podman", daemon=True)
        self._runner: web.ServerRunner | None = None

    # --- life

    def __enter__(self) -> FakePodman:
        self._thread.start()
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def __aenter__(self) -> FakePodman:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _end(self) -> None:
        await self._down()
        for container in self.world.state.containers.values():
            await self.world.end(container, 0)
            container.free_ports()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def up(self) -> None:
        """The service answers (again)."""
        self._do(self._up())

    def down(self) -> None:
        """The service dies: socket gone, connections dropped. Containers go on."""
        self._do(self._down())

    def restart(self) -> None:
        """The service ends and comes back; all state and running containers stay."""
        self.down()
        self.up()

    def drop_connections(self) -> None:
        """Every open connection, streams included, breaks off."""
        self._do(self._drop())

    def reboot(self) -> None:
        """The host went down: nothing runs any more, the service is back."""
        self._do(self._reboot())
        self.restart()

    async def _up(self) -> None:
        Path(self.socket).unlink(missing_ok=True)  # noqa: ASYNC240
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.01)
        await self._runner.setup()
        await web.UnixSite(self._runner, self.socket).start()

    async def _down(self) -> None:
        if self._runner is None:
            return
        await self._drop()
        runner, self._runner = self._runner, None
        await runner.cleanup()
        Path(self.socket).unlink(missing_ok=True)  # noqa: ASYNC240

    async def _drop(self) -> None:
        if self._runner is not None and self._runner.server is not None:
            for connection in list(self._runner.server.connections):
                if connection.transport is not None and not connection.transport.is_closing():
                    connection.transport.abort()  # type: ignore[attr-defined]
                connection.force_close()

    async def _reboot(self) -> None:
        for container in self.world.state.containers.values():
            await self.world.end(container, 0)

    # --- what tests do to it

    def add_image(
        self, name: str = "app", *, command: list[str] | None = None, entrypoint: list[str] | None = None
    ) -> str:
        """An image named `localhost/NAME:1`; its id, `sha256:<hex>`, follows from the name."""
        return self._do(self._add_image(name, command, entrypoint))

    async def _add_image(self, name: str, command: list[str] | None, entrypoint: list[str] | None) -> str:
        image = hashlib.sha256(name.encode()).hexdigest()
        digest = "sha256:" + hashlib.sha256(f"manifest {name}".encode()).hexdigest()
        tags = [f"localhost/{name}:1"]
        self.world.state.images[image] = Image(image, digest, tags, entrypoint=entrypoint, command=command)
        return f"sha256:{image}"

    def lose_image(self, image: str) -> None:
        """Podman's storage lost it; containers of it stay."""
        self.world.state.images.pop(image.removeprefix("sha256:"), None)

    def behave(
        self,
        behaviour: Behaviour,
        *,
        image: str | None = None,
        app: str | None = None,
        service: str | None = None,
        release: str | None = None,
        name: str | None = None,
        kind: str = "instance",
    ) -> None:
        """How containers that fit behave from their next start on; the newest rule that fits counts."""
        wanted = {"app": app, "service": service, "release": release, "kind": kind}

        def fits(container: Container) -> bool:
            labels = container.labels
            return (
                all(labels.get(f"io.minipaas.{key}") == value for key, value in wanted.items() if value is not None)
                and (image is None or f"sha256:{container.image.id}" == image)
                and (name is None or re.fullmatch(name, container.name) is not None)
            )

        self.world.rules.append((fits, behaviour))

    def change(self, key: str, behaviour: Behaviour) -> None:
        """A running container answers differently from now on (status, statuses)."""
        container = self.world.find(key)
        container.behaviour = behaviour
        if container.listener is not None:
            container.listener.behaviour = behaviour

    def crash(self, key: str, code: int = 1) -> None:
        """The container's process ends with this code."""
        self._do(self.world.end(self.world.find(key), code))

    def oom(self, key: str) -> None:
        """The kernel kills it for memory."""
        self._do(self.world.end(self.world.find(key), 137, oom=True))

    def use(
        self, key: str, *, cores: float = 0.0, memory: int = 0, received: int = 0, sent: int = 0, pids: int = 1
    ) -> None:
        """From now on the container keeps so many cores busy, and has so much of the rest."""
        self.world.find(key).use(cores, memory, received, sent, pids)

    def log(self, key: str, *lines: str, stream: int = 1) -> None:
        """Lines that the container writes; 1 stdout, 2 stderr."""
        container = self.world.find(key)
        for line in lines:
            container.write(stream, line)

    def write(self, key: str, path: str, data: bytes) -> None:
        """A file that the container writes, into its own layer or its scratch."""
        container = self.world.find(key)
        for mount in container.body.get("mounts") or ():
            if mount["type"] == "bind" and path.startswith(f"{mount['destination']}/"):
                file = Path(mount["source"]) / path.removeprefix(f"{mount['destination']}/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
                return
        container.files[path] = data

    def refuse(
        self, pattern: str, status: int = 500, times: int = 1, message: str = "refused by the test", delay: float = 0.0
    ) -> None:
        """Answer the next calls whose `METHOD path` matches this regular expression with an error."""
        self.refusals.append(Refusal(pattern, status, message, times, delay))

    def delay(self, pattern: str, seconds: float, times: int = 1) -> None:
        """Let the next matching calls wait before they are carried out."""
        self.refusals.append(Refusal(pattern, 0, "", times, seconds))

    def go_on(self) -> None:
        """Calls that wait are carried out now."""
        for refusal in self.refusals:
            self._loop.call_soon_threadsafe(refusal.over.set)

    def drop(self, pattern: str, times: int = 1) -> None:
        """Close the connection of the next matching calls, without carrying them out."""
        self.refusals.append(Refusal(pattern, 0, "", times, drop=True))

    def container(self, key: str) -> Container:
        """By name or id."""
        return self.world.find(key)

    @property
    def containers(self) -> dict[str, Container]:
        """By name."""
        return {container.name: container for container in list(self.world.state.containers.values())}

    @property
    def running(self) -> list[str]:
        """Names of the running containers, sorted."""
        return sorted(name for name, container in self.containers.items() if container.running)

    @property
    def images(self) -> set[str]:
        return {f"sha256:{image}" for image in list(self.world.state.images)}

    @property
    def networks(self) -> set[str]:
        return set(self.world.state.networks)

    @property
    def volumes(self) -> set[str]:
        return set(self.world.state.volumes)

    # --- answering

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = re.sub(r"^/(v[\d.]+/)?(libpod/)?", "", request.path)
        for method, pattern, name, handler in _ROUTES:
            match = pattern.match(path) if method == request.method else None
            if match is None:
                continue
            self.calls[name] += 1
            refusal = self._refusal(f"{request.method} {path}")
            try:
                if refusal is not None:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(refusal.delay):
                            await refusal.over.wait()
                    if refusal.drop and request.transport is not None:
                        request.transport.close()
                    if refusal.status:
                        return _error(refusal.status, refusal.message, refusal.message)
                return await handler(self, request, match.groupdict())  # type: ignore[arg-type]
            except Fault as fault:
                return _error(fault.status, fault.cause, fault.message)
        return _error(404, "Not Found", f"{request.method} {path}: the fake has no such call")

    def _refusal(self, call: str) -> Refusal | None:
        for refusal in self.refusals:
            if refusal.times > 0 and re.search(refusal.pattern, call):
                refusal.times -= 1
                return refusal
        return None

    async def _json(self, request: web.Request, name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(await request.read() or b"{}")
        self.bodies.append((name, body))
        return body


def _error(status: int, cause: str, message: str) -> web.Response:
    return web.json_response({"cause": cause, "message": message, "response": status}, status=status)


def _filters(request: web.Request) -> dict[str, list[str]]:
    return json.loads(request.query.get("filters") or "{}")


def _has_labels(labels: dict[str, str] | None, wanted: list[str]) -> bool:
    labels = labels or {}
    return all(
        labels.get(key) == value if equals else key in labels
        for key, equals, value in (text.partition("=") for text in wanted)
    )


# --- system


@route("GET", "_ping")
async def ping(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    return web.Response(text="OK", headers={"Libpod-Api-Version": fake.version})


@route("GET", "version")
async def version(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    return web.json_response({"Version": fake.version, "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64"})


@route("GET", "info")
async def info(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    host = {
        "arch": "amd64",
        "os": "linux",
        "cgroupVersion": "v2",
        "cgroupControllers": ["cpu", "memory", "pids"],
        "networkBackend": "netavark",
        "ociRuntime": {"name": "crun"},
        "security": {"rootless": fake.rootless, "selinuxEnabled": False},
    }
    store = {"graphRoot": str(Path(fake.socket).parent)}
    return web.json_response({"host": host, "store": store, "version": {"Version": fake.version}})


@route("GET", "events")
async def events(fake: FakePodman, request: web.Request, args: Args) -> web.StreamResponse:
    wanted = _filters(request)
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    fake.world.watchers.add(queue)
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        while True:
            event = await queue.get()
            if "type" in wanted and event["Type"] not in wanted["type"]:
                continue
            if "label" in wanted and not _has_labels(event["Actor"]["Attributes"], wanted["label"]):
                continue
            if not answer.prepared:
                await answer.prepare(request)  # as libpod does: no header before the first event
            await answer.write(json.dumps(event).encode() + b"\n")
    except ConnectionError:
        return answer  # who listened is gone
    finally:
        fake.world.watchers.discard(queue)


# --- containers


@route("GET", "containers/json")
async def list_containers(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    filters, everything = _filters(request), request.query.get("all") == "true"
    listed = [
        container.listed()
        for container in fake.world.state.containers.values()
        if (everything or container.running)
        and _has_labels(container.labels, filters.get("label", []))
        and all(re.search(pattern, container.name) for pattern in filters.get("name", []))
    ]
    return web.json_response(listed)


@route("GET", "containers/stats")
async def container_stats(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    """One report, as libpod 5 gives it; each container has what `use` said, and time goes on."""
    return web.json_response(
        {"Error": None, "Stats": [c.used() for c in fake.world.state.containers.values() if c.running]}
    )


@route("POST", "containers/create")
async def create_container(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    body = await fake._json(request, "POST containers/create")
    container = fake.world.create(body)
    return web.json_response({"Id": container.id, "Warnings": []}, status=201)


@route("GET", "containers/{name}/json")
async def inspect_container(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    return web.json_response(fake.world.find(args["name"]).inspected())


@route("GET", "containers/{name}/exists")
async def container_exists(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    fake.world.find(args["name"])
    return web.Response(status=204)


@route("POST", "containers/{name}/start")
async def start_container(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    started = fake.world.start(fake.world.find(args["name"]))
    return web.Response(status=204 if started else 304)


@route("POST", "containers/{name}/stop")
async def stop_container(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    seconds = float(request.query.get("timeout", "10"))
    stopped = await fake.world.stop(fake.world.find(args["name"]), seconds)
    return web.Response(status=204 if stopped else 304)


@route("POST", "containers/{name}/kill")
async def kill_container(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container = fake.world.find(args["name"])
    if not container.running:
        words = f"can only kill running containers. {container.id} is in state {container.state}"
        raise Fault(500, "container state improper", words)
    await fake.world.end(container, 137)
    return web.Response(status=204)


@route("POST", "containers/{name}/wait")
async def wait_container(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container = fake.world.find(args["name"])
    if container.running:
        await container.ended.wait()
    return web.Response(text=f"{container.exit_code}\n")


@route("DELETE", "containers/{name}")
async def delete_container(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container = fake.world.find(args["name"])
    dependents = [one for one in fake.world.state.containers.values() if one.shares == container.id]
    if dependents and request.query.get("depend") != "true":
        words = f"container {container.id} has dependent containers which must be removed before it: {dependents[0].id}"
        raise Fault(500, "container already exists", words)
    for one in dependents:
        await fake.world.remove(one, force=True)
    await fake.world.remove(container, force=request.query.get("force") == "true")
    return web.json_response([{"Id": container.id, "RawInput": args["name"]}])


@route("GET", "containers/{name}/logs")
async def container_logs(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container = fake.world.find(args["name"])
    streams = {number for number, key in ((1, "stdout"), (2, "stderr")) if request.query.get(key) == "true"}
    if not streams:
        raise Fault(400, "you must choose at least one stream")
    lines = [(stream, line) for stream, line in container.logs if stream in streams]
    tail = request.query.get("tail", "all")
    lines = lines if tail == "all" else lines[-int(tail) :]
    return web.Response(body=b"".join(frame(stream, f"{line}\n".encode()) for stream, line in lines))


@route("GET", "containers/{name}/changes")
async def container_changes(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container = fake.world.find(args["name"])
    return web.json_response([*scene.changes(container), *files.changes(container)] or None)


@route("HEAD", "containers/{name}/archive")
async def stat_archive(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container = fake.world.find(args["name"])
    return web.Response(headers=files.stat_header(container, request.query["path"]))


@route("PUT", "containers/{name}/archive")
async def fill_container(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container, path = fake.world.find(args["name"]), request.query["path"]
    if container.running or files.known(container):
        await files.unpack(container, path, request)
    else:
        scene.fill(container, path, await request.read())
    return web.Response()


@route("GET", "containers/{name}/archive")
async def container_archive(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container, path = fake.world.find(args["name"]), request.query["path"]
    if files.known(container):
        return web.Response(body=files.packed(container, path), headers=files.stat_header(container, path))
    return web.Response(body=scene.archive(container, path), content_type="application/x-tar")


@route("POST", "containers/{name}/exec")
async def create_exec(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    container = fake.world.find(args["name"])
    body = await fake._json(request, "POST containers/{name}/exec")
    if not container.running:
        raise Fault(500, "container state improper", "can only create exec sessions on running containers")
    env = dict(pair.partition("=")[::2] for pair in body.get("Env") or ())
    session = ExecSession(
        secrets.token_hex(32), container.id, body["Cmd"], body.get("Tty", False), body.get("AttachStdin", False), env
    )
    fake.world.state.execs[session.id] = session
    fake.world.tell_of(container, "exec")
    return web.json_response({"Id": session.id}, status=201)


@route("POST", "exec/{id}/start")
async def start_exec(fake: FakePodman, request: web.Request, args: Args) -> web.StreamResponse:
    session = _exec(fake, args)
    container = fake.world.find(session.container)
    if request.headers.get("Upgrade") == "tcp":
        body = await fake._json(request, "POST exec/{id}/start")
        await attach(session, container, request, (body.get("w") or 80, body.get("h") or 24))
        fake.world.tell_of(container, "exec_died")
        return web.Response()  # the connection is no longer HTTP's: this goes nowhere
    behaviour = container.behaviour
    session.running = True
    await asyncio.sleep(behaviour.exec_delay)
    session.running, session.exit_code = False, behaviour.exec_code
    fake.world.tell_of(container, "exec_died")
    data = frame(1, f"{behaviour.exec_output}\n".encode()) if behaviour.exec_output else b""
    return web.Response(body=data, headers={"Content-Type": "application/vnd.docker.raw-stream"})


@route("POST", "exec/{id}/resize")
async def resize_exec(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    session = _exec(fake, args)
    if not session.running:
        raise Fault(409, "exec session is not running")
    resize(session, int(request.query["w"]), int(request.query["h"]))
    return web.Response(status=201)


@route("GET", "exec/{id}/json")
async def inspect_exec(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    session = _exec(fake, args)
    return web.json_response(
        {
            "ID": session.id,
            "Running": session.running,
            "ExitCode": session.exit_code,
            "Pid": session.pid if session.running else 0,
        }
    )


def _exec(fake: FakePodman, args: Args) -> ExecSession:
    session = fake.world.state.execs.get(args["id"])
    if session is None:
        raise Fault(404, "no such exec session", args["id"])
    return session


# --- networks and volumes


@route("POST", "networks/create")
async def create_network(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    body = await fake._json(request, "POST networks/create")
    networks = fake.world.state.networks
    if body["name"] in networks:
        raise Fault(409, "network already exists", f"network name {body['name']} already used")
    networks[body["name"]] = network_entry(body["name"], body.get("labels") or {}, len(networks) + 1)
    fake.world.tell("network", "create", body["name"])
    return web.json_response(networks[body["name"]])


@route("GET", "networks/json")
async def list_networks(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    wanted = _filters(request).get("label", [])
    return web.json_response([n for n in fake.world.state.networks.values() if _has_labels(n["labels"], wanted)])


@route("DELETE", "networks/{name}")
async def delete_network(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    name = args["name"]
    if name not in fake.world.state.networks:
        raise Fault(404, "network not found", f"unable to find network with name or ID {name}")
    if any(name in (c.body.get("Networks") or {}) for c in fake.world.state.containers.values()):
        raise Fault(500, "network is being used", f'"{name}" has associated containers with it')
    del fake.world.state.networks[name]
    fake.world.tell("network", "remove", name)
    return web.json_response([{"Name": name, "Err": None}])


@route("POST", "volumes/create")
async def create_volume(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    body = await fake._json(request, "POST volumes/create")
    volumes = fake.world.state.volumes
    if body["Name"] in volumes:
        raise Fault(500, "volume already exists", f"volume with name {body['Name']} already exists")
    volumes[body["Name"]] = volume_entry(body["Name"], body.get("Labels") or {})
    fake.world.tell("volume", "create", body["Name"])
    return web.json_response(volumes[body["Name"]], status=201)


@route("GET", "volumes/json")
async def list_volumes(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    wanted = _filters(request).get("label", [])
    return web.json_response([v for v in fake.world.state.volumes.values() if _has_labels(v["Labels"], wanted)])


@route("DELETE", "volumes/{name}")
async def delete_volume(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    name = args["name"]
    if name not in fake.world.state.volumes:
        raise Fault(404, "no such volume", f'no volume with name "{name}" found')
    users = [
        c.id
        for c in fake.world.state.containers.values()
        if any(volume["Name"] == name for volume in c.body.get("volumes") or ())
    ]
    if users:
        raise Fault(
            409, "volume is being used", f"volume {name} is being used by the following container(s): {users[0]}"
        )
    del fake.world.state.volumes[name]
    fake.world.tell("volume", "remove", name)
    return web.Response(status=204)


# --- images


@route("GET", "images/{name+}/exists")
async def image_exists(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    if fake.world.state.image(args["name"]) is None:
        raise Fault(404, "image not known", f"failed to find image {args['name']}")
    return web.Response(status=204)


@route("POST", "images/load")
async def load_image(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    found = files.image_in(await request.content.read())
    fake.world.state.images[found.id] = found
    return web.json_response({"Names": found.tags})


@route("GET", "images/json")
async def list_images(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    return web.json_response([image.listed() for image in fake.world.state.images.values()])


@route("POST", "images/pull")
async def pull(fake: FakePodman, request: web.Request, args: Args) -> web.StreamResponse:
    reference = request.query["reference"]
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)

    async def say(**line: Any) -> None:
        await answer.write(json.dumps(line).encode() + b"\n")

    await say(stream=f"Trying to pull {reference}...\n")
    found = next((image for part, image in fake.pulls.items() if part in reference), None)
    if found is None:
        try:
            found = await pull_for_real(reference, request.headers.get("X-Registry-Auth", ""))
        except Fault as fault:
            await say(error=fault.message)
            return answer
    found = found.removeprefix("sha256:")
    image = fake.world.state.images.setdefault(found, Image(found, reference.rpartition("@")[2]))
    if reference not in image.pulled_as:
        image.pulled_as.append(reference)
    fake.world.tell("image", "pull", found, name=reference)
    await say(images=[found], id=found)
    return answer


@route("GET", "images/{name+}/json")
async def inspect_image(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    name = args["name"]
    image = fake.world.state.image(name)
    if image is None:
        raise Fault(404, "image not known", f"failed to find image {name}: {name}")
    return web.json_response(image.inspected())


@route("POST", "images/{name+}/untag")
async def untag(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    image = fake.world.state.image(args["name"])
    if image is None:
        raise Fault(404, "image not known", args["name"])
    name = f"{request.query['repo']}:{request.query['tag']}"
    with contextlib.suppress(ValueError):
        image.tags.remove(name)
    return web.Response(status=201)


@route("DELETE", "images/{name+}")
async def delete_image(fake: FakePodman, request: web.Request, args: Args) -> web.Response:
    image = fake.world.remove_image(args["name"], force=request.query.get("force") == "true")
    return web.json_response({"Untagged": image.tags, "Deleted": [image.id], "Errors": None, "ExitCode": 0})
