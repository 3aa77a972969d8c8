"""The policy of the gadgetron-azure deployment, simulated, to compare with.

From its chart and the controllers it relies on (Kubernetes 1.23, which it pins):

- **Placement.** A Kubernetes Service sends each connection to a random ready pod, however busy. No
  queue, no limit: scans on one pod share it.
- **Metric.** `gadgetron_activity` = ceil(rate of starts over 10 minutes), per pod, from samples
  every 30 s: 1 for a pod on which any scan began in the last ten minutes, else 0; none for a pod
  that was sampled less than twice.
- **Replicas.** A HorizontalPodAutoscaler with the target 0.5 of that metric, every 15 s: the
  algorithm of `hpa.replicas`; down to the highest recommendation of the last 5 minutes; up to
  twofold or 4 at a time. The scheduled minimums are applied as `fleet.yaml` has them.
- **Scale-in.** The ReplicaSet takes pods that are not ready first, then those ready for the
  shortest time, where ages count as equal within a power of two, at random among equals. A pod gets
  no new connections, and is killed after 30 s of grace (its `terminationGracePeriodSeconds: 600` is
  a comment). Scans that are still on it are lost; nobody repeats them.

What is assumed in its favour: a pod takes connections only when it listens (it has no readiness
probe, so that in truth some are refused); streaming costs a pod nothing; memory never runs out; no
sample is ever late; pods never fail. As everywhere, `capacity` scans at once run at full speed on a
node, more share it equally while they reconstruct.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

from elastron.fleet import hpa
from elastron.fleet.outcome import Fate, Ledger, Outcome, Result
from elastron.fleet.schedule import schedule_of
from elastron.fleet.settings import FleetSettings, PoolSettings
from elastron.fleet.simulation import check_pools
from elastron.fleet.traces.trace import Scan, Trace

NAME = "gadgetron-azure"

TARGET = 0.5
RATE_WINDOW_S = 600.0
SCRAPE_S = 30.0
SYNC_S = 15.0
TOLERANCE = 0.1
DOWN_WINDOW_S = 300.0
GRACE_S = 30.0


class _Event(IntEnum):
    """In the order in which those of the same moment happen."""

    FINISH = 0
    STREAMED = 1
    KILL = 2
    READY = 3
    ARRIVE = 4
    SYNC = 5


@dataclass(slots=True, eq=False)
class _Job:
    scan: Scan
    pod: _Pod | None = None
    work_s: float = 0.0  # of reconstruction, at full speed
    streamed: bool = False


@dataclass(slots=True, eq=False)
class _Pod:
    id: str
    capacity: int
    ready_s: float
    ready: bool = False
    ending: bool = False
    gone: bool = False
    jobs: set[_Job] = field(default_factory=set)
    starts: deque[float] = field(default_factory=deque)
    worked_s: float = 0.0  # until when `work_s` of its jobs is settled
    turn: int = 0  # outdates earlier FINISH events

    def computing(self) -> list[_Job]:
        """Scans that want the processor."""
        return [job for job in self.jobs if job.streamed]

    def work(self, now: float) -> None:
        """Settle what was done since the last time."""
        computing = self.computing()
        if computing:
            speed = min(1.0, self.capacity / len(computing))
            for job in computing:
                job.work_s -= (now - self.worked_s) * speed
        self.worked_s = now

    def activity(self, now: float) -> int | None:
        """What Prometheus answers about it; None: nothing."""
        first = math.ceil(self.ready_s / SCRAPE_S) * SCRAPE_S
        begin = max(first, math.ceil((now - RATE_WINDOW_S) / SCRAPE_S) * SCRAPE_S)
        end = math.floor(now / SCRAPE_S) * SCRAPE_S
        if end <= begin:
            return None
        while self.starts and self.starts[0] <= begin:
            self.starts.popleft()
        # A start shows as a difference of two samples within the window.
        count = sum(start <= end for start in self.starts)
        return math.ceil(count / RATE_WINDOW_S)


@dataclass(slots=True)
class _Release:
    """One installation of the chart: one pool."""

    name: str
    settings: PoolSettings
    replicas: int = 0
    pods: list[_Pod] = field(default_factory=list)
    recommendations: deque[tuple[float, int]] = field(default_factory=deque)


def simulate_gadgetron_azure(trace: Trace, fleet: FleetSettings, *, seed: int = 1) -> Result:
    """Run a trace through the original system, with the fleet's bounds, delays and schedule.

    Args:
        trace: what comes.
        fleet: of each pool, min (1 at least), max, capacity, start delay and schedule are used.
        seed: of what is random: placement, and who goes.

    Raises:
        ConfigError: the trace names a pool that the fleet does not have.
    """
    check_pools(trace, fleet)
    return _Simulation(trace, fleet, random.Random(seed)).run()


class _Simulation:
    def __init__(self, trace: Trace, fleet: FleetSettings, chance: random.Random) -> None:
        self._trace = trace
        self._chance = chance
        self._epoch = trace.start.timestamp()
        self._ledger = Ledger()
        self._numbers = itertools.count(1)
        self._releases = {name: _Release(name, pool) for name, pool in fleet.pools.items()}
        self._open = 0
        self._last_finish_s = 0.0
        # (when, kind, number, pool, subject, turn of the pod)
        self._events: list[tuple[float, _Event, int, str, _Job | _Pod | None, int]] = []

    def run(self) -> Result:
        for scan in self._trace.scans:
            self._at(scan.arrival_s, _Event.ARRIVE, scan.pool, _Job(scan))
        self._open = len(self._trace.scans)
        for release in self._releases.values():
            release.replicas = self._minimum(release, 0.0)
            release.recommendations.append((0.0, release.replicas))
            for _ in range(release.replicas):
                self._start(release, 0.0, delay_s=0.0)
            self._at(0.0, _Event.SYNC, release.name, None)
        while self._events:
            now, event, _, pool, subject, turn = heapq.heappop(self._events)
            if now > self._trace.duration_s and not self._open:
                break
            self._happen(self._releases[pool], event, subject, turn, now)
            self._ledger.sample(now)
        end_s = max(self._trace.duration_s, self._last_finish_s)
        return self._ledger.close(self._trace, NAME, end_s)

    def _at(
        self, when: float, event: _Event, pool: str, subject: _Job | _Pod | None, turn: int = 0
    ) -> None:
        heapq.heappush(self._events, (when, event, next(self._numbers), pool, subject, turn))

    def _happen(
        self, release: _Release, event: _Event, subject: _Job | _Pod | None, turn: int, now: float
    ) -> None:
        if isinstance(subject, _Job):
            if event is _Event.ARRIVE:
                self._arrive(release, subject, now)
            else:
                self._streamed(release, subject, now)
        elif subject is None:
            self._sync(release, now)
        elif event is _Event.READY:
            if not (subject.ending or subject.gone):
                subject.ready = True
                self._ledger.ready += 1
        elif event is _Event.KILL:
            self._kill(release, subject, now)
        elif turn == subject.turn:
            self._finish(release, subject, now)

    def _arrive(self, release: _Release, job: _Job, now: float) -> None:
        # There always is one: at least one pod is kept, and those not ready go first.
        pod = self._chance.choice([pod for pod in release.pods if pod.ready])
        job.pod, job.work_s = pod, job.scan.reconstruction_s
        pod.jobs.add(job)
        pod.starts.append(now)
        self._ledger.running += 1
        self._at(now + job.scan.scan_s, _Event.STREAMED, release.name, job)

    def _streamed(self, release: _Release, job: _Job, now: float) -> None:
        pod = job.pod
        if pod is None or pod.gone:
            return
        pod.work(now)
        job.streamed = True
        self._plan_finish(release, pod, now)

    def _plan_finish(self, release: _Release, pod: _Pod, now: float) -> None:
        """Announce who will be done next, if nothing changes."""
        pod.turn += 1
        computing = pod.computing()
        if computing:
            least_s = min(job.work_s for job in computing)
            speed = min(1.0, pod.capacity / len(computing))
            self._at(now + max(least_s, 0) / speed, _Event.FINISH, release.name, pod, pod.turn)

    def _finish(self, release: _Release, pod: _Pod, now: float) -> None:
        pod.work(now)
        for job in sorted(pod.computing(), key=lambda job: job.scan.arrival_s):
            if job.work_s <= 1e-6:
                pod.jobs.remove(job)
                self._ledger.running -= 1
                self._last_finish_s = now
                self._end(job, Fate.FINISHED, wait_s=max(now - job.scan.undisturbed_s, 0.0))
        self._plan_finish(release, pod, now)
        if pod.ending and not pod.jobs:
            self._gone(release, pod, now)

    def _end(self, job: _Job, fate: Fate, wait_s: float = 0.0) -> None:
        self._open -= 1
        self._ledger.outcomes.append(Outcome(job.scan, fate, wait_s=wait_s))

    def _minimum(self, release: _Release, now: float) -> int:
        minimum = schedule_of(release.settings).minimum(self._epoch + now)
        return min(max(minimum, 1), release.settings.max)  # an HPA does not go to zero

    def _sync(self, release: _Release, now: float) -> None:
        """One round of the HorizontalPodAutoscaler."""
        self._at(now + SYNC_S, _Event.SYNC, release.name, None)
        current, live = release.replicas, [pod for pod in release.pods if not pod.ending]
        running = [pod for pod in live if pod.ready]
        values = [value for pod in running if (value := pod.activity(now)) is not None]
        if not values:
            return  # "did not receive metrics for any ready pods"
        recommendation = hpa.replicas(
            sum(values),
            target=TARGET,
            current=current,
            ready=len(values),
            missing=len(running) - len(values),
            tolerance_up=TOLERANCE,
            tolerance_down=TOLERANCE,
        )
        past = release.recommendations
        while past and past[0][0] <= now - DOWN_WINDOW_S:
            past.popleft()
        wanted = max([recommendation, *(count for _, count in past)])
        past.append((now, recommendation))
        wanted = min(wanted, max(2 * current, 4), release.settings.max)
        wanted = max(wanted, self._minimum(release, now))
        release.replicas = wanted
        for _ in range(wanted - len(live)):
            self._start(release, now, delay_s=release.settings.start_delay_s)
        self._terminate(release, live, len(live) - wanted, now)

    def _start(self, release: _Release, now: float, *, delay_s: float) -> None:
        pod_id = f"{release.name}-{next(self._numbers)}"
        pod = _Pod(pod_id, release.settings.capacity, now + delay_s, worked_s=now)
        release.pods.append(pod)
        self._ledger.node_asked(pod_id, release.name, now)
        self._at(now + delay_s, _Event.READY, release.name, pod)

    def _terminate(self, release: _Release, live: list[_Pod], count: int, now: float) -> None:
        if count <= 0:
            return

        def rank(pod: _Pod) -> tuple[bool, int, float]:
            age_ns = max((now - pod.ready_s) * 1e9, 1.0)
            return (pod.ready, int(math.log2(age_ns)), self._chance.random())

        for pod in sorted(live, key=rank)[:count]:
            self._ledger.ready -= pod.ready
            pod.ready, pod.ending = False, True
            if pod.jobs:
                self._at(now + GRACE_S, _Event.KILL, release.name, pod)
            else:
                self._gone(release, pod, now)

    def _kill(self, release: _Release, pod: _Pod, now: float) -> None:
        if pod.gone:
            return
        for job in sorted(pod.jobs, key=lambda job: job.scan.arrival_s):
            self._ledger.running -= 1
            self._end(job, Fate.LOST)
        pod.jobs.clear()
        pod.turn += 1
        self._gone(release, pod, now)

    def _gone(self, release: _Release, pod: _Pod, now: float) -> None:
        pod.gone = True
        release.pods.remove(pod)
        self._ledger.node_gone(pod.id, now)
