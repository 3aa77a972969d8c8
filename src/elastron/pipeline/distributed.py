"""`<distributed>`: parts of a scan are worked on by other nodes.

One thread pulls the node's input and cuts it into parts, which are kept (`spool`) until their
results are certain. Another finds a peer for each part; the caller's thread puts results out.

- A part whose peer is lost goes to another one, at most `ATTEMPTS_MAX` times; a peer that is full
  or draining costs nothing but the question.
- The original opens a connection a part and holds it to the end of the scan. Here a part that
  looks complete is closed: its peer works and is free again while the scan goes on.
- When no peer takes a part and none works on another one, it is worked on here. So nodes that wait
  for each other's places cannot dead-lock, and a lone node gets the same images.
- Data wait in memory up to a limit, then on disk; a peer slower than the scanner slows the input
  down, unless it waits itself.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass

from elastron.errors import ConfigError, ElastronError
from elastron.gadgets.base import Item
from elastron.gadgets.distribution import Distributor, DistributorProperties
from elastron.pipeline.attempt import LocalAttempt, PeerAttempt
from elastron.pipeline.chain import Named, Run, close_generator
from elastron.pipeline.dispatch import Attempt, Dispatch
from elastron.pipeline.parts import Part
from elastron.pipeline.queue import item_bytes
from elastron.pipeline.remote import Remote
from elastron.pipeline.spool import SpoolSpace
from elastron.wire import iter_encode, message_id

#: Bytes on their way to peers that take them; beyond it the input waits.
_UNSENT_BYTES_MAX = 32 << 20
#: Results that wait for the caller; beyond it peers wait.
_READY_BYTES_MAX = 64 << 20
#: The dispatcher looks for new peers at least this often while parts wait.
_LOOK_S = 1.0
#: A thread that does not end is left behind: it is a daemon, its link is closed.
_JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class DistributedStep:
    """A `<distributed>` node.

    Attributes:
        named: the distributor's place.
        distributor: cuts the input.
        remote: the stream the parts go through.
    """

    named: Named
    distributor: Distributor[DistributorProperties]
    remote: Remote

    def __call__(self, items: Iterable[Item], run: Run) -> Iterator[Item]:
        """Run the node over `items`."""
        return _Distribution(self, items, run).results()


class _Distribution:
    """One run of the step; everything is under the lock of `changed`.

    The caller's thread has a condition of its own, `_output`: waking it at each change of a part
    would cost more than the changes.
    """

    def __init__(self, step: DistributedStep, items: Iterable[Item], run: Run) -> None:
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self._output = threading.Condition(lock)
        self._step = step
        self._items = items
        self._run = run
        self._remote = step.remote
        self._limits = step.remote.limits
        self._log = step.remote.context.log
        self._space = SpoolSpace(
            self._limits.memory_bytes_max, self._limits.disk_bytes_max, self._limits.folder
        )
        self._greeting = step.remote.greeting()
        self._dispatch = Dispatch(
            step.named,
            self._log,
            self._limits.wait_s,
            on_peer=lambda part, peer: PeerAttempt(self, part, peer, self._remote, self._greeting),
            here=lambda part: LocalAttempt(self, part, step.remote.build),
        )
        self._in_order = step.distributor.properties.output_order == "part"
        self._parts: dict[Hashable, Part] = {}
        self._order: dict[int, Part] = {}  # those that are not over
        self._held_bytes = 0
        self._ready: deque[Item] = deque()
        self._ready_bytes = 0
        self._idle_s = self._limits.idle_s
        self._guessing = True
        self._input_ended = False
        self._stopped = False
        self._error: Exception | None = None

    # --- the caller's thread --------------------------------------------------------------------

    def results(self) -> Iterator[Item]:
        """What the node puts out."""
        threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for work, name in ((self._feed, "distributor"), (self._assign, "part dispatcher"))
        ]
        for thread in threads:
            thread.start()
        try:
            while True:
                item = None  # while waiting, let go of the last one's arrays
                with self.changed:
                    self._output.wait_for(lambda: self._error or self._ready or self._done)
                    if self._error is not None:
                        raise self._error
                    if not self._ready:
                        return
                    item = self._ready.popleft()
                    if self._ready_bytes > _READY_BYTES_MAX:
                        self.changed.notify_all()  # somebody may wait for room
                    self._ready_bytes -= item_bytes(item)
                yield item
        finally:
            self._take_down(threads)

    @property
    def _done(self) -> bool:
        return self._input_ended and not self._order

    def _take_down(self, threads: list[threading.Thread]) -> None:
        with self.changed:
            self._stopped = True
            attempts = list(self._dispatch.attempts)
            for attempt in attempts:
                attempt.abort()
            if not self._input_ended:
                self._run.abort()  # the feeder may wait for input
            self.changed.notify_all()
        for thread in threads:
            thread.join()
        for attempt in attempts:
            attempt.join(_JOIN_S)
        for part in self._parts.values():
            part.spool.close()
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
        self._output.notify()

    # --- input ----------------------------------------------------------------------------------

    def _feed(self) -> None:
        for item in self._items:
            if isinstance(item, self._step.distributor.accepts):
                for key, piece, completes in self._split(item):
                    self._add(key, piece, completes=completes)
            else:
                self._bypass(item)
            del item
            if self._stopped:
                return
        with self.changed:
            self._input_ended = True
            for part in self._order.values():
                part.ended = True
            self._promote(*self._order.values())
            self.changed.notify_all()
            self._output.notify()

    def _split(self, item: Item) -> list[tuple[Hashable, Item, bool]]:
        distributor, named = self._step.distributor, self._step.named
        if (number := message_id(item)) not in self._remote.writable:
            raise named.failure(
                ConfigError(f"none of the node's writers takes {number.name}; add one")
            )
        try:
            return [
                (key, part, distributor.completes(part)) for key, part in distributor.split(item)
            ]
        except Exception as error:
            raise named.failure(error) from error

    def _bypass(self, item: Item) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self._stopped or self._ready_bytes <= _READY_BYTES_MAX)
            self._append(item)

    def _add(self, key: Hashable, item: Item, *, completes: bool) -> None:
        """Add to a part, a new one if need be."""
        part = self._open(key)
        for buffers in iter_encode(item):
            with self.changed:
                if self._dispatch.unsent_bytes > _UNSENT_BYTES_MAX:
                    self.changed.notify_all()  # of the pieces before
                self.changed.wait_for(
                    lambda: self._stopped or self._dispatch.unsent_bytes <= _UNSENT_BYTES_MAX
                )
                if self._stopped:
                    return
            try:
                part.spool.append(buffers)
            except ElastronError as error:
                raise self._step.named.failure(error) from error
        with self.changed:
            self._dispatch.want(part)
            part.last_data = time.monotonic()
            part.quiet = completes and self._guessing
            self.changed.notify_all()

    def _open(self, key: Hashable) -> Part:
        with self.changed:
            part = self._parts.get(key)
            if part is None:
                part = Part(len(self._parts), key, self._space.open(), time.monotonic())
                self._parts[key] = self._order[part.number] = part
                return part
            self._held_bytes -= part.held_bytes
            if part.reopen():  # it was closed too early: do not be fooled again
                self._guessing = False
                self._idle_s *= 2
                self._dispatch.want(part)
                self._log.debug("a part went on after all", part=part.number)
            self._held_bytes += part.held_bytes
            return part

    # --- who works on what ----------------------------------------------------------------------

    def _assign(self) -> None:
        while True:
            with self.changed:
                self._close_idle_parts()
                if self._stopped or self._done:
                    return
                if not self._dispatch.waiting:
                    self.changed.wait(self._until_idle())
                    continue
            names = self._remote.discover()
            with self.changed:
                if self._stopped:
                    return
                self._dispatch.assign(names, time.monotonic())
                if self._dispatch.waiting:
                    self.changed.wait(self._dispatch.patience_s(time.monotonic(), _LOOK_S))

    def _close_idle_parts(self) -> None:
        now = time.monotonic()
        for attempt in self._dispatch.open_links():
            if now - attempt.part.last_data > self._idle_s:
                attempt.part.quiet = True
                self.changed.notify_all()

    def _until_idle(self) -> float | None:
        """Seconds until a link has been idle for too long; None for no such link."""
        now = time.monotonic()
        links = self._dispatch.open_links()
        left = [each.part.last_data + self._idle_s - now for each in links]
        return max(min(left) + 0.01, 0) if left else None

    # --- what comes of it: threads of the attempts ----------------------------------------------

    def result(self, attempt: Attempt, item: Item) -> None:
        """Keep a result; wait while there is no room."""
        part = attempt.part
        with self.changed:
            if part.work is not attempt:
                return
            before = part.held_bytes
            part.add(item, certain=not attempt.closing)
            self._held_bytes += part.held_bytes - before
            self._promote(part)
            attempt.blocked = self._crowded(part)
            if attempt.blocked:
                self.changed.notify_all()  # this node may have to help
                self.changed.wait_for(
                    lambda: self._stopped or part.work is not attempt or not self._crowded(part)
                )
                attempt.blocked = False

    def ended(self, attempt: Attempt, error: Exception | None) -> None:
        """Take note of an attempt's end, and what follows for its part."""
        part = attempt.part
        with self.changed:
            if self._stopped:
                self._dispatch.attempts.discard(attempt)
                return
            self._held_bytes -= part.held_bytes
            try:
                self._dispatch.ended(attempt, error, time.monotonic())
            except ElastronError as failure:
                self._fail(failure)
            self._held_bytes += part.held_bytes
            self._promote(part)
            self.changed.notify_all()

    def _crowded(self, part: Part) -> bool:
        """A part's further results must wait."""
        if self._ready_bytes > _READY_BYTES_MAX:
            return True
        is_first = not self._in_order or part is next(iter(self._order.values()), part)
        return not is_first and self._held_bytes > self._limits.results_bytes_max

    def _promote(self, *changed: Part) -> None:
        """Put out what may be put out now."""
        if not self._in_order:
            for part in changed:
                self._take_results(part)
            return
        while self._order:
            part = next(iter(self._order.values()))
            self._take_results(part)
            if part.number in self._order:
                return

    def _take_results(self, part: Part) -> None:
        before = part.held_bytes
        for item in part.take():
            self._append(item)
        self._held_bytes += part.held_bytes - before
        if part.over:
            self._order.pop(part.number, None)
            part.spool.close()
            if not self._order:
                self._output.notify()

    def _append(self, item: Item) -> None:
        self._ready.append(item)
        self._ready_bytes += item_bytes(item)
        self._output.notify()
