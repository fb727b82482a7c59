"""The route table: an immutable snapshot, swapped whole. Who looks into it never sees half a change.

An exact host beats `*.domain` (the longest domain first), which beats `*`; within a host the longest prefix wins, and
prefixes end at segment borders: `/api` is for `/api` and `/api/x`, not for `/apix`. Where a host has no prefix that
fits, the next wider host is asked. Paths are compared as they are sent: nothing is decoded or resolved.
"""

from __future__ import annotations

from collections.abc import Iterable

from minipaas.ingress.counters import Tally, picture
from minipaas.ingress.guard import Guard
from minipaas.ingress.pool import Pool
from minipaas.model.route import RouteEntry
from minipaas.model.traffic import RouteCounters


class Target:
    """A route with the pools of the instances that answer it."""

    __slots__ = ("_turn", "entry", "guard", "guarded", "moved", "pools", "tally")

    def __init__(
        self, entry: RouteEntry, pools: tuple[Pool, ...], tally: Tally, guard: Guard, *, moved: bool = False
    ) -> None:
        self.entry = entry
        self.pools = pools
        self.tally = tally
        self.guard = guard
        self.guarded = guard.follow(entry)
        """Requests go past the guard; else only those that come back from an instance."""
        self.moved = moved
        """Clients without TLS are sent to the same address with TLS."""
        self._turn = 0

    def pick(self, now: float, tried: tuple[Pool, ...] = ()) -> Pool | None:
        """The pool with the fewest requests in hand, ties in turn; those set aside come last, and do come."""
        pools = self.pools
        count = len(pools)
        if count == 1:
            return None if pools[0] in tried else pools[0]
        best: Pool | None = None
        fewest = 0
        turn = self._turn
        for offset in range(count):
            index = (turn + offset) % count
            pool = pools[index]
            load = pool.in_flight
            if pool.failures and pool.aside > now:
                load += 1_000_000
            if (best is None or load < fewest) and pool not in tried:
                best, fewest, self._turn = pool, load, index + 1
                if not load:
                    break
        if best is not None and best.failures:
            best.chosen(now)
        return best

    def picture(self) -> RouteCounters:
        """All counts at this instant."""
        entry = self.entry
        aside = sum(pool.failures > 0 for pool in self.pools)
        waiting = sum(client.route == entry.route for client in self.guard.waiting)
        return picture(entry.route, entry.app, entry.service, self.tally, set_aside=aside, waiting=waiting)


_Prefixes = tuple[tuple[bytes, bytes, Target], ...]


class RouteTable:
    """`targets` must not hold two of one route with different apps; if they do, the first in order has it."""

    __slots__ = ("_any", "_exact", "_wild", "entries", "targets")

    def __init__(self, targets: Iterable[Target] = ()) -> None:
        self.targets = tuple(sorted(targets, key=lambda target: target.entry))
        self.entries = tuple(target.entry for target in self.targets)
        hosts: dict[bytes, dict[bytes, Target]] = {}
        for target in self.targets:
            route = target.entry.route
            hosts.setdefault(route.host.encode(), {}).setdefault(route.prefix.encode(), target)
        self._exact: dict[bytes, _Prefixes] = {}
        self._wild: dict[bytes, _Prefixes] = {}
        for host, prefixes in hosts.items():
            # (the prefix itself, the prefix as a directory, target), longest first
            ordered = tuple(
                (prefix, prefix if prefix == b"/" else prefix + b"/", target)
                for prefix, target in sorted(prefixes.items(), key=lambda item: len(item[0]), reverse=True)
            )
            if host.startswith(b"*."):
                self._wild[host[1:]] = ordered
            else:
                self._exact[host] = ordered
        self._any = self._exact.pop(b"*", ())

    def lookup(self, host: bytes, path: bytes) -> Target | None:
        """Who answers `path` (without its query) of `host` (lower case, without port)."""
        found = _longest(self._exact.get(host, ()), path)
        if found is None and self._wild:
            dot = host.find(b".")
            while found is None and dot >= 0:
                found = _longest(self._wild.get(host[dot:], ()), path)
                dot = host.find(b".", dot + 1)
        return found or _longest(self._any, path)


def _longest(prefixes: _Prefixes, path: bytes) -> Target | None:
    for prefix, directory, target in prefixes:
        if path == prefix or path.startswith(directory):
            return target
    return None
