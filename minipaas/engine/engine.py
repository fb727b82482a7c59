"""The engine: one Podman, seen and acted on through its API. Everything here has a deadline and explains itself.

What always holds: only what carries this box's label is seen; a container that could not be created whole is not
left behind; asking again for what is already so (a network that exists, a container that is gone) is no error.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from minipaas.engine import body as labels
from minipaas.engine import limits
from minipaas.engine.archive import Archive
from minipaas.engine.attach import Attached, Command
from minipaas.engine.beside import Beside
from minipaas.engine.body import create_body, insists_on_process_one
from minipaas.engine.calls import Calls, decode
from minipaas.engine.ends import Ends
from minipaas.engine.events import EventStream
from minipaas.engine.exec import Executor
from minipaas.engine.hook import HookResult, HookRunner
from minipaas.engine.info import EngineInfo, read_info, require_version
from minipaas.engine.kernellog import killed_for_memory
from minipaas.engine.lent import Lent
from minipaas.engine.logs import text_lines
from minipaas.engine.networks import known_as
from minipaas.engine.probe import Prober
from minipaas.engine.reopen import Reopener
from minipaas.engine.scene import SceneReader
from minipaas.engine.scratch import Scratch
from minipaas.engine.session import Params
from minipaas.engine.shapes import (
    Created,
    InspectedContainer,
    InspectedLog,
    ListedContainer,
    ListedImage,
    ListedVolume,
    Named,
    SystemInfo,
)
from minipaas.engine.sighting import Ending, Sighting, by_id, to_ending, to_hook, to_instance
from minipaas.engine.stats import Stats
from minipaas.engine.stock import Stock
from minipaas.engine.streams import Streams
from minipaas.model.capsule import Probe
from minipaas.model.errors import EngineDown, EngineError, MinipaasError, NoSpace
from minipaas.model.launch import Launch
from minipaas.model.observed import Instance
from minipaas.model.spec import Health
from minipaas.model.usage import Usage

log = logging.getLogger(__name__)

_GONE = frozenset({404})
_KILLED = 128 + signal.SIGKILL


class Engine:
    """Made by `connect`; all methods belong to one event loop."""

    def __init__(
        self, calls: Calls, streams: Streams, info: EngineInfo, *, data: Path, box: str, on_news: Callable[[], None]
    ) -> None:
        self.info = info
        self.box = box
        self._calls = calls
        self._streams = streams
        self._stock = Stock(calls, box)
        self._stats = Stats(calls)
        self.scenes = SceneReader(calls, streams)
        self.lent = Lent(calls, streams, f"localhost/minipaas-{box}")
        """Images for the time of a visit."""
        self._scratch = Scratch(data)
        self._executor = Executor(streams)
        self.beside = Beside(calls, streams, info, box)
        """Containers of tools beside instances."""
        self.archive = Archive(calls.session, streams)
        """The files of containers."""
        self.reopener = Reopener(calls, self.archive, info, box)
        self._prober = Prober(on_news, self._executor.probe)
        self._hooks = HookRunner(self, streams)
        self._ends = Ends(on_news)
        self._events = asyncio.create_task(EventStream(streams, box, on_news).run(), name="podman-events")
        self._names: dict[str, str] = {}
        self._pids: dict[str, int] = {}
        """Of the containers that ran at the last look, by id."""
        self._endings: dict[tuple[str, int], Ending] = {}
        self._init = info.init
        self.before_removal: Callable[[str], Awaitable[None]] | None = None
        """Told of every container before it is removed; must not fail."""

    @classmethod
    async def connect(cls, socket: str, *, data: Path, box: str, on_news: Callable[[], None]) -> Engine:
        """Reach Podman on this Unix socket. `data` is the box's data directory, `box` its id; `on_news`: look again.

        Raises EngineDown with the mend when nobody answers, EngineError when it is a Podman that speaks another API.
        """
        calls = Calls(socket)
        streams = Streams(socket)
        try:
            answer = await calls.get("ask Podman what it is", "info", SystemInfo)
            require_version(answer.version.version)
        except BaseException:
            await calls.close()
            await streams.close()
            raise
        info = read_info(calls.session.socket, answer)
        return cls(calls, streams, info, data=data, box=box, on_news=on_news)

    async def close(self) -> None:
        """End probes, streams and threads. Containers go on."""
        self._events.cancel()
        self._ends.close()
        await asyncio.gather(self._events, return_exceptions=True)
        await self._prober.close()
        await self._streams.close()
        await self._calls.close()

    # --- looking

    async def observe(self) -> Sighting:
        """Everything of this box that Podman knows, with health: four calls, and one more for each container that has
        ended since the last look. Raises EngineDown, Deadline, EngineError."""
        mine = _filters(label=[f"{labels.BOX}={self.box}"])
        get = self._calls.get_list
        listed, networks, volumes, images = await asyncio.gather(
            get("list containers", "containers/json", ListedContainer, params={"all": True, "filters": mine}),
            get("list networks", "networks/json", Named, params={"filters": mine}),
            get("list volumes", "volumes/json", ListedVolume, params={"filters": mine}),
            self._list_images(),
        )
        self._names = {entry.id: (entry.names or [entry.id])[0] for entry in listed}
        self._pids = {entry.id: entry.pid for entry in listed if entry.state == "running"}
        self._ends.watch(self._pids)
        endings = await self._learn_endings(listed)
        instances = [found for entry in listed if (found := to_instance(entry, endings.get(entry.id)))]
        self._prober.see(by_id(found for found in instances if found.running))
        return Sighting(
            instances=tuple(sorted((self._with_health(found) for found in instances), key=lambda found: found.name)),
            hooks=tuple(hook for entry in listed if (hook := to_hook(entry))),
            networks=frozenset(known_as(self.box, network.name) for network in networks),
            volumes=frozenset(volume.name for volume in volumes) | self._stock.adopted_volumes,
            images=frozenset(f"sha256:{image.id.removeprefix('sha256:')}" for image in images),
        )

    def watch(self, wanted: Mapping[str, Health | None]) -> None:
        """Who is probed from now on, by container id, and how. Costs nothing when nothing has changed."""
        self._prober.watch(wanted)

    def probes(self, container: str) -> tuple[Probe, ...]:
        """The last health checks of a container, the oldest first."""
        return self._prober.probes(container)

    def process(self, container: str) -> int | None:
        """Its first process on this host; None: it did not run at the last look."""
        return self._pids.get(container)

    async def usage(self) -> dict[str, Usage]:
        """What every container that ran at the last look has used so far, by id; without those that have ended
        since. Raises EngineError."""
        return await self._stats.read(self._pids) if self._pids else {}

    def used(self, container: str) -> Usage | None:
        """What the kernel still tells of what a container has used, also just after its end; None: nothing. Blocking
        for a millisecond."""
        return self._stats.one(container, self._pids.get(container))

    async def log_tail(self, container: str, lines: int) -> list[str]:
        """The last lines of stdout and stderr in the order of arrival. Raises EngineError."""
        params = {"stdout": True, "stderr": True, "tail": max(1, min(lines, limits.MAX_LOG_LINES))}
        data = await self._streams.read(
            f"read the log of {self._name(container)}",
            "GET",
            f"containers/{container}/logs",
            params=params,
            timeout=limits.LOGS,
            most=limits.MAX_LOG_ANSWER,
        )
        return text_lines(data)[-lines:]

    async def log_path(self, container: str) -> str | None:
        """The file that conmon writes the container's output to, as Podman's host sees it; None: there is none.
        Raises EngineError."""
        inspected = await self._calls.get(
            f"find the log of {self._name(container)}", f"containers/{container}/json", InspectedLog
        )
        return inspected.host_config.log_config.path or None

    def _with_health(self, instance: Instance) -> Instance:
        if not instance.running:
            return instance
        state, detail = self._prober.health(instance.id)
        return msgspec.structs.replace(instance, health=state, health_detail=detail)

    async def _list_images(self) -> list[ListedImage]:
        """Every image. Podman looks at them one by one, and fails when one is removed meanwhile: ask once more."""
        # With `all`, Podman need not work out which images are intermediate: cheaper, and none is hidden.
        params: Params = {"all": True}
        try:
            return await self._calls.get_list("list images", "images/json", ListedImage, params=params)
        except EngineDown:
            raise
        except EngineError:
            return await self._calls.get_list("list images", "images/json", ListedImage, params=params)

    async def _learn_endings(self, listed: list[ListedContainer]) -> dict[str, Ending]:
        """Whether the kernel killed it for memory is in no list; ask once for each end."""
        ended = {(entry.id, entry.exited_at): entry for entry in listed if entry.state in ("exited", "stopped")}
        self._endings = {key: ending for key, ending in self._endings.items() if key in ended}
        unknown = [key for key in ended if key not in self._endings]
        for key, ending in zip(
            unknown, await asyncio.gather(*(self._ending(container) for container, _ in unknown)), strict=True
        ):
            if ending is not None:
                self._endings[key] = ending
        return {container: ending for (container, _), ending in self._endings.items()}

    async def _ending(self, container: str) -> Ending | None:
        try:
            ending = to_ending(await self.inspect(container))
        except EngineError as error:
            if error.code != "engine.missing":
                raise
            return None  # removed in the meantime; the next look will not list it
        if ending.exit_code == _KILLED and not ending.oom_killed:
            return msgspec.structs.replace(ending, oom_killed=await asyncio.to_thread(killed_for_memory, container))
        return ending

    # --- images, networks, volumes

    async def pull(self, reference: str, username: str, password: str, image_id: str) -> None:
        """See `Stock.pull`."""
        await self._stock.pull(reference, username, password, image_id)

    async def remove_image(self, image: str) -> None:
        """See `Stock.remove_image`."""
        await self._stock.remove_image(image)

    async def ensure_network(self, app: str) -> None:
        """See `Stock.ensure_network`."""
        await self._stock.ensure_network(app)

    async def remove_network(self, app: str) -> None:
        """See `Stock.remove_network`."""
        await self._stock.remove_network(app)

    async def ensure_volume(self, name: str, app: str) -> None:
        """See `Stock.ensure_volume`."""
        await self._stock.ensure_volume(name, app)

    async def remove_volume(self, name: str) -> None:
        """See `Stock.remove_volume`."""
        await self._stock.remove_volume(name)

    # --- containers

    async def create(self, launch: Launch, *, kind: str = labels.INSTANCE) -> str:
        """A container for this launch, not started; its id. Network, volumes and image must exist.

        Raises EngineError (`engine.name_taken`, `engine.no_image`, …), NoSpace; then nothing is left behind.
        """
        what = f"create {launch.name}"
        await self._calls.run(what, lambda: self._claim(launch.name), limits.CALL)
        try:
            try:
                return await self._create(what, launch, kind)
            except EngineError as error:
                if error.code != "engine.init" or not self._init:
                    raise
                log.warning("Podman finds no init for containers, so zombies stay: %s", error.message)
                self._init = False
                return await self._create(what, launch, kind)
        except BaseException as error:
            if getattr(error, "code", "") != "engine.name_taken":
                await asyncio.shield(self._clear(launch.name))
            raise

    def _claim(self, name: str) -> None:
        """Fresh scratch, unless the name belongs to a container that is there."""
        what = f"create {name}"
        if self._scratch.exists(name):
            status, _ = self._calls.session.call(what, "GET", f"containers/{name}/exists", accept=_GONE)
            if status not in _GONE:
                raise EngineError(f"cannot {what}: there is a container of that name", code="engine.name_taken")
        try:
            self._scratch.make(name)
        except OSError as error:
            raise _disk_error(what, error) from error

    async def _create(self, what: str, launch: Launch, kind: str) -> str:
        argv = launch.entrypoint or await self._stock.argv(what, launch.image) or launch.command or ()
        init = self._init and not insists_on_process_one(argv)
        wanted = create_body(
            launch, box=self.box, info=self.info, scratch=self._scratch.path(launch.name), init=init, kind=kind
        )
        _, body = await self._calls.call(what, "POST", "containers/create", json=wanted, timeout=limits.CREATE)
        created = decode(what, body, Created)
        for warning in created.warnings or ():
            log.warning("%s: %s", launch.name, warning)
        self._names[created.id] = launch.name
        return created.id

    async def _clear(self, name: str) -> None:
        """After a failed create: whatever of it came to be. Errors are told to the log; the first one counts."""
        try:
            container = await self.find(name)
            if container is not None:
                await self._delete(container, name)
            await self._calls.run(f"clear {name}", lambda: self._scratch.remove(name), limits.REMOVE)
        except (MinipaasError, OSError) as error:
            log.warning("cannot clear up after %s: %s", name, error)

    async def start(self, container: str) -> None:
        """Start a created or ended container; fine when it runs. Raises EngineError with Podman's reason.

        After a failed start the container should be replaced: Podman may keep holding its ports (seen in 4.3).
        """
        self._forget(container)
        await self._calls.call(
            f"start {self._name(container)}", "POST", f"containers/{container}/start", timeout=limits.START
        )

    async def stop(self, container: str, timeout: float) -> None:  # noqa: ASYNC109
        """The image's stop signal, then SIGKILL after `timeout` seconds; the container stays. Fine when it has ended
        or is gone."""
        seconds = max(0, math.ceil(timeout))
        await self._calls.call(
            f"stop {self._name(container)}",
            "POST",
            f"containers/{container}/stop",
            params={"timeout": seconds},
            timeout=seconds + limits.STOP_SLACK,
            accept=_GONE,
            slow=True,
        )

    async def remove(self, container: str, name: str) -> None:
        """Delete a container, its anonymous volumes and its scratch; fine when it is gone. Named volumes stay."""
        if self.before_removal is not None:
            await self.before_removal(container)
        await self._delete(container, name)
        try:
            await self._calls.run(f"remove {name}", lambda: self._scratch.remove(name), limits.REMOVE, slow=True)
        except OSError as error:
            raise _disk_error(f"remove {name}", error) from error

    async def _delete(self, container: str, name: str) -> None:
        # Force is for states that only it gets rid of: half-stopped, paused, or a runtime that lost the container.
        # A container of tools beside it depends on it, and goes with it.
        params: Params = {"force": True, "v": True, "timeout": 0, "depend": True}
        for pause in (*limits.BUSY_PAUSES, None):
            try:
                await self._delete_once(container, name, params)
                break
            except EngineError as error:
                # Podman's own clean-up after an end may still hold a mount.
                if pause is None or "device or resource busy" not in error.message:
                    raise
                await asyncio.sleep(pause)
        self._forget(container)

    async def _delete_once(self, container: str, name: str, params: Params) -> None:
        await self._calls.call(
            f"remove {name}",
            "DELETE",
            f"containers/{container}",
            params=params,
            timeout=limits.REMOVE,
            accept=_GONE,
            slow=True,
        )

    def _forget(self, container: str) -> None:
        """Its life so far is past; what is known of it counts no more."""
        self._prober.forget(container)
        self._executor.forget(container)
        for key in [key for key in self._endings if key[0] == container]:
            del self._endings[key]

    async def kill(self, container: str) -> None:
        """SIGKILL now; fine when it has ended or is gone."""
        await self.stop(container, 0)

    async def inspect(self, container: str) -> InspectedContainer:
        """State of one container. Raises EngineError `engine.missing`."""
        return await self._calls.get(
            f"inspect {self._name(container)}", f"containers/{container}/json", InspectedContainer
        )

    async def find(self, name: str) -> str | None:
        """The id of this box's container of exactly this name."""
        params: Params = {"all": True, "filters": _filters(label=[f"{labels.BOX}={self.box}"], name=[f"^{name}$"])}
        listed = await self._calls.get_list("list containers", "containers/json", ListedContainer, params=params)
        return listed[0].id if listed else None

    def attach(self, container: str, command: Command) -> AbstractAsyncContextManager[Attached]:
        """See `Attached.open`."""
        return Attached.open(self._streams, container, self._name(container), command)

    async def run_hook(self, launch: Launch, change: int, timeout: float) -> HookResult:  # noqa: ASYNC109
        """See `HookRunner.run`."""
        return await self._hooks.run(launch, change, timeout)

    def _name(self, container: str) -> str:
        return self._names.get(container, container[:12])


def _filters(**filters: list[str]) -> str:
    return msgspec.json.encode(filters).decode()


def _disk_error(what: str, error: OSError) -> MinipaasError:
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return NoSpace(f"cannot {what}: the disk is full", hint="remove old releases or other files")
    return EngineError(f"cannot {what}: {error}")
