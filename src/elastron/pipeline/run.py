"""Threads: the steps that run gadgets side by side. Everywhere else a chain has one thread.

`<parallel>`: every stream, and the merge, has a thread; they hand items on through queues. The
caller's thread pulls the node's input, and only when all of them wait for it. So

- nothing finished waits for the next input: an image leaves when it is made;
- nothing dead-locks: while anything can go on, it does; when nothing can, more input is the only
  thing that helps, whichever stream the merge reads first;
- queues stay short by themselves. They grow only if a merge does not read a stream; that has a
  limit (`MAX_WAITING_BYTES`) and then is an error, not a swap storm.

`<parallelprocess>`: a pool of threads works on several items at a time, the output keeps the
input's order, and at most twice as many items as threads are under way.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from elastron.errors import ReconstructionError
from elastron.gadgets.base import Gadget, Item
from elastron.gadgets.branching import Branch, Merge, Streams
from elastron.pipeline.chain import Named, Run, Step, attributed, close_generator, run_steps
from elastron.pipeline.queue import item_bytes

#: Most bytes that wait in all queues of one parallel node.
MAX_WAITING_BYTES = 2 << 30


class _StoppedError(BaseException):
    """The node is being taken down; no gadget's `except Exception` may hold that up."""


class _Group:
    """Queues and threads of one parallel node, under one lock."""

    def __init__(self, threads: int) -> None:
        self.changed = threading.Condition()
        self.running = threads
        self.waiters: list[Callable[[], bool]] = []
        self.waiting_bytes = 0
        self.stopped = False
        self.error: Exception | None = None

    @property
    def idle(self) -> bool:
        """Every thread that has not ended waits, and none has got what it waits for."""
        return len(self.waiters) == self.running and not any(ready() for ready in self.waiters)

    def stop(self, error: Exception | None = None) -> None:
        """Take the node down; the first error is the one raised to the caller."""
        with self.changed:
            self.error = self.error or error
            self.stopped = True
            self.changed.notify_all()

    def wait_for(self, ready: Callable[[], bool]) -> None:
        """Wait in one of the node's threads; the lock is held."""
        self.waiters.append(ready)
        self.changed.notify_all()  # the caller's thread looks at `idle`
        self.changed.wait_for(lambda: self.stopped or ready())
        self.waiters.remove(ready)
        if self.stopped:
            raise _StoppedError


class _Channel:
    """A queue of one group. Iterating ends when it is closed and empty; put drops when closed."""

    def __init__(self, group: _Group) -> None:
        self.group = group
        self.items: deque[Item] = deque()
        self.closed = False

    @property
    def ready(self) -> bool:
        return self.closed or bool(self.items)

    def put(self, item: Item) -> None:
        group = self.group
        with group.changed:
            if group.stopped:
                raise _StoppedError
            if self.closed:
                return
            group.waiting_bytes += item_bytes(item)
            if group.waiting_bytes > MAX_WAITING_BYTES:
                raise ReconstructionError(
                    f"More than {MAX_WAITING_BYTES >> 20} MiB wait in a <parallel> node: its merge "
                    "leaves a stream unread. Merge as the data come, or cut the scan into parts."
                )
            self.items.append(item)
            group.changed.notify_all()

    def close(self) -> None:
        with self.group.changed:
            self.closed = True
            self.group.changed.notify_all()

    def clear(self) -> None:
        """Drop what waits."""
        while self.items:
            self.pop()

    def pop(self) -> Item:
        """The first item; the lock is held and there is one."""
        item = self.items.popleft()
        self.group.waiting_bytes -= item_bytes(item)
        return item

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self.group.changed:
            if not self.ready:
                self.group.wait_for(lambda: self.ready)
            if self.items:
                return self.pop()
        raise StopIteration


