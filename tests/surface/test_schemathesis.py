"""The API keeps what its OpenAPI document says, whatever is sent to it.

Schemathesis makes requests from the document and checks every answer against it: known statuses, types and bodies,
wrong data refused, unknown methods refused, no answer of 5xx.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from minipaas.surface.openapi import document
from tests.registry.made import release, serve
from tests.surface.small import SmallBox, instance, small_box

EXAMPLES = 25
"""For each operation."""


class Running:
    """A small box on an event loop of its own: schemathesis is synchronous."""

    def __init__(self, tmp_path: Path) -> None:
        self._path = tmp_path
        self._up, self._down = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="small box")
        self.failure: BaseException | None = None
        self.url = self.secret = ""

    async def _run(self) -> None:
        try:
            async with small_box(self._path) as box:
                await self._fill(box)
                self._loop = asyncio.get_running_loop()
                self._up.set()
                await self._down.wait()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._up.set()

    async def _fill(self, box: SmallBox) -> None:
        await serve(box.registry, release(1))
        await serve(box.registry, release(2), 300.0)
        box.control.observed = type(box.control.observed)(boot="b", instances=(instance(),))
        self.url = box.url
        self.secret = await box.registry.add_token("schemathesis", "admin", 1.0, actor="test", origin="test")

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._up.wait(30)
        assert self.failure is None
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("box")) as started:
        yield started


schema = schemathesis.openapi.from_dict(document()).exclude(path_regex="events$")  # a stream has no end to wait for


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_api_keeps_its_word(running: Running, case: schemathesis.Case) -> None:
    if case.operation.path == "/api/v1/tokens/{name}" and case.path_parameters.get("name") == "schemathesis":
        return  # it would lock itself out
    headers = {"Authorization": f"Bearer {running.secret}"}
    with requests.Session() as session:
        # That well-formed data must be accepted is left out: a document cannot say that an app has to exist.
        case.call_and_validate(
            base_url=running.url,
            headers=headers,
            session=session,
            excluded_checks=[positive_data_acceptance],
            timeout=20,
        )
