"""One scan on its way through the gateway: where it is, and what to do next. No I/O, no clock.

The caller places, connects, reads and writes, and tells the relay what happened; each event
answers with a `Step`. Whatever comes late (from a connection given up, after the end) is met
with WAIT or DROP.

    PLACING ── placed ──> CONNECTING ── connected ──> RUNNING ── output(CLOSE) ──> ENDED
       ^                      │                          │
       └── PLACE <── refused ─┴── lost, stalled, fault ──┘         (too often: END)

A failure counts against the scan only if its node may have seen some of it: a node that refuses
is no sign that the data is bad. A scan is given up when the process at work on it has died
`crashes_max` times, or when `attempts_max` different nodes have failed in whatever way that
counts. Where there are not so many nodes, each may fail several times, with pauses between.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from elastron.gateway.delivery import Delivery
from elastron.wire.faults import LOCATION, Fault, fault_of, is_error
from elastron.wire.framing import Frame
from elastron.wire.messages import MessageId

#: Nodes in a row that refused the scan, after which it is given up; with the pauses, minutes.
REFUSALS_MAX = 60
#: Where a Gadgetron reports bytes that are no message.
INPUT_LOCATION = f"{LOCATION}/Connection Input Thread"
_PAUSE_FIRST_S = 0.05
_PAUSE_MAX_S = 5.0
#: Failures that count, all nodes together, as a multiple of `attempts_max`.
_ATTEMPTS_FACTOR = 3
#: Replays because what came back did not contain all that had been delivered.
_RECOUNTS_MAX = 2
_WORDS_CHARACTERS_MAX = 200


class Step(Enum):
    """What the caller is to do now."""

    WAIT = "wait"  # nothing
    PLACE = "place"  # leave the node, if any; after `pause_s` ask for one, avoiding `avoid`
    CONNECT = "connect"  # to the node it was placed on
    SEND = "send"  # the scan from its first byte on, as it comes
    DELIVER = "deliver"  # this message to the client
    DROP = "drop"  # this message: the client has it, or must not have it
    FINISH = "finish"  # as END: the node has given all
    END = "end"  # leave the node; to the client `words` as an error, if there are any, and CLOSE


class Phase(Enum):
    """Where the scan is."""

    PLACING = "placing"
    CONNECTING = "connecting"
    RUNNING = "running"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a scan can end; labels of the metrics."""

    OK = "ok"  # all that the node gave was delivered, no error among it
    ERROR = "error"  # the node reported an error of the chain or the data
    FAILED = "failed"  # no node could finish it, or none took it
    LOST = "lost"  # the client went away
    TIMEOUT = "timeout"  # the client was silent, or the scan lasted, too long
    CANCELLED = "cancelled"  # by an operator, or because the gateway stops


class Reason(StrEnum):
    """Why a node was left; labels of the metrics."""

    CONNECTION = "connection"  # not reached, or lost without CLOSE
    WORKER = "worker"  # it says that the process at work on the scan died
    STALLED = "stalled"  # neither took nor gave a byte for too long
    DRAINING = "draining"  # it goes down
    FULL = "full"
    DEAD = "dead"  # it does not answer the registry any more
    RECOUNT = "recount"  # nothing failed; see `Delivery.incomplete`