class _Outputs(Streams):
    """The streams' outputs as the merge sees them."""

    def __init__(self, channels: dict[str, _Channel], group: _Group) -> None:
        self._channels = channels
        self._group = group

    def __getitem__(self, key: str) -> Iterator[Item]:
        return self._channels[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def as_ready(self) -> Iterator[tuple[str, Item]]:
        """(key, item) in order of arrival; streams take turns when several have items."""
        channels = deque(self._channels.items())
        while channels:
            with self._group.changed:
                if not any(channel.ready for _, channel in channels):
                    self._group.wait_for(lambda: any(each.ready for _, each in channels))
                key, channel = next(each for each in channels if each[1].ready)
                item = channel.pop() if channel.items else None
            channels.remove((key, channel))
            if item is not None:
                channels.append((key, channel))
                yield key, item


@dataclass(frozen=True, slots=True)
class ParallelStep:
    """A `<parallel>` node.

    Attributes:
        branch: with its name.
        merge: with its name.
        streams: key -> steps; none for a stream that passes everything on.
    """

    branch: tuple[Named, Branch]
    merge: tuple[Named, Merge]
    streams: dict[str, tuple[Step, ...]]

    def __call__(self, items: Iterable[Item], run: Run) -> Iterator[Item]:
        """Run the node over `items`."""
        steps = {key: steps for key, steps in self.streams.items() if steps}
        group = _Group(threads=len(steps) + 1)
        inputs = {key: _Channel(group) for key in self.streams}
        outputs = {key: _Channel(group) if key in steps else inputs[key] for key in self.streams}
        merged = _Channel(group)
        named, merge = self.merge

        def merge_streams() -> Iterator[Item]:
            # The merge's input errors are the streams' own and never raised here.
            return attributed(named, lambda _: merge.merge(_Outputs(outputs, group)), ())

        threads = [
            _start(
                lambda key=key: run_steps(steps[key], inputs[key], run), inputs[key], outputs[key]
            )
            for key in steps
        ]
        threads.append(_start(merge_streams, None, merged))
        try:
            yield from self._drive(iter(items), inputs, merged, group)
        finally:
            group.stop()
            for thread in threads:
                thread.join()
            close_generator(items)

    def _drive(
        self,
        items: Iterator[Item],
        inputs: dict[str, _Channel],
        merged: _Channel,
        group: _Group,
    ) -> Iterator[Item]:
        """Feed the streams and put out what the merge makes, in the caller's thread."""
        named, branch = self.branch
        keys = tuple(inputs)
        exhausted = False
        while True:
            item = None  # while waiting, let go of the last one's arrays
            with group.changed:
                group.changed.wait_for(
                    lambda: group.stopped or merged.ready or (group.idle and not exhausted)  # noqa: B023  evaluated at once
                )
                if group.error is not None:
                    raise group.error
                if merged.items:
                    item = merged.pop()
                elif merged.closed:
                    return
            if item is not None:
                yield item
                continue
            try:
                item = next(items)
            except StopIteration:
                exhausted = True
                for channel in inputs.values():
                    channel.close()
                continue
            if not isinstance(item, branch.accepts):
                yield item
                continue
            try:
                chosen = tuple(branch.route(item, keys))
            except Exception as error:
                raise named.failure(error) from error
            for key in chosen:
                inputs[key].put(item)


def _start(
    make: Callable[[], Iterator[Item]], source: _Channel | None, output: _Channel
) -> threading.Thread:
    """Run an iterator in a thread of its own: from `source` (None: it has several) to `output`."""
    group = output.group

    def work() -> None:
        try:
            for item in make():
                output.put(item)
        except _StoppedError:
            pass
        except Exception as error:  # raised in the caller's thread
            group.stop(error)
        finally:
            with group.changed:
                group.running -= 1
                output.close()
                if source is not None:
                    source.close()  # nobody reads it any more
                    source.clear()

    thread = threading.Thread(target=work, name="parallel", daemon=True)
    thread.start()
    return thread


@dataclass(frozen=True, slots=True)
class ParallelProcessStep:
    """A `<parallelprocess>` node: pure gadgets on a pool of threads.

    Attributes:
        gadgets: in order, with their names; each treats single items, whatever came before.
        workers: threads; 0 for one a core.
    """

    gadgets: tuple[tuple[Named, Gadget], ...]
    workers: int

    def __call__(self, items: Iterable[Item], run: Run) -> Iterator[Item]:
        """Run the node over `items`."""
        workers = self.workers or os.cpu_count() or 1
        jobs = _Jobs(limit=2 * workers)
        with ThreadPoolExecutor(workers, "parallelprocess") as pool:

            def feed() -> None:
                try:
                    for item in items:
                        if not jobs.put(lambda item=item: pool.submit(self._process, item)):
                            return
                    jobs.close()
                except Exception as error:  # raised in the caller's thread
                    jobs.close(error)

            feeder = threading.Thread(target=feed, name="parallelprocess-input", daemon=True)
            feeder.start()
            ended = False
            try:
                for job in jobs:
                    yield from job.result()
                ended = True
            finally:
                jobs.stop()
                if not ended:
                    run.abort()  # the feeder may wait for input
                feeder.join()
                close_generator(items)

    def _process(self, item: Item) -> list[Item]:
        """One item through all gadgets."""
        output: Iterator[Item] = iter((item,))
        for named, gadget in self.gadgets:
            output = attributed(named, gadget, output)
        return list(output)


class _Jobs:
    """Jobs under way, in order, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: deque[Future[list[Item]]] = deque()
        self._closed = False
        self._stopped = False
        self._error: Exception | None = None
        self._changed = threading.Condition()

    def put(self, start: Callable[[], Future[list[Item]]]) -> bool:
        """Start a job when there is room; False if nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._jobs) < self._limit)
            if self._stopped:
                return False
            self._jobs.append(start())
            self._changed.notify_all()
        return True

    def close(self, error: Exception | None = None) -> None:
        with self._changed:
            self._closed, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            for job in self._jobs:
                job.cancel()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Future[list[Item]]]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                if not self._jobs:
                    if self._error is not None:
                        raise self._error
                    return
                job = self._jobs.popleft()
                self._changed.notify_all()
            yield job
