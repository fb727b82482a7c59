from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from minipaas.ingress.limits import Limits, connections_allowed
from minipaas.ingress.states import GONE, patience_of


@pytest.fixture
def files() -> Iterator[int]:
    """The soft limit of open files, put back afterwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_files_are_left_for_the_connections_to_instances(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, files))
    assert connections_allowed(Limits()) == 750
    assert connections_allowed(Limits(connections=100)) == 100


def test_every_state_has_its_time() -> None:
    assert set(patience_of(Limits())) == set(range(GONE + 1))