_REASONS = {
    Fault.WORKER_LOST: Reason.WORKER,
    Fault.NODE_FULL: Reason.FULL,
    Fault.NODE_DRAINING: Reason.DRAINING,
    Fault.NODE_STOPPED: Reason.DRAINING,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A node that did not finish the scan.

    Attributes:
        node: its id.
        reason: kind of failure.
        words: for people.
        counts: it may have been the scan's own fault.
    """

    node: str
    reason: Reason
    words: str
    counts: bool

    def __str__(self) -> str:
        return f"{self.node} ({self.words})"


class Relay:
    """One scan, from the moment it wants a node to its end.

    Args:
        crashes_max: failures of the kind that data can cause, a process that died at work on it.
        attempts_max: different nodes with failures of any kind that count.
        delivery: what the client has been given.
        hint: last sentence of the error when the scan is given up: where it is kept.

    Attributes:
        phase: where the scan is.
        node: id of the node it is on, or was last.
        attempt: 1 for the first node that was reached.
        outcome: how it ended; None before.
        words: the error that the client is told at the end, as a TEXT; None: nothing of the
            gateway's own.
        failures: nodes left, in order.
        input_whole: offset behind the last whole message of the client.
        input_ended: the client has sent CLOSE, or its last byte.
        delivery: what the client has been given.
        detached: the client may leave once `input_ended`; the scan goes on without it.
        client_left: it has.
        protected: all of the scan is kept. Set it to False once some of it is not: a node that
            then fails takes the scan with it.
    """

    def __init__(
        self,
        *,
        crashes_max: int = 3,
        attempts_max: int = 6,
        delivery: Delivery | None = None,
        hint: str = "",
    ) -> None:
        self.phase = Phase.PLACING
        self.node: str | None = None
        self.attempt = 0
        self.outcome: Outcome | None = None
        self.words: str | None = None
        self.failures: list[Failure] = []
        self.input_whole = 0
        self.input_ended = False
        self.delivery = delivery or Delivery()
        self.detached = False
        self.client_left = False
        self.protected = True
        self._crashes_max = crashes_max
        self._attempts_max = attempts_max
        self._hint = hint
        self._refusals = 0  # in a row
        self._fruitless = 0  # failures that count since something was delivered
        self._recounts = 0
        self._reported = False
        self._input_error: str | None = None

    @property
    def avoid(self) -> frozenset[str]:
        """Ids of nodes on which the process at work on the scan died: any other is better."""
        return frozenset(
            failure.node for failure in self.failures if failure.reason is Reason.WORKER
        )

    @property
    def pause_s(self) -> float:
        """Before the next node is asked for.

        None after the first failure; more with each further one, and with each refusal, as long
        as the scan does not get on.
        """
        steps = self._refusals + max(0, self._fruitless - 1)
        return min(_PAUSE_FIRST_S * 2 ** (steps - 1), _PAUSE_MAX_S) if steps else 0.0

    @property
    def ended(self) -> bool:
        """Nothing more is to be done."""
        return self.phase is Phase.ENDED

    # --- the client -----------------------------------------------------------------------------

    def client_data(self, whole: int, *, ended: bool = False) -> Step:
        """The client sent something.

        Args:
            whole: offset behind its last whole message.
            ended: CLOSE was among it, or it has ended its stream at the end of a message.
        """
        self.input_whole = whole
        self.input_ended = self.input_ended or ended
        return Step.WAIT

    def client_failed(self, words: str) -> Step:
        """The client sent bytes that are no message, or ended its stream within one.

        The node is given them too, then the end of the stream, so that it answers as if it had
        been asked directly, what came before included. If it says nothing of it, we do.
        """
        self.input_ended = True
        self._input_error = words
        return Step.WAIT

    def client_gone(self) -> Step:
        """The client takes nothing any more."""
        self.client_left = True
        if self.ended or (self.detached and self.input_ended):
            return Step.WAIT
        return self._end(Outcome.LOST)

    def cancel(
        self, words: str, outcome: Outcome = Outcome.CANCELLED, *, location: str = LOCATION
    ) -> Step:
        """End it now, telling the client why."""
        return Step.WAIT if self.ended else self._end(outcome, words, location)

    # --- placing --------------------------------------------------------------------------------

    def placed(self, node: str) -> Step:
        """A node was chosen."""
        if self.phase is not Phase.PLACING:
            return Step.WAIT
        self.phase, self.node = Phase.CONNECTING, node
        return Step.CONNECT

    def not_placed(self, words: str) -> Step:
        """No node is to be had: the queue is full, or the scan has waited too long."""
        if self.phase is not Phase.PLACING:
            return Step.WAIT
        return self._end(Outcome.FAILED, words + self._tried())

    def refused(self, words: str) -> Step:
        """The node could not be reached."""
        if self.phase is not Phase.CONNECTING:
            return Step.WAIT
        return self._leave(Reason.CONNECTION, words, counts=False)

    def connected(self) -> Step:
        """The node was reached; the scan is sent to it from the beginning."""
        if self.phase is not Phase.CONNECTING:
            return Step.WAIT
        self.phase = Phase.RUNNING
        self.attempt += 1
        self._reported = False
        if self.attempt > 1:
            self.delivery.new_attempt()
        return Step.SEND

    # --- the node -------------------------------------------------------------------------------

    def output(self, frame: Frame, text: str = "") -> Step:
        """The node gave a whole message.

        Args:
            frame: made with digests.
            text: of a TEXT.

        Returns:
            DELIVER, DROP, FINISH (it was CLOSE), PLACE (it was the node's own fault) or END.
        """
        if self.phase is not Phase.RUNNING:
            return Step.DROP
        self._refusals = 0
        if frame.message_id == MessageId.CLOSE:
            return self._close()
        if frame.message_id == MessageId.TEXT:
            fault = fault_of(text)
            if fault is not None:
                words = text.partition(" ERROR: ")[2]
                return self._leave(_REASONS[fault], words, counts=fault.suspect)
            self._reported = self._reported or is_error(text)
        if not self.delivery.take(frame):
            return Step.DROP
        self._fruitless = 0
        return Step.DELIVER

    def lost(
        self, words: str, reason: Reason = Reason.CONNECTION, *, untouched: bool = False
    ) -> Step:
        """The node's connection ended without CLOSE, or the node is known to be dead.

        Args:
            words: how, for people.
            reason: kind of failure.
            untouched: it had not been sent a byte, so the scan cannot be the cause.
        """
        if self.phase not in (Phase.CONNECTING, Phase.RUNNING):
            return Step.WAIT
        return self._leave(reason, words, counts=self.phase is Phase.RUNNING and not untouched)

    def stalled(self, seconds: float) -> Step:
        """The node was to take or give something, and did neither for so long."""
        return self.lost(f"no progress for {seconds:g} s", Reason.STALLED)

    # Inside

    def _close(self) -> Step:
        if self.delivery.incomplete and self._recounts < _RECOUNTS_MAX:
            self._recounts += 1
            return self._leave(Reason.RECOUNT, "its messages came in another order", counts=False)
        if self._input_error is not None and not self._reported:
            self.words = _error(self._input_error, INPUT_LOCATION)
        failed = self._reported or self._input_error is not None
        self.phase = Phase.ENDED
        self.outcome = Outcome.ERROR if failed else Outcome.OK
        return Step.FINISH

    def _leave(self, reason: Reason, words: str, *, counts: bool) -> Step:
        words = words[:_WORDS_CHARACTERS_MAX]
        self.failures.append(Failure(self.node or "?", reason, words, counts))
        if counts:
            self._refusals = 0
            self._fruitless += 1
        elif reason is not Reason.RECOUNT:
            self._refusals += 1
        if not self.protected:
            return self._give_up(
                "its node failed, and it could not be sent to another one, as the journal had no "
                "room to keep it (journal.memory_bytes_max, journal.disk_bytes_max)"
            )
        if not self.delivery.replayable:
            return self._give_up(
                f"the scan gave more than {self.delivery.delivered - 1} messages before its node "
                "failed; so many cannot be told apart in a replay"
            )
        counted = [failure for failure in self.failures if failure.counts]
        crashes = sum(failure.reason is Reason.WORKER for failure in counted)
        if crashes >= self._crashes_max:
            return self._give_up(
                f"the reconstruction process died {crashes} times over this scan, so the cause is "
                "probably its data or its config"
            )
        nodes = {failure.node for failure in counted}
        if (
            len(nodes) >= self._attempts_max
            or len(counted) >= _ATTEMPTS_FACTOR * self._attempts_max
        ):
            return self._give_up(f"{len(counted)} attempts to reconstruct this scan failed")
        if self._refusals >= REFUSALS_MAX:
            return self._give_up(f"{self._refusals} times in a row a node did not take this scan")
        self.phase = Phase.PLACING
        return Step.PLACE

    def _give_up(self, why: str) -> Step:
        hint = f". {self._hint}" if self._hint else ""
        return self._end(Outcome.FAILED, why + self._tried() + hint)

    def _tried(self) -> str:
        """The nodes that count, each with its last failure."""
        last = {failure.node: failure for failure in self.failures if failure.counts}
        if not last:
            last = {failure.node: failure for failure in self.failures[-3:]}
        return f"; tried: {', '.join(map(str, last.values()))}" if last else ""

    def _end(self, outcome: Outcome, words: str | None = None, location: str = LOCATION) -> Step:
        self.phase = Phase.ENDED
        self.outcome = outcome
        self.words = None if words is None else _error(words, location)
        return Step.END


def _error(words: str, location: str) -> str:
    """An error as a Gadgetron client knows it."""
    return f"[{location}] ERROR: {words}"
