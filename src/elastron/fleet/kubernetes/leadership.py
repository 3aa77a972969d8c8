"""Which of several controllers acts: a Lease, as Kubernetes' own have it. Pure.

Clocks of machines differ, so a lease counts as expired only when *we* have seen it unchanged for
its duration by our own clock (as client-go does).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

#: As client-go's defaults: renewed every 2 s of the 15 s it holds.
DURATION_S = 15
RENEW_S = 2.0
#: A leader that could not renew stops acting before anybody else may begin.
GIVE_UP_S = 10.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as read.

    Attributes:
        holder: who has it; empty: nobody.
        version: `resourceVersion`, for writing only what was read.
        renewed: its renewTime as text; only compared.
        duration_s: how long it holds unrenewed.
        transitions: how often it has changed hands.
    """

    holder: str
    version: str
    renewed: str
    duration_s: float = DURATION_S
    transitions: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that wants to lead; what it has seen so far.

    Attributes:
        name: unique among the candidates.
        seen: the lease as it was when it last changed.
        seen_at: when that was, on our monotonic clock.
        renewed_at: when we last wrote it; None: we do not lead.
    """

    name: str
    seen: Lease | None = None
    seen_at: float = 0.0
    renewed_at: float | None = None

    def saw(self, lease: Lease | None, now: float) -> Candidate:
        """The candidate after it has read the lease."""
        changed = lease != self.seen
        mine = lease is not None and lease.holder == self.name
        return replace(
            self,
            seen=lease,
            seen_at=now if changed else self.seen_at,
            renewed_at=self.renewed_at if mine else None,
        )

    def may_write(self, now: float) -> bool:
        """It may write its name: there is no lease, it is ours, given back, or has expired."""
        lease = self.seen
        if lease is None or not lease.holder or lease.holder == self.name:
            return True
        return now - self.seen_at > lease.duration_s

    def wrote(self, lease: Lease, now: float) -> Candidate:
        """The candidate after the API took its lease."""
        return replace(self, seen=lease, seen_at=now, renewed_at=now)

    def leads(self, now: float) -> bool:
        """It may act now."""
        return self.renewed_at is not None and now - self.renewed_at < GIVE_UP_S
