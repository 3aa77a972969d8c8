"""The controller on Kubernetes: pods that say what they do, minimums that follow the clock.

Scaling itself is the HPA's or KEDA's. What they do not know, the controller keeps true: which pod
may leave (`pod-deletion-cost`, `safe-to-evict`), how many nodes there are at least at this time of
day, and how large the demand of a pool is over all gateways. One of several controllers leads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog

from elastron.autoscaler.controller_settings import ControlledPool, ControllerSettings, Scaler
from elastron.autoscaler.probe import Probe
from elastron.errors import ElastronError
from elastron.fleet.kubernetes.cluster import Cluster, ConflictError
from elastron.fleet.kubernetes.leadership import RENEW_S, Candidate
from elastron.fleet.kubernetes.upkeep import Load, Pod, annotations_due
from elastron.fleet.schedule import Schedule

_PAUSE_S = 1.0


class Controller:
    """Keeps a fleet's objects true to its load and to the clock.

    Args:
        settings: of the controller.
        cluster: the namespace's API.
        name: ours, unique among the controllers.
        clock: seconds since 1970; the schedule follows it.

    Attributes:
        demand: running and waiting scans by pool, as last seen; None: not known.
        leading: this controller acts.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        cluster: Cluster,
        name: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.demand: dict[str, int] | None = None
        self._settings = settings
        self._cluster = cluster
        self._candidate = Candidate(name)
        self._led = False
        self._clock = clock
        self._probe = Probe(settings.admin_port, settings.probe_timeout_s)
        self._schedules = {pool.name: Schedule(pool.schedule, pool.min) for pool in settings.pools}
        self._minimums: dict[str, int] = {}
        self._loads: dict[str, Load | None] = {}
        self._look = asyncio.Event()
        self._log = structlog.get_logger()
        self._trouble: dict[str, str] = {}

    @property
    def leading(self) -> bool:
        """This controller acts."""
        return self._candidate.leads(time.monotonic())

    async def run(self) -> None:
        """Go on until cancelled; then give the lease back."""
        tasks = [
            asyncio.create_task(self._again("lease", self._lead, RENEW_S)),
            asyncio.create_task(self._again("watch", self._watch, _PAUSE_S)),
            asyncio.create_task(self._again("pods", self.step, 0)),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._resign()
            await self._probe.close()

    async def step(self) -> None:
        """Look at all pods once, and put right what is not; then wait for the next look."""
        pods = await self._cluster.pods(self._settings.pods)
        running = [pod for pod in pods if pod.running and pod.host]
        loads = await asyncio.gather(*(self._probe.load(pod.host) for pod in running))
        self._loads = {pod.name: load for pod, load in zip(running, loads, strict=True)}
        self.demand = await self._sum(running, loads)
        if self.leading:
            for pod, load in zip(running, loads, strict=True):
                if due := annotations_due(pod, load):
                    await self._cluster.annotate(pod.name, due)
            for pool in self._settings.pools:
                if pool.scaler is Scaler.HPA:
                    await self._keep_minimum(pool)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._look.wait(), self._settings.interval_s)
        self._look.clear()

    def describe(self) -> dict[str, Any]:
        """For `/status`."""
        lease = self._candidate.seen
        return {
            "name": self._candidate.name,
            "leading": self.leading,
            "leader": None if lease is None else lease.holder or None,
            "demand": self.demand,
            "minimums": dict(self._minimums),
            "nodes": {
                name: None if load is None else load.scans
                for name, load in sorted(self._loads.items())
            },
            "trouble": dict(self._trouble),
        }

    async def _sum(self, pods: list[Pod], loads: list[Load | None]) -> dict[str, int] | None:
        """Demand by pool; None where it is not known: nobody may scale by half of it."""
        waiting: Counter[str] | None = Counter()
        if self._settings.gateways is not None:
            hosts = await self._cluster.addresses(self._settings.gateways)
            waiting = await self._probe.queued(hosts) if hosts else None
        if waiting is None:
            return None
        demand = Counter({pool.name: 0 for pool in self._settings.pools}) + Counter()
        demand.update(waiting)
        for pod, load in zip(pods, loads, strict=True):
            # A node that does not tell is going, or coming; either way it runs nothing new.
            demand[pod.pool] += 0 if load is None else load.scans
        return {name: demand[name] for name in {*demand, *self._schedules}}

    async def _keep_minimum(self, pool: ControlledPool) -> None:
        wanted = min(self._schedules[pool.name].minimum(self._clock()), pool.max)
        # An HPA may be at zero only where the cluster has that feature switched on.
        wanted = max(1, wanted)
        found = await self._cluster.minimum(pool.object)
        if found != wanted:
            await self._cluster.set_minimum(pool.object, wanted)
            self._log.info("scheduled minimum", pool=pool.name, was=found, now=wanted)
        self._minimums[pool.name] = wanted

    async def _lead(self) -> None:
        """Take, keep or watch the lease."""
        name = self._settings.lease
        lease = await self._cluster.lease(name)
        self._candidate = self._candidate.saw(lease, time.monotonic())
        if self._candidate.may_write(time.monotonic()):
            # As of before the request: the answer may have taken long.
            asked_at = time.monotonic()
            with contextlib.suppress(ConflictError):
                written = await self._cluster.write_lease(name, self._candidate.name, lease)
                self._candidate = self._candidate.wrote(written, asked_at)
        # As last told, not as before the request: a lease also ends while we stand still.
        if self.leading is not self._led:
            self._led = self.leading
            self._log.info("leading" if self._led else "not leading any more")
            self._look.set()

    async def _resign(self) -> None:
        if not self.leading:
            return
        name = self._settings.lease
        with contextlib.suppress(ElastronError):
            # As it is now: a renewal that was cancelled may have been written all the same.
            lease = await self._cluster.lease(name)
            if lease is not None and lease.holder == self._candidate.name:
                await self._cluster.write_lease(name, "", lease)

    async def _watch(self) -> None:
        """Look again as soon as a pod changes."""
        async for _ in self._cluster.changes(self._settings.pods):
            self._look.set()

    async def _again(self, what: str, once: Callable[[], Any], pause_s: float) -> None:
        """Do it again and again; trouble is logged once, and does not end it."""
        while True:
            try:
                await once()
                if self._trouble.pop(what, None) is not None:
                    self._log.info("well again", what=what)
                await asyncio.sleep(pause_s)
            except ElastronError as error:
                if self._trouble.get(what) != str(error):
                    self._log.warning("trouble with Kubernetes", what=what, reason=str(error))
                self._trouble[what] = str(error)
                await asyncio.sleep(max(pause_s, _PAUSE_S))
