"""Every test of the data path that runs an event loop runs on both: plain asyncio and uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from minipaas.ingress import Ingress

from .peers import Town


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    """An ingress with default limits on loopback, and servers behind it; all closed afterwards."""
    async with Town(Ingress()) as town:
        yield town
