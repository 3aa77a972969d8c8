"""The relay when everything happens at once: what holds in any course of events."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from elastron.gateway.relay import REFUSALS_MAX, Outcome, Phase, Reason, Relay, Step
from elastron.wire.faults import Fault
from elastron.wire.framing import Frame

from .frames import CLOSE, image, said, text

NODES = [f"node-{number}" for number in range(5)]
FAULTS = list(Fault)


class Scans(RuleBasedStateMachine):
    """One scan over nodes that fail as they like, and a client that sends as it likes.

    A node computes its outputs from what it was sent: image k needs the first k + 1 pieces. A
    replay gives them in another order, perhaps with other bits.
    """

    @initialize(
        headers=st.lists(st.integers(0, 5), max_size=8),
        same_bits=st.booleans(),
        distinct=st.booleans(),
        detached=st.booleans(),
        random=st.randoms(use_true_random=False),
    )
    def begin(
        self, headers: list[int], same_bits: bool, distinct: bool, detached: bool, random: Any
    ) -> None:
        self.headers = list(range(len(headers))) if distinct else headers
        self.same_bits, self.random = same_bits, random
        self.relay = Relay(crashes_max=3, attempts_max=3)
        self.relay.detached = detached
        self.sent = 0
        self.client: list[Frame] = []
        self.bits = 0
        self.step = Step.PLACE
        self.counted: list[tuple[str, Reason]] = []
        self.refusals = 0
        self.there = True
        self.errors = 0

    # The client

    @precondition(lambda self: not self.relay.input_ended and self.there)
    @rule(last=st.booleans())
    def client_sends(self, last: bool) -> None:
        self.sent = min(self.sent + 1, len(self.headers))
        ended = last and self.sent == len(self.headers)
        assert self.relay.client_data(100 * self.sent, ended=ended) is Step.WAIT

    @precondition(lambda self: self.there)
    @rule(really=st.integers(0, 9))
    def client_leaves(self, really: int) -> None:
        if really:  # seldom, or little else would be seen
            return
        self.there = False
        finishes = self.relay.ended or (self.relay.detached and self.relay.input_ended)
        self.follow(self.relay.client_gone(), Step.WAIT if finishes else Step.END)

    # Nodes

    @precondition(lambda self: self.relay.phase is Phase.PLACING)
    @rule(choice=st.integers(0, len(NODES) - 1))
    def place(self, choice: int) -> None:
        free = [node for node in NODES if node not in self.relay.avoid] or NODES
        assert self.relay.placed(free[choice % len(free)]) is Step.CONNECT

    @precondition(lambda self: self.relay.phase is Phase.CONNECTING)
    @rule()
    def connect(self) -> None:
        assert self.relay.connected() is Step.SEND
        self.order = list(enumerate(self.headers))
        if self.relay.attempt > 1:
            self.random.shuffle(self.order)

    @precondition(lambda self: self.relay.phase is Phase.CONNECTING)
    @rule()
    def refuse(self) -> None:
        self.refusals += 1
        self.follow(self.relay.refused("connection refused"), Step.PLACE)

    @precondition(lambda self: self.relay.phase is Phase.RUNNING)
    @rule(count=st.integers(1, 3))
    def node_gives(self, count: int) -> None:
        for _ in range(count):
            ready = next((each for each in self.order if each[0] < self.sent), None)
            if ready is None:
                return
            self.order.remove(ready)
            self.bits += 1
            frame = image(ready[1], ready[0] if self.same_bits else 1000 + self.bits)
            self.refusals = 0
            step = self.relay.output(frame)
            assert step in (Step.DELIVER, Step.DROP)
            if step is Step.DELIVER:
                self.client.append(frame)

    @precondition(
        lambda self: self.relay.phase is Phase.RUNNING and self.relay.input_ended and not self.order
    )
    @rule()
    def node_closes(self) -> None:
        step = self.relay.output(CLOSE)
        if step is Step.PLACE:  # an image had been held for another one: once more
            assert self.relay.failures[-1].reason is Reason.RECOUNT
            assert self.same_bits
            return
        assert step is Step.FINISH
        assert self.relay.outcome is Outcome.OK
        assert Counter(frame.identity for frame in self.client) == Counter(self.headers)
        if self.same_bits:
            assert len({frame.content for frame in self.client}) == len(self.headers)

    @precondition(lambda self: self.relay.phase in (Phase.CONNECTING, Phase.RUNNING))
    @rule(stalls=st.booleans())
    def node_is_lost(self, stalls: bool) -> None:
        running = self.relay.phase is Phase.RUNNING
        reason = Reason.STALLED if stalls else Reason.CONNECTION
        if running:
            self.counted.append((self.relay.node or "", reason))
        step = self.relay.stalled(30) if stalls else self.relay.lost("connection reset")
        if not running:
            self.refusals += 1
        self.follow(step, Step.PLACE)

    @precondition(lambda self: self.relay.phase is Phase.RUNNING)
    @rule(fault=st.sampled_from(FAULTS))
    def node_reports_a_fault(self, fault: Fault) -> None:
        self.refusals = 0 if fault.suspect else 1
        if fault.suspect:
            self.counted.append((self.relay.node or "", Reason.WORKER))
        self.follow(self.relay.output(text(), said(fault)), Step.PLACE)

    @precondition(lambda self: self.relay.phase in (Phase.PLACING, Phase.ENDED))
    @rule()
    def something_comes_late(self) -> None:
        """From a connection that was given up."""
        assert self.relay.output(image(99)) is Step.DROP
        assert self.relay.output(CLOSE) is Step.DROP
        assert self.relay.connected() is Step.WAIT
        assert self.relay.lost("connection reset") is Step.WAIT

    def follow(self, step: Step, expected: Step) -> None:
        """A step, or the end if the scan has failed often enough."""
        crashes = sum(reason is Reason.WORKER for _, reason in self.counted)
        if expected is Step.PLACE and (
            crashes >= 3
            or len({node for node, _ in self.counted}) >= 3
            or len(self.counted) >= 9
            or self.refusals >= REFUSALS_MAX
        ):
            assert step is Step.END
            assert self.relay.outcome is Outcome.FAILED
            words = self.relay.words or ""
            assert all(node in words for node, _ in self.counted)
            return
        assert step is expected

    @invariant()
    def no_image_came_twice_or_from_nowhere(self) -> None:
        if not hasattr(self, "relay"):
            return
        got = Counter(frame.identity for frame in self.client)
        assert not got - Counter(self.headers)
        if self.same_bits:
            assert len({frame.content for frame in self.client}) == len(self.client)

    @invariant()
    def a_crash_on_one_node_keeps_the_scan_from_it(self) -> None:
        if hasattr(self, "relay"):
            crashed = {node for node, reason in self.counted if reason is Reason.WORKER}
            assert self.relay.avoid == crashed

    def teardown(self) -> None:
        """Whatever has happened: a good node and a client that goes on get it done."""
        if not hasattr(self, "relay"):
            return
        self.relay.client_data(100 * len(self.headers), ended=self.there)
        self.sent = len(self.headers)
        for _ in range(4):
            if self.relay.ended:
                return
            if self.relay.phase is Phase.PLACING:
                self.place(0)
            if self.relay.phase is Phase.CONNECTING:
                self.connect()
            self.node_gives(1)
            while self.order:
                self.node_gives(3)
            self.node_closes()
            self.no_image_came_twice_or_from_nowhere()
        raise AssertionError("it never ends")


TestScans = Scans.TestCase
TestScans.settings = settings(max_examples=300, stateful_step_count=40)
