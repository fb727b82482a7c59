"""What containers are made of: images, networks and volumes. Asking for what is already so is no error."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import quote

import msgspec

from minipaas.engine import body as labels
from minipaas.engine import limits
from minipaas.engine.calls import Calls, decode, lines
from minipaas.engine.causes import explain, podman_text
from minipaas.engine.networks import bridge_name, podman_network
from minipaas.engine.session import Params
from minipaas.engine.shapes import InspectedImage, Progress
from minipaas.model.errors import EngineError

_EXISTS = frozenset({409, 500})
_GONE = frozenset({404})


class Stock:
    """One box's part of Podman's images, networks and volumes."""

    def __init__(self, calls: Calls, box: str) -> None:
        self._calls = calls
        self._box = box
        self.adopted_volumes: set[str] = set()
        """Ours by name, but without our label: made before this box's data directory was."""
        self._argv: dict[str, tuple[str, ...]] = {}

    async def pull(self, reference: str, username: str, password: str, image_id: str) -> None:
        """Pull from a registry on loopback and check that it is the image meant.

        `reference` is `127.0.0.1:PORT/NAME@sha256:DIGEST`, `image_id` is `sha256:<hex>`, the digest of the config.
        Raises EngineError, NoSpace.
        """
        what = f"pull {reference}"
        auth = msgspec.json.encode({"username": username, "password": password})
        headers = {"X-Registry-Auth": base64.urlsafe_b64encode(auth).decode()}
        params: Params = {"reference": reference, "tlsVerify": False, "policy": "always"}

        def work() -> str:
            stream = self._calls.session.stream(
                what, "POST", "images/pull", params=params, headers=headers, timeout=limits.PULL
            )
            return _pulled(what, lines(stream))

        got = await self._calls.run(what, work, limits.PULL, slow=True)
        if got != image_id:
            raise EngineError(f"cannot pull {reference}: it is image {got}, not {image_id}", code="engine.wrong_image")

    async def remove_image(self, image: str) -> None:
        """Delete an image, all its names included; fine when it is gone. Raises EngineError `engine.in_use`."""
        what = f"remove image {image[7:19]}"
        # By id and without force Podman refuses an image with two names; force would kill containers that use it.
        found = await self._inspect_image(what, image)
        for name in (found.repo_tags or []) if found else []:
            await self._calls.call(
                what, "POST", f"images/{quote(name, safe='')}/untag", params=_split_tag(name), accept=_GONE
            )
        await self._calls.call(
            what, "DELETE", f"images/{quote(image)}", timeout=limits.REMOVE_IMAGE, accept=_GONE, slow=True
        )
        self._argv.pop(image, None)

    async def _inspect_image(self, what: str, image: str) -> InspectedImage | None:
        status, body = await self._calls.call(what, "GET", f"images/{quote(image)}/json", accept=_GONE)
        return None if status in _GONE else decode(what, body, InspectedImage)

    async def ensure_network(self, app: str) -> None:
        """The app's own network, with DNS. One that exists already is used as it is."""
        name = podman_network(self._box, app)
        wanted = {
            "name": name,
            "driver": "bridge",
            "dns_enabled": True,
            "network_interface": bridge_name(self._box, app),
            "labels": {labels.BOX: self._box, labels.APP: app},
        }
        what = f"create network {name}"
        status, body = await self._calls.call(what, "POST", "networks/create", json=wanted, accept=_EXISTS)
        if status in _EXISTS:
            _only_if(what, status, body, "already")

    async def remove_network(self, app: str) -> None:
        """Fine when it is gone. Raises EngineError `engine.in_use`."""
        name = podman_network(self._box, app)
        await self._calls.call(f"remove network {name}", "DELETE", f"networks/{name}", accept=_GONE)

    async def ensure_volume(self, name: str, app: str) -> None:
        """A named volume. One that exists already is used with what is in it."""
        marks = {labels.BOX: self._box, labels.APP: app}
        what = f"create volume {name}"
        status, body = await self._calls.call(
            what, "POST", "volumes/create", json={"Name": name, "Labels": marks, "Label": marks}, accept=_EXISTS
        )
        if status in _EXISTS:
            _only_if(what, status, body, "already exists")
            self.adopted_volumes.add(name)

    async def remove_volume(self, name: str) -> None:
        """Deletes the data in it. Fine when it is gone. Raises EngineError `engine.in_use`."""
        await self._calls.call(f"delete volume {name}", "DELETE", f"volumes/{quote(name)}", accept=_GONE)
        self.adopted_volumes.discard(name)

    async def argv(self, what: str, image: str) -> tuple[str, ...]:
        """What an image runs by itself, entrypoint or else command; asked once, because an image never changes."""
        if image not in self._argv:
            found = await self._inspect_image(what, image)
            if found is None:
                raise EngineError(f"cannot {what}: Podman has no image {image[:19]}", code="engine.no_image")
            config = found.config
            self._argv[image] = tuple((config.entrypoint or config.command or ()) if config else ())
        return self._argv[image]


def _pulled(what: str, stream: Iterator[bytes]) -> str:
    """The image id at the end of a pull's progress; an error line is the answer's real status."""
    got = ""
    for line in stream:
        if not line.strip():
            continue
        progress = decode(what, line, Progress)
        if progress.error:
            raise explain(what, progress.error)
        got = progress.id or got
    if not got:
        raise EngineError(f"cannot {what}: Podman's answer ended early", code="engine.dropped")
    return f"sha256:{got.removeprefix('sha256:')}"


def _only_if(what: str, status: int, body: bytes, word: str) -> None:
    text = podman_text(body)
    if word not in text:
        raise explain(what, text, status)


def _split_tag(name: str) -> dict[str, str]:
    repository, _, tag = name.rpartition(":")
    return {"repo": repository, "tag": tag}
