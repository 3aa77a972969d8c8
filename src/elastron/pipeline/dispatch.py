"""Who works on which part, and what follows when somebody fails.

No threads of its own and no clock: the step calls it, under its lock, and tells the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from elastron.pipeline.attempt import LocalAttempt, PeerAttempt
from elastron.pipeline.chain import Named
from elastron.pipeline.parts import Part
from elastron.pipeline.peer_choice import PeerChoice
from elastron.pipeline.tasks import Judge

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
        self._wait_s = wait_s
        self._on_peer = on_peer
        self._here = here
        self._choice = PeerChoice()
        self._judge = Judge(named, log, self._choice)
        self._waiting: dict[int, Part] = {}
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
            if wanted:
                self._choice.ended(attempt.peer, error, now)
            else:
                self._choice.stopped(attempt.peer)
        if not wanted:
            return
        if error is None:
            part.work = None
            part.finished = True
            return
        part.restart()
        self.want(part)
        if isinstance(attempt, LocalAttempt):
            self._judge.failed_here(error)
        else:
            self._judge.failed(attempt.peer, error, part, part=part.number)

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
        unable = self._judge.unable
        if unable is None:
            part = next(
                (each for each in self._in_order() if each.complete and not each.died), None
            )
            if part is not None:
                self._judge.works_here()
                self._start(part, self._here(part))
                return
        for part in self._in_order():
            hopeless = unable is not None and not self._choice.known
            waited_s = now - (part.waiting_since or now)
            if hopeless or ((unable or part.died) and waited_s > self._wait_s):
                raise self._judge.nobody(part, "a part")
