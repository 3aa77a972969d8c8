"""What the gateway knows of one node, and what follows from it. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from elastron.fleet.model import Node, NodeState
from elastron.gateway.discovery import Found
from elastron.gateway.node_settings import RegistrySettings
from elastron.gateway.probing import Status

#: A missed answer is asked for again after so long, before the node counts as dead.
_RETRY_S = 0.1
_AVOID_S_MAX = 600.0


@dataclass(slots=True, eq=False)
class Member:
    """One node.

    Attributes:
        found: what discovery says of it.
        settings: the registry's.
        began: when it was found, on the caller's clock (seconds).
        removed: discovery knows it no more; it drains.
        status: what it said last; None: it has never answered.
        others: scans it runs beyond ours.
        places: our scans there, by their handle: bytes of memory each was estimated at.
        misses: answers in a row that did not come.
        error: why it is not as it should be; empty: nothing is known against it.
    """

    found: Found
    settings: RegistrySettings
    began: float
    removed: bool = False
    status: Status | None = None
    others: int = 0
    places: dict[object, int] = field(default_factory=dict)
    misses: int = 0
    error: str = ""
    _used: int = 0
    _drains: bool = False
    _faults: int = 0
    _avoid_until: float = 0.0
    _unreachable: int = 0
    _blocked_until: float = 0.0
    _full_until: float = 0.0

    # --- what happens ---------------------------------------------------------------------------

    def rediscovered(self, found: Found, now: float) -> None:
        """Discovery tells of it anew; at another address it is another node of the same name."""
        if found.address != self.found.address:
            self.status, self.others, self.misses, self.error = None, 0, 0, ""
            self.began = now
            self.scan_succeeded()
        self.found = found
        self.removed = self._drains = False

    def take(self, place: object, memory_bytes: int, used: int) -> None:
        """A scan of ours goes there.

        Args:
            place: handle of its place.
            memory_bytes: estimate of what it will take.
            used: number of the placement.
        """
        self.places[place] = memory_bytes
        self._used = used

    def give_back(self, place: object) -> None:
        """The scan has left."""
        self.places.pop(place, None)

    def answered(self, status: Status, *, own_before: int) -> None:
        """It said how it is.

        Args:
            status: what it said.
            own_before: our scans there when it was asked.
        """
        self.misses = 0
        if not self._faults and not self._unreachable:
            self.error = ""
        self._drains = status.draining
        if (status.full or status.draining) and status.capacity is None:  # a refusal, no status
            known = self.status or Status()
            self.status = replace(known, draining=status.draining, full=status.full, ready=True)
            return
        self.status = status
        # A scan that came or went while it was asked may or may not be counted: rather too few
        # others than too many, as a full node says so.
        own = max(own_before, len(self.places))
        self.others = 0 if status.running is None else max(0, status.running - own)

    def unanswered(self, reason: str) -> None:
        """It did not say how it is."""
        self.misses += 1
        self.error = reason

    def scan_failed(self, reason: str, now: float, *, unreachable: bool) -> None:
        """A scan met a fault there."""
        self.error = reason
        if unreachable:
            self._unreachable += 1
            self._blocked_until = now + self._back_off_s(self._unreachable)
        else:
            self._faults += 1
            pause_s = self.settings.avoid_s * 2 ** min(16, self._faults - 1)
            self._avoid_until = now + min(_AVOID_S_MAX, pause_s)

    def scan_succeeded(self) -> None:
        """A scan ended well there."""
        self._faults = self._unreachable = 0
        self._avoid_until = self._blocked_until = 0.0
        if not self.misses:
            self.error = ""

    def refused_full(self, now: float) -> None:
        """It refused a scan of ours for want of a place."""
        self._full_until = now + self.settings.start_interval_s

    def refused_draining(self) -> None:
        """It refused a scan of ours because it drains."""
        self._drains = True

    # --- what follows ---------------------------------------------------------------------------

    @property
    def own(self) -> int:
        """Our scans there."""
        return len(self.places)

    @property
    def lost(self) -> bool:
        """It answers nobody, so our scans there are lost."""
        return self.misses >= self.settings.failures_max

    @property
    def capacity(self) -> int:
        """Scans at once."""
        told = None if self.status is None else self.status.capacity
        return self.settings.capacity_assumed if told is None else told

    def state(self, now: float) -> NodeState:
        """Where it is in its life."""
        return self._hindrance(now) or (
            NodeState.BUSY if self.running(now) >= self.capacity else NodeState.READY
        )

    def _hindrance(self, now: float) -> NodeState | None:
        """Why nothing is placed there, other than that it is full."""
        if self.status is None:
            young = now - self.began < self.settings.start_s_max
            return NodeState.STARTING if young else NodeState.DEAD
        if self.lost:
            return NodeState.DEAD
        if self.removed or self._drains:
            return NodeState.DRAINING
        if now < self._blocked_until:
            return NodeState.DEAD
        return None if self.status.ready else NodeState.STARTING

    def running(self, now: float) -> int:
        """Scans it runs, ours and others'."""
        known = self.own + self.others
        refused = now < self._full_until or (self.status is not None and self.status.full)
        return max(known, self.capacity) if refused else known

    def node(self, now: float, before: Node | None) -> Node:
        """It as the fleet's policies see it.

        Args:
            now: on the caller's clock (seconds).
            before: what this gave last.
        """
        state = self.state(now)
        status = self.status or Status()
        return Node(
            id=self.found.id,
            address=self.found.address,
            admin=self.found.admin,
            pool=self.found.pool,
            state=state,
            capacity=self.capacity,
            running=self.running(now),
            capabilities=self.found.capabilities | status.capabilities,
            memory_bytes=status.memory_bytes,
            memory_used_bytes=sum(self.places.values()),
            since=before.since if before is not None and before.state is state else now,
            # A missed answer is a reason to look elsewhere before it is certain.
            avoid_until=now + _AVOID_S_MAX if self.misses else self._avoid_until,
            used=self._used,
        )

    def pause_s(self, now: float, least_s: float = 0.0) -> float:
        """Seconds until it is to be asked again.

        Args:
            now: on the caller's clock (seconds).
            least_s: for a node with which all is well: there may be very many of them.
        """
        settings = self.settings
        usual_s = settings.poll_interval_s if self.found.admin else settings.query_interval_s
        usual_s = max(usual_s, least_s)
        if self.status is None:
            if now - self.began < settings.start_s_max:
                return settings.start_interval_s
            return settings.back_off_s_max
        if self.misses:
            late = self.misses - settings.failures_max
            return _RETRY_S if late < 0 else self._back_off_s(late + 1)
        if not self.status.ready or (self.others and self.own + self.others >= self.capacity):
            usual_s = min(usual_s, settings.start_interval_s)
        for moment in (self._blocked_until, self._full_until):
            if now < moment:
                usual_s = min(usual_s, moment - now)
        return usual_s

    def _back_off_s(self, times: int) -> float:
        settings = self.settings
        return min(settings.back_off_s_max, settings.back_off_s * 2 ** min(16, times - 1))


def describe(node: Node, member: Member) -> dict[str, Any]:
    """A node as `GET /fleet` tells it."""
    return {
        "id": node.id,
        "address": node.address,
        "admin": node.admin,
        "pool": node.pool,
        "state": node.state.value,
        "capacity": node.capacity,
        "running": node.running,
        "placed": member.own,
        "capabilities": sorted(node.capabilities),
        "memory_bytes": node.memory_bytes,
        "memory_used_bytes": node.memory_used_bytes,
        "error": member.error or None,
    }
