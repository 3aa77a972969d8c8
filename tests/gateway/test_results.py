from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.gateway.results import Results, ResultsSettings, Standing
from tests.gateway.recordings import MemoryRecording


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def results(clock: Clock, **settings: float) -> Results:
    return Results(ResultsSettings.model_validate({"bytes_max": 100, **settings}), clock)


def ticket_of(kept: Results, session: str) -> str:
    ticket = kept.issue(session)
    assert ticket is not None
    return ticket


def test_a_ticket_leads_from_the_running_scan_to_its_images(clock: Clock):
    kept = results(clock)
    ticket = ticket_of(kept, "5e55")
    assert kept.wanted("5e55")
    assert kept.find(ticket)[0] is Standing.RUNNING
    recording = MemoryRecording(b"images")
    assert kept.keep("5e55", recording, outcome="ok", images=3)
    standing, result = kept.find(ticket)
    assert standing is Standing.FINISHED
    assert result is not None
    assert result.recording is recording
    assert (result.outcome, result.images, kept.bytes) == ("ok", 3, 6)


def test_the_session_id_is_no_ticket(clock: Clock):
    kept = results(clock)
    ticket = ticket_of(kept, "5e55")
    for guess in ("5e55", "5e55-", ticket[:-1], ticket + "x", "", "-", "ä-ö", ticket.upper()):
        assert kept.find(guess)[0] is Standing.UNKNOWN, guess


def test_tickets_have_128_bits_and_are_in_no_list(clock: Clock):
    kept = results(clock)
    secrets = {ticket_of(kept, f"{number:x}").partition("-")[2] for number in range(50)}
    assert len(secrets) == 50
    assert all(len(secret) >= 22 for secret in secrets)  # 6 bits a character
    told = json.dumps(kept.describe())
    assert not any(secret in told for secret in secrets)


def test_asked_again_the_ticket_is_the_same(clock: Clock):
    kept = results(clock)
    assert kept.issue("a") == kept.issue("a")


def test_after_its_time_a_result_is_gone_and_its_ticket_still_known(clock: Clock):
    kept = results(clock, retain_s=60)
    ticket = ticket_of(kept, "a")
    recording = MemoryRecording(b"images")
    kept.keep("a", recording, outcome="ok", images=1)
    clock.now += 59
    assert kept.find(ticket)[0] is Standing.FINISHED
    clock.now += 1
    assert kept.find(ticket)[0] is Standing.EXPIRED
    assert recording.closed
    assert kept.bytes == 0


def test_the_oldest_go_when_there_are_too_many_bytes(clock: Clock):
    kept = results(clock, bytes_max=100)
    tickets = {}
    for name in "abc":
        tickets[name] = ticket_of(kept, name)
        kept.keep(name, MemoryRecording(bytes(40)), outcome="ok", images=1)
    standings = [kept.find(tickets[name])[0] for name in "abc"]
    assert standings == [Standing.EXPIRED, Standing.FINISHED, Standing.FINISHED]


def test_larger_than_everything_is_not_kept(clock: Clock):
    kept = results(clock, bytes_max=100)
    ticket = ticket_of(kept, "a")
    recording = MemoryRecording(bytes(101))
    assert not kept.keep("a", recording, outcome="ok", images=1)
    assert recording.closed
    assert kept.find(ticket)[0] is Standing.EXPIRED


def test_unless_said_otherwise_running_scans_have_most_of_the_journal():
    assert Results(ResultsSettings(), journal_bytes=4000).bytes_max == 1000
    assert Results(ResultsSettings(bytes_max=7), journal_bytes=4000).bytes_max == 7


def test_what_is_being_fetched_stays(clock: Clock):
    kept = results(clock, retain_s=60)
    ticket = ticket_of(kept, "a")
    recording = MemoryRecording(b"images")
    kept.keep("a", recording, outcome="ok", images=1)
    _, result = kept.find(ticket)
    assert result is not None
    with result.reading():
        clock.now += 100
        kept.expire()
        assert not recording.closed
    kept.expire()
    assert recording.closed


def test_delivered_scans_keep_nothing(clock: Clock):
    kept = results(clock)
    ticket = ticket_of(kept, "a")
    kept.discard("a")
    assert not kept.wanted("a")
    assert kept.find(ticket)[0] is Standing.EXPIRED
    recording = MemoryRecording(b"images")
    assert not kept.keep("a", recording, outcome="ok", images=1)
    assert recording.closed


def test_a_finished_result_is_not_discarded(clock: Clock):
    kept = results(clock)
    ticket = ticket_of(kept, "a")
    kept.keep("a", MemoryRecording(b"images"), outcome="ok", images=1)
    kept.discard("a")
    assert kept.find(ticket)[0] is Standing.FINISHED


def test_there_are_only_so_many_tickets(clock: Clock):
    kept = results(clock, tickets_max=2)
    assert kept.issue("a")
    assert kept.issue("b")
    assert kept.issue("c") is None
    kept.discard("a")
    assert kept.issue("c")


def test_at_the_end_everything_is_given_back(clock: Clock):
    kept = results(clock)
    ticket_of(kept, "a")
    recording = MemoryRecording(b"images")
    kept.keep("a", recording, outcome="ok", images=1)
    kept.close()
    assert recording.closed
    assert kept.describe() == []


@given(
    st.lists(
        st.tuples(st.sampled_from("ikdw"), st.integers(0, 4), st.integers(0, 120)), max_size=40
    )
)
def test_never_more_than_allowed_and_nothing_leaks(steps: list[tuple[str, int, int]]):
    """Any order of tickets, ends and time: within the cap, each recording closed or kept."""
    clock = Clock()
    kept = results(clock, retain_s=50, bytes_max=100)
    recordings: list[MemoryRecording] = []
    ended: set[str] = set()
    for kind, number, amount in steps:
        session = str(number)
        if kind == "i":
            kept.issue(session)
            ended.discard(session)
        elif kind == "k" and session not in ended:
            recordings.append(MemoryRecording(bytes(amount)))
            kept.keep(session, recordings[-1], outcome="ok", images=1)
            ended.add(session)
        elif kind == "d":
            kept.discard(session)
        else:
            clock.now += amount
            kept.expire()
        alive = sum(recording.content_bytes for recording in recordings if not recording.closed)
        assert kept.bytes == alive <= 100
    kept.close()
    assert all(recording.closed for recording in recordings)
