"""Which peer gets the next part: load-aware, and patient with peers in trouble.

Pure: no I/O, and time is an argument (seconds of any monotonic clock).

The order in which peers were discovered is the gateway's: least loaded first. Our own parts weigh
more, because nobody knows of them yet: the peer with the fewest of ours is taken, the first of
several. Nobody says how many parts a peer takes: it refuses one too many. So one more than it has
done at a time before is tried only after a moment without a refusal. A peer that said it is full is
asked again when one of ours has ended there, or after a while; one that failed is left
alone for a time that doubles with each failure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from elastron.errors import CapacityError, RemoteError

#: Parts of one scan on one peer at most: a Gadgetron takes any number, and swaps.
PARTS_PER_PEER_MAX = 16
#: A refusal comes within this time.
TRIAL_S = 0.1
#: A full peer is asked again after so long, doubled by each further refusal.
FULL_PAUSE_S = 0.25
#: The same for one that has parts of ours. It gets the next when one of them ends; only one more
#: than that is tried so seldom, as each refusal costs both nodes a connection.
TRIAL_PAUSE_S = 1.0
FULL_PAUSE_MAX_S = 8.0
#: The same for one that failed or cannot be reached.
FAILED_PAUSE_S = 0.5
FAILED_PAUSE_MAX_S = 30.0

_LONG_AGO = float("-inf")


@dataclass(slots=True)
class _Peer:
    """What is known of one peer."""

    parts: int = 0  # of ours that are there now
    proven: int = 1  # so many at a time it takes
    blocked_until: float = _LONG_AGO
    trial_until: float = _LONG_AGO  # for one more than proven
    refusals: int = 0
    failures: int = 0
    listed: bool = True

    def free_at(self) -> float:
        """When it may be given one more part."""
        if self.parts >= self.proven:
            return max(self.blocked_until, self.trial_until)
        return self.blocked_until


class PeerChoice:
    """The peers of one scan."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}

    @property
    def known(self) -> tuple[str, ...]:
        """Peers of the last discovery, in its order."""
        return tuple(name for name, peer in self._peers.items() if peer.listed)

    @property
    def parts(self) -> int:
        """Parts of ours under way on all peers."""
        return sum(peer.parts for peer in self._peers.values())

    def update(self, names: Sequence[str]) -> None:
        """Take note of a discovery: new peers come in, missing ones (drained, gone) get no more."""
        before = self._peers
        self._peers = {name: before.get(name) or _Peer() for name in names}
        for name, peer in before.items():
            if name not in self._peers and (peer.parts or peer.failures):
                self._peers[name] = peer
        for name, peer in self._peers.items():
            peer.listed = name in names

    def choose(self, now: float, exclude: Collection[str] = ()) -> str | None:
        """The peer for the next part; None if none can take it now.

        Args:
            now: time.
            exclude: peers that failed this part.
        """
        usable = [
            (peer.parts, order, name)
            for order, (name, peer) in enumerate(self._peers.items())
            if name not in exclude and self._open(peer) and peer.free_at() <= now
        ]
        return min(usable)[2] if usable else None

    def next_time(self, now: float) -> float | None:
        """When a peer that is left alone now may be asked again; None: time changes nothing."""
        times = [peer.free_at() for peer in self._peers.values() if self._open(peer)]
        return min((time for time in times if time > now), default=None)

    def started(self, name: str, now: float) -> None:
        """A part goes there."""
        peer = self._peers.setdefault(name, _Peer())
        peer.parts += 1
        peer.trial_until = max(peer.trial_until, now + TRIAL_S)

    def ended(self, name: str, error: Exception | None, now: float) -> None:
        """A part of ours has ended there; what its error says of the peer is taken note of."""
        if isinstance(error, RemoteError):
            self.stopped(name)
        elif error is None:
            self.succeeded(name)
        elif isinstance(error, CapacityError):
            self.full(name, now)
        else:
            self.failed(name, now)

    def succeeded(self, name: str) -> None:
        """A part of ours is done there."""
        peer = self._peers[name]
        if peer.parts > peer.proven:
            peer.proven, peer.refusals = peer.parts, 0
        peer.parts -= 1
        peer.failures = 0
        peer.blocked_until = _LONG_AGO

    def stopped(self, name: str) -> None:
        """A part of ours was taken back; nothing follows for the peer."""
        self._peers[name].parts -= 1

    def full(self, name: str, now: float) -> None:
        """It refused a part for want of a place."""
        peer = self._peers[name]
        peer.parts -= 1
        first = TRIAL_PAUSE_S if peer.parts else FULL_PAUSE_S
        pause = min(first * 2**peer.refusals, FULL_PAUSE_MAX_S)
        peer.refusals += 1
        peer.proven = max(1, peer.parts)
        if peer.parts:
            peer.trial_until = now + pause
        else:
            peer.blocked_until = now + pause

    def failed(self, name: str, now: float) -> None:
        """It failed a part, or could not be reached."""
        peer = self._peers[name]
        peer.parts -= 1
        pause = min(FAILED_PAUSE_S * 2**peer.failures, FAILED_PAUSE_MAX_S)
        peer.failures += 1
        peer.blocked_until = now + pause

    @staticmethod
    def _open(peer: _Peer) -> bool:
        return peer.listed and peer.parts < PARTS_PER_PEER_MAX
