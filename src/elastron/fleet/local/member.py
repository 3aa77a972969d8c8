"""One node process, as the backend sees it; what is to be done with it is decided here.

Pure: the clock is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from elastron.fleet.local.folder import Order, Record
from elastron.fleet.model import Node, NodeState

#: From being asked for to its record: a fork takes milliseconds, a warm-up before it seconds.
BEGIN_S = 60.0
#: From being asked for to taking scans; a slow disk reads the libraries within it.
START_S = 180.0
#: From leaving the gateway's list to SIGTERM; the gateway looks at the list every 0.2 s.
WITHDRAW_S = 0.5
#: Answers to health questions missed in a row, one each `HEALTH_S`: the process hangs.
MISSES_MAX = 10
HEALTH_S = 3.0


class Deed(StrEnum):
    """What a node process needs."""

    NOTHING = "nothing"
    GIVE_UP = "give up"  # it never began
    BURY = "bury"  # it has ended
    RETIRE = "retire"  # it has left the list for long enough: SIGTERM, unless it is busy
    KILL = "kill"  # it hangs


@dataclass(slots=True, eq=False)
class Member:
    """A node process.

    Attributes:
        order: what it was told.
        asked: when it was asked for, or adopted (s).
        record: what it says of itself; None until it has begun.
        leaving: it is to go.
        if_idle: only if it runs no scan; else it stays after all.
        withdrawn: when it was taken off the gateway's list (s).
        terminated: when it was told to end (s).
        misses: health questions without an answer, in a row.
        cores: those it was given; None: never any.
    """

    order: Order
    asked: float
    record: Record | None = None
    leaving: bool = False
    if_idle: bool = False
    withdrawn: float = 0.0
    terminated: float | None = None
    misses: int = 0
    cores: frozenset[int] | None = None

    @property
    def name(self) -> str:
        """Its name in the fleet."""
        return self.order.name

    @property
    def serving(self) -> bool:
        """It belongs on the gateway's list."""
        return self.record is not None and self.record.ready and not self.leaving

    def deed(self, now: float, *, alive: bool, lost: bool, leave_s: float) -> Deed:
        """What it needs.

        Args:
            now: on the clock of `asked` (s).
            alive: its process runs.
            lost: it was launched, and will not begin any more.
            leave_s: how long its end may take after it was told to go.
        """
        if self.record is None:
            late = now - self.asked > BEGIN_S
            return Deed.GIVE_UP if lost or late else Deed.NOTHING
        if not alive:
            return Deed.BURY
        if self.terminated is not None:
            late = now - self.terminated > leave_s
            return Deed.KILL if late else Deed.NOTHING
        slow = not self.record.ready and now - self.asked > START_S
        if slow or self.misses >= MISSES_MAX:
            return Deed.KILL
        if self.leaving and now - self.withdrawn >= WITHDRAW_S:
            return Deed.RETIRE
        return Deed.NOTHING

    def node(self) -> Node:
        """As the fleet's policies see it; how many scans it runs is the gateway's to say."""
        if self.leaving:
            state = NodeState.DRAINING
        elif self.record is not None and self.record.ready:
            state = NodeState.READY
        else:
            state = NodeState.STARTING
        record, settings = self.record, self.order.settings
        return Node(
            id=self.name,
            address="" if record is None or record.address is None else record.address,
            admin=None if record is None else record.admin,
            pool=self.order.pool,
            state=state,
            capacity=int(settings.get("capacity", 1)),
            since=self.asked,
        )
