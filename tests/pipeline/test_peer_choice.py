"""Which peer gets the next part."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from elastron.pipeline.peer_choice import (
    FAILED_PAUSE_MAX_S,
    FAILED_PAUSE_S,
    FULL_PAUSE_S,
    PARTS_PER_PEER_MAX,
    TRIAL_PAUSE_S,
    TRIAL_S,
    PeerChoice,
)


def choice(*names: str) -> PeerChoice:
    made = PeerChoice()
    made.update(names)
    return made


def test_the_fewest_of_ours_then_the_gateways_order() -> None:
    peers = choice("b", "a")
    for expected in ("b", "a"):
        assert peers.choose(0) == expected
        peers.started(expected, 0)
    peers.succeeded("a")
    assert peers.choose(0) == "a"


def test_one_more_than_proven_is_tried_after_a_moment() -> None:
    peers = choice("a")
    peers.started("a", 0)
    assert peers.choose(0) is None
    assert peers.next_time(0) == TRIAL_S
    assert peers.choose(TRIAL_S) == "a"
    peers.started("a", TRIAL_S)
    peers.succeeded("a")  # two at a time are proven
    assert peers.choose(TRIAL_S) == "a"


def test_a_full_peer_waits_until_a_part_ends_there() -> None:
    peers = choice("a")
    peers.started("a", 0)
    peers.started("a", 1)
    peers.full("a", 1)
    assert peers.choose(1) is None
    assert peers.choose(1 + TRIAL_PAUSE_S) == "a"
    peers.succeeded("a")
    assert peers.choose(1) == "a"
    peers.started("a", 1)
    peers.started("a", 2)
    peers.full("a", 2)  # again: it is asked less often
    assert peers.choose(2 + TRIAL_PAUSE_S) is None
    assert peers.choose(2 + 2 * TRIAL_PAUSE_S) == "a"


def test_a_full_peer_without_any_of_ours_is_asked_again_later() -> None:
    peers = choice("a")
    peers.started("a", 0)
    peers.full("a", 0)
    assert (peers.choose(0), peers.next_time(0)) == (None, FULL_PAUSE_S)
    assert peers.choose(FULL_PAUSE_S) == "a"


def test_failures_double_the_pause_up_to_a_limit() -> None:
    peers, now = choice("a"), 0.0
    pauses = []
    for _ in range(10):
        peers.started("a", now)
        peers.failed("a", now)
        until = peers.next_time(now)
        assert until is not None
        pauses.append(until - now)
        now = until
        assert peers.choose(now) == "a"
    assert pauses[:3] == [FAILED_PAUSE_S, 2 * FAILED_PAUSE_S, 4 * FAILED_PAUSE_S]
    assert pauses[-1] == FAILED_PAUSE_MAX_S


def test_missing_peers_get_nothing_and_keep_their_record() -> None:
    peers = choice("a", "b")
    peers.started("a", 0)
    peers.failed("a", 0)
    peers.update(["b"])
    assert (peers.known, peers.choose(1000)) == (("b",), "b")
    peers.update(["a"])
    assert peers.choose(0) is None  # it failed a moment ago
    assert peers.choose(FAILED_PAUSE_S) == "a"


def test_excluded_peers_are_passed_over() -> None:
    assert choice("a", "b").choose(0, {"a"}) == "b"
    assert choice("a").choose(0, {"a"}) is None
    assert choice().choose(0) is None
    assert choice().next_time(0) is None


NAMES = ["a", "b", "c"]


class Choices(RuleBasedStateMachine):
    """Any course of events: counts stay true, and only listed peers are chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.peers = PeerChoice()
        self.now = 0.0
        self.under_way: list[str] = []

    @rule(names=st.lists(st.sampled_from(NAMES), unique=True))
    def discover(self, names: list[str]) -> None:
        self.peers.update(names)
        assert list(self.peers.known) == names

    @rule(exclude=st.sets(st.sampled_from(NAMES)))
    def start(self, exclude: set[str]) -> None:
        name = self.peers.choose(self.now, exclude)
        if name is not None:
            assert name in self.peers.known
            assert name not in exclude
            assert self.under_way.count(name) < PARTS_PER_PEER_MAX
            self.peers.started(name, self.now)
            self.under_way.append(name)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "stopped", "full", "failed"]))
    def end(self, data: st.DataObject, how: str) -> None:
        name = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(name)
        if how in ("full", "failed"):
            getattr(self.peers, how)(name, self.now)
            assert self.peers.choose(self.now) != name
        else:
            getattr(self.peers, how)(name)

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counts_are_true(self) -> None:
        assert self.peers.parts == len(self.under_way)

    @invariant()
    def waiting_helps(self) -> None:
        """Where a peer could take more, there is a time at which it does."""
        room = [
            name for name in self.peers.known if self.under_way.count(name) < PARTS_PER_PEER_MAX
        ]
        if room and self.peers.choose(self.now) is None:
            moment = self.peers.next_time(self.now)
            assert moment is not None
            assert self.peers.choose(moment) is not None


TestChoices = Choices.TestCase
