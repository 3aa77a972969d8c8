"""A lane: one connection over which a peer gets item after item, or our own work in its place.

Answers come in order, one for each item; readouts are counted singly, because on the wire a batch
is as many messages.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from elastron.errors import ConnectionLostError, RemoteError
from elastron.gadgets.base import Item
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.pipeline.chain import Chain
from elastron.pipeline.peer_work import PeerWork
from elastron.pipeline.queue import item_bytes
from elastron.pipeline.remote import Link, Remote, results
from elastron.pipeline.tasks import Task
from elastron.wire import Buffer, encode, iter_encode
from elastron.wire.messages import Close, Text

#: A peer whose last answer took longer gets one item while it works on another, else some more.
_LONG_S = 0.05
_DEPTH_LONG = 2
_DEPTH_SHORT = 16
#: Estimate before the first answer, as the original's.
_FIRST_S = 5.0


@dataclass(slots=True, eq=False)
class Job(Task):
    """One item on its way.

    Attributes:
        number: in the input's order.
        item: to be worked on; None once answered, or if it goes round the peers.
        results: what came of it.
        missing: messages still to come.
        nbytes: it counts.
        begun: when it was last given to a lane.
    """

    number: int
    item: Item | None
    results: list[Item] = field(default_factory=list)
    missing: int = 0
    nbytes: int = 0
    begun: float = 0.0

    def __str__(self) -> str:
        return f"item {self.number + 1}"

    @classmethod
    def of(cls, number: int, item: Item) -> Job:
        """Work on an item."""
        return cls(number, item, missing=_count(item), nbytes=item_bytes(item))

    @classmethod
    def bypass(cls, number: int, item: Item) -> Job:
        """An item that no peer gets."""
        return cls(number, None, results=[item], nbytes=item_bytes(item))

    @property
    def done(self) -> bool:
        """Answered."""
        return self.missing == 0

    def again(self) -> None:
        """Forget a part of an answer."""
        if self.item is not None:
            self.results.clear()
            self.missing = _count(self.item)


class Owner(Protocol):
    """The step a lane belongs to.

    Attributes:
        changed: the lock over jobs and lanes; told of every change.
    """

    changed: threading.Condition

    def done(self, lane: PeerLane | LocalLane, job: Job) -> None:
        """A job was answered; the lock is held."""
        ...

    def ended(self, lane: PeerLane | LocalLane, error: Exception | None) -> None:
        """The lane is over, its jobs unanswered; None: it was closed on purpose."""
        ...


class PeerLane(PeerWork):
    """A connection to a peer.

    Attributes:
        jobs: given and not answered, in order.
        closing: gets no more.
        idle_since: when the last answer came; None while there are jobs.
    """

    def __init__(self, owner: Owner, peer: str, remote: Remote, greeting: list[Buffer]) -> None:
        super().__init__(peer, remote, greeting, changed=owner.changed, name="lane")
        self.jobs: deque[Job] = deque()
        self.closing = False
        self.idle_since: float | None = None
        self._latest_s: float | None = None
        self._owner = owner
        self._unsent: deque[Job] = deque()

    @property
    def proven(self) -> bool:
        """It has answered before."""
        return self._latest_s is not None

    @property
    def has_room(self) -> bool:
        """It should get another job."""
        depth = _DEPTH_SHORT if (self._latest_s or _FIRST_S) < _LONG_S else _DEPTH_LONG
        return not self.closing and len(self.jobs) < depth

    def load(self, now: float) -> float:
        """Seconds of work it has, about; the original's estimate."""
        if not self.jobs:
            return 0.0
        latest_s = _FIRST_S if self._latest_s is None else self._latest_s
        return max(latest_s, now - self.jobs[0].begun) * len(self.jobs)

    def give(self, job: Job, now: float) -> None:
        """Give it a job; the lock is held."""
        job.begun = now
        self.idle_since = None
        self.jobs.append(job)
        self._unsent.append(job)
        self._changed.notify_all()

    def close(self) -> None:
        """End it in good order, once it has answered; the lock is held."""
        self.closing = True
        self._changed.notify_all()

    def _send(self, link: Link) -> None:
        link.send(self._greeting)
        while (job := self._next()) is not None:
            if (item := job.item) is not None:
                for buffers in iter_encode(item):
                    link.send(buffers)
        if not self._aborted:
            link.send(encode(Close()))

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or self._unsent or self.closing)
            if self._aborted or not self._unsent:
                return None
            return self._unsent.popleft()

    def _receive(self, link: Link) -> Exception | None:
        try:
            for item in results(link, self._remote.readable):
                with self._changed:
                    self._answer(item)
                    self._changed.notify_all()
        except Exception as error:  # reported to the owner
            return error
        with self._changed:
            if self.jobs or not self.closing:
                return ConnectionLostError("it closed before it had answered everything")
        return None

    def _answer(self, item: Item) -> None:
        if isinstance(item, Text) and self.jobs:
            self.jobs[0].results.append(item)  # words about it, not the answer
            return
        rest: Item | None = item
        while rest is not None:
            if not self.jobs:
                raise RemoteError("it answered more than it was asked")
            job = self.jobs[0]
            part, rest = _cut(rest, job.missing)
            job.results.append(part)
            job.missing -= _count(part)
            if job.done:
                self.jobs.popleft()
                now = time.monotonic()
                self._latest_s = now - job.begun
                for waiting in list(self.jobs)[:1]:  # it begins to work on the next only now
                    waiting.begun = now
                if not self.jobs:
                    self.idle_since = now
                self._owner.done(self, job)

    def _ended(self, error: Exception | None) -> None:
        self._owner.ended(self, error)


class LocalLane:
    """Our own work, while no peer takes any.

    Attributes:
        peer: what it is called in messages.
        jobs: the one under way.
        closing: gets no more.
        idle_since: always None: it ends by itself.
    """

    peer = "this node"
    has_room = False
    idle_since: float | None = None

    def __init__(self, owner: Owner, job: Job, build: Callable[[], Chain]) -> None:
        self.jobs: deque[Job] = deque((job,))
        self.closing = True
        self._owner = owner
        self._build = build
        self._thread = threading.Thread(target=self._run, name="local lane", daemon=True)

    def load(self, now: float) -> float:
        """As much as it can take."""
        return float("inf")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def abort(self) -> None:
        """Nothing: one item is soon done."""

    def join(self, timeout_s: float) -> None:
        """Wait until its thread has ended."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        failure: Exception | None = None
        job = self.jobs[0]
        try:
            answer = list(self._build()([item] if (item := job.item) is not None else []))
            with self._owner.changed:
                self.jobs.clear()
                job.results, job.missing = answer, 0
                self._owner.done(self, job)
        except Exception as error:  # reported to the owner
            failure = error
        self._owner.ended(self, failure)


def _count(item: Item) -> int:
    return len(item) if isinstance(item, AcquisitionBatch) else 1


def _cut(item: Item, count: int) -> tuple[Item, Item | None]:
    """So many messages of an item, and the rest."""
    if isinstance(item, AcquisitionBatch) and len(item) > count:
        return item.select(slice(count)), item.select(slice(count, None))
    return item, None
