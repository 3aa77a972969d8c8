"""`<puredistributed>`: items are worked on by other nodes, each by itself; one in, one out.

As in the original an item goes to the peer with the least work, answers are put out in the input's
order, and an item whose peer failed is given to another one, `ATTEMPTS_MAX` times in all. Unlike
there, the input waits while too much is under way; peers that come later are used, those that go
get no more; a peer that closes without having answered has failed; connections are opened when
there is work and closed when there is none; and without any peer the work is done here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from elastron.errors import ElastronError
from elastron.gadgets.base import Item
from elastron.pipeline.chain import Named, Run, close_generator
from elastron.pipeline.lanes import Job, LocalLane, PeerLane
from elastron.pipeline.peer_choice import PeerChoice
from elastron.pipeline.queue import item_bytes
from elastron.pipeline.remote import Remote
from elastron.pipeline.tasks import Judge
from elastron.wire import message_id

#: Bytes of items and answers under way; beyond it the input waits.
_UNDER_WAY_BYTES_MAX = 64 << 20
_LOOK_S = 1.0
_JOIN_S = 5.0

Lane = PeerLane | LocalLane


@dataclass(frozen=True, slots=True)
class PureDistributedStep:
    """A `<puredistributed>` node.

    Attributes:
        named: its place.
        remote: the gadgets.
    """

    named: Named
    remote: Remote

    def __call__(self, items: Iterable[Item], run: Run) -> Iterator[Item]:
        """Run the node over `items`."""
        return _PureDistribution(self, items, run).results()


class _PureDistribution:
    """One run of the step; everything is under the lock of `changed`."""

    def __init__(self, step: PureDistributedStep, items: Iterable[Item], run: Run) -> None:
        self.changed = threading.Condition()
        self._remote = step.remote
        self._items = items
        self._run = run
        self._greeting = step.remote.greeting()
        self._choice = PeerChoice()
        self._judge = Judge(step.named, step.remote.context.log, self._choice)
        self._jobs: deque[Job] = deque()  # in order, until they are put out
        self._waiting: dict[int, Job] = {}  # for a lane
        self._bytes = 0
        self._lanes: set[Lane] = set()
        self._waiting_since: float | None = None
        self._input_ended = False
        self._stopped = False
        self._error: Exception | None = None

    # --- the caller's thread --------------------------------------------------------------------

    def results(self) -> Iterator[Item]:
        """What the node puts out."""
        threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for work, name in ((self._feed, "pure input"), (self._assign, "pure dispatcher"))
        ]
        for thread in threads:
            thread.start()
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: self._error or self._front_done or self._done)
                    if self._error is not None:
                        raise self._error
                    if not self._jobs:
                        return
                    job = self._jobs.popleft()
                    self._bytes -= job.nbytes
                    self.changed.notify_all()
                yield from job.results
                del job  # while waiting, let go of its arrays
        finally:
            self._take_down(threads)

    @property
    def _front_done(self) -> bool:
        return bool(self._jobs) and self._jobs[0].done

    @property
    def _done(self) -> bool:
        return self._input_ended and not self._jobs

    def _take_down(self, threads: list[threading.Thread]) -> None:
        with self.changed:
            self._stopped = True
            lanes = list(self._lanes)
            for lane in lanes:
                if self._done and isinstance(lane, PeerLane):
                    lane.close()
                else:
                    lane.abort()
            if not self._input_ended:
                self._run.abort()  # the feeder may wait for input
            self.changed.notify_all()
        for thread in threads:
            thread.join()
        for lane in lanes:
            lane.join(_JOIN_S)
        close_generator(self._items)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # raised in the caller's thread
            with self.changed:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._stopped = True
        self.changed.notify_all()

    # --- input ----------------------------------------------------------------------------------

    def _feed(self) -> None:
        for number, item in enumerate(self._items):
            remote = message_id(item) in self._remote.writable
            job = Job.of(number, item) if remote else Job.bypass(number, item)
            del item
            if not self._put(job):
                return
            del job
        with self.changed:
            self._input_ended = True
            self.changed.notify_all()

    def _put(self, job: Job) -> bool:
        """Take a job in when there is room; False if nobody wants it any more."""
        with self.changed:
            self.changed.wait_for(
                lambda: (
                    self._stopped
                    or not self._bytes
                    or self._bytes + job.nbytes <= _UNDER_WAY_BYTES_MAX
                )
            )
            if self._stopped:
                return False
            self._jobs.append(job)
            self._bytes += job.nbytes
            if not job.done:
                self._waiting[job.number] = job
            self.changed.notify_all()
            return True

    # --- who works on what ----------------------------------------------------------------------

    def _assign(self) -> None:
        while True:
            with self.changed:
                self._close_idle_lanes()
                if self._stopped or self._done:
                    return
                if not self._waiting:
                    self.changed.wait(_LOOK_S if self._lanes else None)
                    continue
            names = self._remote.discover()
            with self.changed:
                if self._stopped:
                    return
                now = time.monotonic()
                self._choice.update(names)
                for number in sorted(self._waiting):
                    if not self._give(self._waiting[number], now):
                        break
                if self._waiting:
                    moment = self._choice.next_time(now)
                    wait_s = _LOOK_S if moment is None else max(moment - now, 0.001)
                    self.changed.wait(min(wait_s, _LOOK_S))

    def _give(self, job: Job, now: float) -> bool:
        """Give a job to somebody; False if nobody can take this one, nor others."""
        if self._choice.known and job.avoided.issuperset(self._choice.known):
            job.avoided.clear()  # better the same again than nobody
        lane = self._lane_for(job, now)
        if lane is not None:
            del self._waiting[job.number]
            self._waiting_since = None
            lane.give(job, now)
            return True
        if self._lanes:
            return bool(job.avoided)
        self._work_here(job, now)
        return False

    def _lane_for(self, job: Job, now: float) -> PeerLane | None:
        """An idle lane, a new one, one with room, or a second one to some peer."""
        known = set(self._choice.known) - job.avoided
        lanes = [
            lane
            for lane in self._lanes
            if isinstance(lane, PeerLane) and lane.has_room and lane.peer in known
        ]
        best = min(lanes, key=lambda lane: lane.load(now), default=None)
        if best is not None and not best.jobs:
            return best
        reached = {lane.peer for lane in self._lanes}
        peer = self._choice.choose(now, job.avoided | reached)
        if peer is None and best is None:
            unproven = {
                lane.peer for lane in self._lanes if isinstance(lane, PeerLane) and not lane.proven
            }
            peer = self._choice.choose(now, job.avoided | unproven)
        if peer is None:
            return best
        self._choice.started(peer, now)
        lane = PeerLane(self, peer, self._remote, self._greeting)
        self._start(lane)
        return lane

    def _work_here(self, job: Job, now: float) -> None:
        self._waiting_since = self._waiting_since or now
        if self._judge.unable is None and not job.died:
            self._judge.works_here()
            del self._waiting[job.number]
            self._start(LocalLane(self, job, self._remote.build))
            return
        waited_s = now - self._waiting_since
        if not self._choice.known or waited_s > self._remote.limits.wait_s:
            raise self._judge.nobody(job, "an item")

    def _start(self, lane: Lane) -> None:
        self._lanes.add(lane)
        lane.start()

    def _close_idle_lanes(self) -> None:
        now = time.monotonic()
        for lane in self._lanes:
            since = lane.idle_since
            if isinstance(lane, PeerLane) and not lane.closing and since is not None:
                gone = lane.peer not in self._choice.known
                if gone or self._input_ended or now - since > self._remote.limits.idle_s:
                    lane.close()

    # --- what comes of it: threads of the lanes -------------------------------------------------

    def done(self, lane: Lane, job: Job) -> None:
        """A job was answered."""
        job.item = None
        self._bytes -= job.nbytes
        job.nbytes = sum(map(item_bytes, job.results))
        self._bytes += job.nbytes
        self.changed.notify_all()

    def ended(self, lane: Lane, error: Exception | None) -> None:
        """A lane is over; its jobs wait again."""
        with self.changed:
            self._lanes.discard(lane)
            now = time.monotonic()
            if self._stopped:
                return
            if isinstance(lane, PeerLane):
                self._choice.ended(lane.peer, error, now)
            for job in lane.jobs:
                job.again()
                self._waiting[job.number] = job
            if error is not None:
                try:
                    if isinstance(lane, LocalLane):
                        self._judge.failed_here(error)
                    else:
                        self._judge.failed(lane.peer, error, lane.jobs[0] if lane.jobs else None)
                except ElastronError as failure:
                    self._fail(failure)
            self.changed.notify_all()
