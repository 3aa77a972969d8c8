"""Never two leaders at once, whatever the candidates' clocks, delays and deaths."""

from __future__ import annotations

from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from elastron.fleet.kubernetes.leadership import DURATION_S, GIVE_UP_S, Candidate, Lease

NAMES = ("a", "b", "c")


@dataclass
class _Stored:
    lease: Lease | None = None
    version: int = 0


class Election(RuleBasedStateMachine):
    """Candidates whose clocks start anywhere; the API takes a write only of what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.offsets = {"a": 0.0, "b": 1e6, "c": -500.0}
        self.candidates = {name: Candidate(name) for name in NAMES}
        self.pending: dict[str, tuple[float, str | None]] = {}
        self.stored = _Stored()

    def _clock(self, name: str) -> float:
        return self.now + self.offsets[name]

    @rule(seconds=st.floats(0.1, 20))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=st.sampled_from(NAMES))
    def reads(self, name: str) -> None:
        if name in self.pending:
            return  # it waits for its answer
        self.candidates[name] = self.candidates[name].saw(self.stored.lease, self._clock(name))

    @rule(name=st.sampled_from(NAMES))
    def begins_to_write(self, name: str) -> None:
        candidate = self.candidates[name]
        if name not in self.pending and candidate.may_write(self._clock(name)):
            version = None if candidate.seen is None else candidate.seen.version
            self.pending[name] = (self._clock(name), version)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def the_api_answers(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.pending)))
        asked_at, known = self.pending.pop(name)
        candidate = self.candidates[name]
        stored = None if self.stored.lease is None else self.stored.lease.version
        if known != stored:
            return  # a conflict
        self.stored.version += 1
        self.stored.lease = Lease(name, str(self.stored.version), f"t{self.now}")
        self.candidates[name] = candidate.wrote(self.stored.lease, asked_at)

    @rule(name=st.sampled_from(NAMES))
    def is_restarted(self, name: str) -> None:
        self.candidates[name] = Candidate(name)
        self.pending.pop(name, None)

    @invariant()
    def one_leads_at_most(self) -> None:
        leaders = [n for n, c in self.candidates.items() if c.leads(self._clock(n))]
        assert len(leaders) <= 1


Election.TestCase.settings = settings(stateful_step_count=60, max_examples=150)
TestElection = Election.TestCase


def test_a_dead_leader_is_followed():
    lease = Lease("a", "1", "t")
    candidate = Candidate("b").saw(lease, 0.0)
    assert not candidate.may_write(DURATION_S)
    assert candidate.may_write(DURATION_S + 0.1)


def test_a_lease_given_back_is_free_at_once():
    assert Candidate("b").saw(Lease("", "1", "t"), 0.0).may_write(0.0)


def test_a_leader_that_cannot_renew_stops_before_others_may_begin():
    leader = Candidate("a").wrote(Lease("a", "1", "t"), 0.0)
    assert leader.leads(GIVE_UP_S - 0.1)
    assert not leader.leads(GIVE_UP_S)
    assert GIVE_UP_S < DURATION_S
