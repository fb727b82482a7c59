"""Points add up, in whatever order."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from minipaas.telemetry.points import AppPoint, Frame, InstancePoint, RoutePoint, added, summed, trimmed

counts = st.integers(0, 10**12)
instances = st.builds(
    InstancePoint,
    st.sampled_from(["web", "db"]),
    st.integers(1, 2),
    samples=st.integers(0, 9),
    covered=counts,
    cpu=counts,
    memory=counts,
    peak=counts,
    received=st.none() | counts,
    pids=counts,
    ooms=counts,
)
routes = st.builds(
    RoutePoint,
    st.just("web"),
    st.sampled_from(["a.local", "b.local"]),
    requests=counts,
    answers=st.lists(counts, max_size=5),
    buckets=st.lists(counts, max_size=20),
)
apps = st.builds(
    AppPoint,
    covered=counts,
    instances=st.lists(instances, max_size=3, unique_by=lambda one: one.key),
    routes=st.lists(routes, max_size=2, unique_by=lambda one: one.key),
    seen=st.integers(0, 5),
)
frames = st.builds(Frame, st.dictionaries(st.sampled_from(["shop", "blog"]), apps, max_size=2))


def merged(*parts: Frame) -> object:
    whole = Frame({})
    for part in deepcopy(parts):
        whole.add(part)
    return {
        app: (
            point.covered,
            point.seen,
            sorted(((one.key, one) for one in point.instances), key=lambda pair: pair[0]),
            sorted(((one.key, one) for one in point.routes), key=lambda pair: pair[0]),
        )
        for app, point in whole.apps.items()
    }


@given(frames, frames, frames)
def test_the_order_does_not_matter(one: Frame, two: Frame, three: Frame) -> None:
    assert merged(one, two, three) == merged(three, one, two) == merged(two, three, one)


def test_unknown_adds_nothing() -> None:
    assert added(None, None) is None
    assert (added(None, 3), added(3, None), added(1, 2)) == (3, 3, 3)


def test_lists_of_counts() -> None:
    assert summed([1, 2], [1]) == summed([1], [1, 2]) == [2, 2]
    assert trimmed((0, 3, 0, 0)) == [0, 3]
