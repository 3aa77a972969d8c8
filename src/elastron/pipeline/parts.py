"""One part of a distributed scan: its data, who works on it, what came of it.

A part is over for certain when the scan's input is. It may look complete before (`quiet`): then it
is closed, so that its results are made and its peer is free; but results of that closing are put
out only when nothing can follow any more. Data that follow all the same reopen the part: it is
worked on again from its start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from elastron.gadgets.base import Item
from elastron.pipeline.once import Once
from elastron.pipeline.queue import item_bytes
from elastron.pipeline.spool import Spool
from elastron.pipeline.tasks import Task


class Work(Protocol):
    """Somebody's work on a part.

    Attributes:
        closing: the data were said to be complete.
        blocked: it waits for its results to be taken.
    """

    closing: bool
    blocked: bool

    def abort(self) -> None:
        """Stop it; its results are not wanted any more."""
        ...


@dataclass(slots=True, eq=False)
class Part(Task):
    """A part. Everything but the spool's reading is under the step's lock.

    Attributes:
        number: in order of first items.
        key: the distributor's, for messages.
        spool: its data.
        last_data: when the last came.
        ended: nothing can follow.
        quiet: nothing seems to follow.
        work: who works on it now.
        finished: the work on all of its data is done.
        waiting_since: for a peer; None while it is worked on.
        held_bytes: of results that wait.
    """

    number: int
    key: Hashable
    spool: Spool
    last_data: float
    ended: bool = False
    quiet: bool = False
    work: Work | None = None
    finished: bool = False
    waiting_since: float | None = None
    held_bytes: int = 0
    _results: deque[tuple[Item, bool]] = field(default_factory=deque)
    _once: Once = field(default_factory=Once)

    def __str__(self) -> str:
        return f"part {self.number + 1} (index {self.key})"

    @property
    def complete(self) -> bool:
        """All data seem to be there."""
        return self.ended or self.quiet

    @property
    def waiting(self) -> bool:
        """It has data that nobody works on."""
        return self.work is None and not self.finished and len(self.spool) > 0

    @property
    def over(self) -> bool:
        """Nothing more will come of it."""
        return self.ended and (self.finished or not len(self.spool)) and not self._results

    def reopen(self) -> bool:
        """More data come; True if it had been closed too early and must be worked on again."""
        closed = self.finished or (self.work is not None and self.work.closing)
        self.quiet = False
        if closed:
            if self.work is not None:
                self.work.abort()
            self.restart()
        return closed

    def restart(self) -> None:
        """Back to the start: nobody works on it, what was not put out is forgotten."""
        self.work = None
        self.finished = False
        self._results.clear()
        self.held_bytes = 0
        self._once.again()

    def add(self, item: Item, *, certain: bool) -> None:
        """A result came.

        Args:
            item: the result.
            certain: it does not depend on whether more data follow.
        """
        new = self._once.new(item)
        if new is not None:
            self._results.append((new, certain))
            self.held_bytes += item_bytes(new)

    def take(self) -> Iterator[Item]:
        """Results that may be put out, in order."""
        while self._results and (self.ended or self._results[0][1]):
            item, _ = self._results.popleft()
            self.held_bytes -= item_bytes(item)
            if not (self.ended and self.finished):
                self._once.put_out(item)
            yield item
