"""Observe, decide, act, report; again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from elastron.autoscaler.decide import Decision, decide, pinned
from elastron.autoscaler.metrics import AutoscalerMetrics
from elastron.autoscaler.port import Backend, Source
from elastron.autoscaler.view import View
from elastron.errors import ElastronError
from elastron.fleet.scaling import History
from elastron.fleet.settings import FleetSettings, PoolSettings


class Autoscaler:
    """Keeps each pool at the number of nodes that its demand is worth.

    Args:
        backend: where nodes come from.
        source: who knows the demand.
        settings: of the fleet.
        pins: pools that an operator holds at a number of nodes; asked at every turn.
        metrics: what Prometheus may ask.
        clock: seconds since 1970 (the schedule follows the calendar).

    Attributes:
        decisions: the last ones, by pool.
        answered: the source answered the last time.
    """

    def __init__(
        self,
        backend: Backend,
        source: Source,
        settings: FleetSettings,
        *,
        pins: Callable[[], Mapping[str, int]] = dict,
        metrics: AutoscalerMetrics | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.decisions: dict[str, Decision] = {}
        self.answered = True
        self._backend = backend
        self._source = source
        self._settings = settings
        self._pins = pins
        self._pinned: tuple[Mapping[str, int], Mapping[str, PoolSettings]] = ({}, settings.pools)
        self._metrics = metrics or AutoscalerMetrics()
        self._clock = clock
        self._now = 0.0
        self._log = structlog.get_logger()
        for pool in settings.pools:
            self._metrics.start_seconds.labels(pool)  # a rate needs the zero before the first

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.step()
            except OSError as error:  # no process, no memory, a full disk: it may pass
                self._log.error("cannot change the fleet", reason=str(error))
            await asyncio.sleep(self._settings.poll_s)

    async def step(self) -> None:
        """Look once, decide, and have it done."""
        view = await self._read()
        nodes = await self._backend.nodes()
        # A clock that is set back must not undo what was decided.
        self._now = max(self._now, self._clock())
        histories: dict[str, History] = {
            pool: decision.history for pool, decision in self.decisions.items()
        }
        decisions = decide(view, nodes, self._pools(), histories, self._now)
        for pool, decision in decisions.items():
            self._tell(pool, decision)
            if decision.start:
                await self._backend.start(pool, decision.start)
            if decision.stop:
                await self._backend.stop(decision.stop)
        self.decisions = decisions

    def describe(self) -> dict[str, Any]:
        """For `/status`: the last decisions, by pool."""
        return {
            "answered": self.answered,
            "pools": {
                pool: {
                    "desired": each.desired,
                    "current": each.current,
                    "minimum": each.minimum,
                    "maximum": self._pools()[pool].max,
                    "pinned": pool in self._pinned[0],
                    "why": each.why,
                }
                for pool, each in self.decisions.items()
            },
        }

    async def _read(self) -> View | None:
        view = None
        reason = ""
        try:
            view = await self._source.read()
        except ElastronError as error:
            reason = str(error)
        if (view is not None) is not self.answered:
            self.answered = view is not None
            if self.answered:
                self._log.info("the gateway answers again")
            else:
                self._log.warning("demand is not known; the fleet is held", reason=reason)
        self._metrics.held.set(0 if self.answered else 1)
        return view

    def _pools(self) -> Mapping[str, PoolSettings]:
        pins = dict(self._pins())
        if pins != self._pinned[0]:
            self._pinned = (pins, pinned(self._settings.pools, pins))
        return self._pinned[1]

    def _tell(self, pool: str, decision: Decision) -> None:
        before = self.decisions.get(pool)
        if before is None or before.desired != decision.desired:
            self._log.info(
                "nodes wanted",
                pool=pool,
                desired=decision.desired,
                current=decision.current,
                why=decision.why,
            )
        self._metrics.desired.labels(pool).set(decision.desired)
        self._metrics.minimum.labels(pool).set(decision.minimum)
        self._metrics.current.labels(pool).set(decision.current)
