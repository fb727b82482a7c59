"""Audit rows for refused requests, so many a minute at most: a knock on the door must not fill the disk."""

from __future__ import annotations

import logging
import re
import time

from aiohttp import web

from minipaas.model.errors import MinipaasError
from minipaas.model.spec import NAME
from minipaas.registry.registry import Registry
from minipaas.surface.limits import Limits

log = logging.getLogger("minipaas.surface")


class Refusals:
    """One for the whole surface."""

    def __init__(self, registry: Registry, limits: Limits) -> None:
        self._registry = registry
        self._limits = limits
        self._minute = 0
        self._count = 0

    async def note(self, actor: str, origin: str, request: web.Request, error: MinipaasError) -> None:
        """Write down who was refused what. Never fails: the refusal itself matters more."""
        now = time.time()
        if int(now // 60) != self._minute:
            self._minute, self._count = int(now // 60), 0
        self._count += 1
        what = f"{request.method[:20]} {request.path[:200]}"
        log.warning("refused %s to %s (%s): %s", what, actor, origin, error.message)
        if self._count > self._limits.refusals_per_minute:
            return
        app = request.match_info.get("app")
        try:
            await self._registry.audit(
                actor=actor,
                action="refused",
                subject=what,
                origin=origin,
                result=error.message,
                now=now,
                app=app if app is not None and re.fullmatch(NAME, app) else None,
            )
        except MinipaasError as failure:
            log.warning("cannot audit a refusal: %s", failure.message)
