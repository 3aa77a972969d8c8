"""Who works on which part, and what follows when somebody fails.

No threads of its own and no clock: the step calls it, under its lock, and tells the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elastron.errors import CapacityError, ConfigError, ConnectError, ElastronError, RemoteError
from elastron.pipeline.attempt import LocalAttempt, PeerAttempt
from elastron.pipeline.chain import Named
from elastron.pipeline.parts import ATTEMPTS_MAX, Part
from elastron.pipeline.peer_choice import PeerChoice
from elastron.pipeline.remote import WorkerDiedError

Attempt = PeerAttempt | LocalAttempt


class Dispatch:
    """The waiting parts and the attempts at the others.

    Args:
        named: the step's place, for errors.
        log: of the session.
        wait_s: longest wait for a peer of a part that cannot be worked on here.
        on_peer: makes an attempt on a peer.
        here: makes an attempt in this process.

    Attributes:
        attempts: under way; some of them may have lost their part already.
    """

    def __init__(
        self,
        named: Named,
        log: Any,
        wait_s: float,
        *,
        on_peer: Callable[[Part, str], PeerAttempt],
        here: Callable[[Part], LocalAttempt],
    ) -> None:
        self._named = named
        self._log = log
        self._wait_s = wait_s
        self._on_peer = on_peer
        self._here = here
        self._choice = PeerChoice()
        self._waiting: dict[int, Part] = {}
        self._unable: Exception | None = None  # why no part can be worked on here
        self._warned = False
        self.attempts: set[Attempt] = set()

    @property
    def waiting(self) -> bool:
        """Some part has nobody."""
        return bool(self._waiting)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that peers are taking just now."""
        return sum(
            attempt.part.spool.nbytes - attempt.sent_bytes
            for attempt in self.attempts
            if isinstance(attempt, PeerAttempt)
            and attempt.connected
            and not attempt.blocked
            and attempt.part.work is attempt
        )

    def open_links(self) -> list[PeerAttempt]:
        """Links whose parts wait for data."""
        return [
            attempt
            for attempt in self.attempts
            if isinstance(attempt, PeerAttempt) and attempt.idle and not attempt.part.complete
        ]

    def want(self, part: Part) -> None:
        """A part has data and needs somebody."""
        if part.waiting:
            self._waiting[part.number] = part

    def assign(self, peers: list[str], now: float) -> None:
        """Give parts to whoever can take them, first parts first.

        Args:
            peers: as discovered, best first.
            now: time.

        Raises:
            ElastronError: a part waits for somebody who will not come.
        """
        self._choice.update(peers)
        known = self._choice.known
        anybody = True  # is free; many parts may wait, and each result calls us
        for part in self._in_order():
            if known and part.avoided.issuperset(known):
                part.avoided.clear()  # better the same again than nobody
            peer = self._choice.choose(now, part.avoided) if anybody else None
            if peer is not None:
                self._choice.started(peer, now)
                self._start(part, self._on_peer(part, peer))
                continue
            anybody = anybody and bool(part.avoided)
            if part.waiting_since is None:
                part.waiting_since = now
        if self._waiting and self._stuck:
            self._work_here(now)

    def patience_s(self, now: float, longest_s: float) -> float:
        """Seconds until another look at the waiting parts makes sense."""
        moment = self._choice.next_time(now)
        return longest_s if moment is None else min(max(moment - now, 0.001), longest_s)

    def ended(self, attempt: Attempt, error: Exception | None, now: float) -> None:
        """An attempt at a part ended; the part is finished, or waits again.

        Raises:
            ElastronError: it was one failure too many.
        """
        self.attempts.discard(attempt)
        part = attempt.part
        wanted = part.work is attempt
        if isinstance(attempt, PeerAttempt):
            self._judge(attempt.peer, error, wanted=wanted, now=now)
        if not wanted:
            return
        if error is None:
            part.work = None
            part.finished = True
            return
        part.restart()
        self.want(part)
        self._consider(attempt, error)

    def _in_order(self) -> list[Part]:
        return [self._waiting[number] for number in sorted(self._waiting)]

    @property
    def _stuck(self) -> bool:
        """Nobody works on anything of ours, or all who do wait for us."""
        return all(attempt.blocked for attempt in self.attempts if attempt.part.work is attempt)

    def _start(self, part: Part, attempt: Attempt) -> None:
        del self._waiting[part.number]
        part.work = attempt
        part.waiting_since = None
        self.attempts.add(attempt)
        attempt.start()

    def _work_here(self, now: float) -> None:
        if self._unable is None:
            part = next(
                (each for each in self._in_order() if each.complete and not each.died), None
            )
            if part is not None:
                if not self._warned:
                    self._warned = True
                    self._log.warning(
                        "no other node takes a part of this scan: this node works on it itself",
                        peers=len(self._choice.known),
                    )
                self._start(part, self._here(part))
                return
        for part in self._in_order():
            hopeless = self._unable is not None and not self._choice.known
            waited_s = now - (part.waiting_since or now)
            if hopeless or ((self._unable or part.died) and waited_s > self._wait_s):
                reasons = [str(self._unable)] if self._unable else []
                if part.failures:
                    reasons.append(_told(part))
                raise self._named.failure(
                    RemoteError(f"no node is there to work on a part: {'; '.join(reasons)}")
                )

    def _judge(self, peer: str, error: Exception | None, *, wanted: bool, now: float) -> None:
        """What an attempt's end says of its peer."""
        if not wanted or isinstance(error, RemoteError):
            self._choice.stopped(peer)
        elif error is None:
            self._choice.succeeded(peer)
        elif isinstance(error, CapacityError):
            self._choice.full(peer, now)
        else:
            self._choice.failed(peer, now)

    def _consider(self, attempt: Attempt, error: Exception) -> None:
        """What a failure says of the part."""
        part = attempt.part
        if isinstance(error, CapacityError):
            self._log.debug("a peer has no place", peer=attempt.peer)
            return
        if isinstance(attempt, LocalAttempt):
            if not isinstance(error, ConfigError):  # else: others may have what we lack
                raise error if isinstance(error, ElastronError) else self._named.failure(error)
            self._unable = error
            return
        self._log.warning("a peer failed", peer=attempt.peer, part=part.number, reason=str(error))
        if isinstance(error, ConnectError):
            return
        part.failures.append((attempt.peer, str(error)))
        part.avoided.add(attempt.peer)
        part.died = part.died or isinstance(error, WorkerDiedError)
        nobody_else = isinstance(error, RemoteError) and part.avoided.issuperset(self._choice.known)
        if nobody_else or len(part.failures) >= ATTEMPTS_MAX:
            raise self._named.failure(RemoteError(_told(part)))


def _told(part: Part) -> str:
    """What became of a part, in words."""
    reasons = "; ".join(f"node {peer}: {reason}" for peer, reason in part.failures)
    times = f"{len(part.failures)} time{'s' * (len(part.failures) != 1)}"
    return f"part {part.number + 1} (index {part.key}) failed {times}: {reasons}"
