"""The relay: whatever happens to nodes and clients, every image once, or an honest end."""

from __future__ import annotations

import pytest

from elastron.gateway.delivery import Delivery
from elastron.gateway.relay import REFUSALS_MAX, Outcome, Relay, Step
from elastron.wire.faults import LOCATION, Fault, fault_of

from .frames import CLOSE, image, said, text


def start(relay: Relay, node: str = "node-1") -> Relay:
    assert relay.placed(node) is Step.CONNECT
    assert relay.connected() is Step.SEND
    return relay


def ended(relay: Relay, outcome: Outcome) -> str:
    assert relay.ended
    assert relay.outcome is outcome
    return relay.words or ""


def test_a_scan_without_trouble() -> None:
    relay = start(Relay())
    assert relay.client_data(5000) is Step.WAIT
    assert relay.output(image(1)) is Step.DELIVER
    assert relay.client_data(9000, ended=True) is Step.WAIT
    assert relay.output(image(2)) is Step.DELIVER
    assert relay.output(CLOSE) is Step.FINISH
    assert ended(relay, Outcome.OK) == ""
    assert relay.attempt == 1
    assert relay.failures == []


def test_a_lost_node_costs_a_replay_and_nothing_else() -> None:
    relay = start(Relay())
    assert relay.output(image(1)) is Step.DELIVER
    assert relay.lost("connection reset") is Step.PLACE
    assert relay.avoid == frozenset()  # the registry avoids it by itself
    assert relay.pause_s == 0
    start(relay, "node-2")
    assert relay.output(image(2)) is Step.DELIVER
    assert relay.output(image(1)) is Step.DROP
    assert relay.output(CLOSE) is Step.FINISH
    assert ended(relay, Outcome.OK) == ""
    assert relay.attempt == 2


def test_an_error_of_the_chain_is_passed_on() -> None:
    relay = start(Relay())
    error = "[Connection Main Thread/main/FFT] ERROR: the reconstruction process died of laughter"
    assert relay.output(text(), error) is Step.DELIVER
    assert relay.output(CLOSE) is Step.FINISH
    assert ended(relay, Outcome.ERROR) == ""
    assert relay.failures == []


def test_a_text_that_is_no_error_is_none() -> None:
    relay = start(Relay())
    assert relay.output(text(), "40 % done") is Step.DELIVER
    assert relay.output(CLOSE) is Step.FINISH
    assert ended(relay, Outcome.OK) == ""


def test_a_scan_whose_data_kills_processes_is_given_up_after_three_nodes() -> None:
    relay = Relay(hint="It is kept in the archive: elastron resend 0123.")
    steps = []
    for number in (1, 2, 3):
        start(relay, f"node-{number}")
        steps.append(relay.output(text(), said(Fault.WORKER_LOST)))
    assert steps == [Step.PLACE, Step.PLACE, Step.END]
    words = ended(relay, Outcome.FAILED)
    assert words.startswith("[Connection Main Thread] ERROR: ")
    assert "died 3 times" in words
    assert "data or its config" in words
    for number in (1, 2, 3):
        assert f"node-{number} (the reconstruction process died (more))" in words
    assert words.endswith("elastron resend 0123.")


def test_lost_nodes_are_borne_longer() -> None:
    relay = Relay(attempts_max=4)
    for number in range(4):
        start(relay, f"node-{number}")
        step = relay.stalled(30) if number % 2 else relay.lost("reset")
        assert step is (Step.END if number == 3 else Step.PLACE)
    words = ended(relay, Outcome.FAILED)
    assert "node-1 (no progress for 30 s)" in words
    assert "node-2 (reset)" in words


def test_few_nodes_are_tried_several_times_with_pauses() -> None:
    relay, pauses = Relay(attempts_max=4), []
    for number in range(12):
        start(relay, f"node-{number % 2}")
        assert relay.lost("reset") is (Step.END if number == 11 else Step.PLACE)
        pauses.append(relay.pause_s)
    assert pauses == sorted(pauses)
    assert pauses[:2] == [0, 0.05]
    assert pauses[-1] == 5
    assert "12 attempts" in ended(relay, Outcome.FAILED)


def test_there_is_no_pause_while_a_scan_gets_on() -> None:
    relay = Relay()
    for number in range(5):
        start(relay, "node-1")
        for image_number in range(number):
            assert relay.output(image(image_number)) is Step.DROP
        assert relay.output(image(number)) is Step.DELIVER
        relay.lost("reset")
        assert relay.pause_s == 0


@pytest.mark.parametrize("fault", [Fault.NODE_FULL, Fault.NODE_DRAINING, Fault.NODE_STOPPED])
def test_a_node_that_refuses_does_not_count(fault: Fault) -> None:
    relay = Relay()
    for number in range(REFUSALS_MAX - 1):
        start(relay, f"node-{number}")
        assert relay.output(text(), said(fault)) is Step.PLACE
        assert 0 < relay.pause_s <= 5
    assert relay.avoid == frozenset()
    start(relay)
    assert relay.output(image(1)) is Step.DELIVER
    assert relay.output(CLOSE) is Step.FINISH


def test_a_node_that_cannot_be_reached_does_not_count() -> None:
    relay = Relay()
    for _ in range(REFUSALS_MAX - 1):
        relay.placed("node-1")
        assert relay.refused("connection refused") is Step.PLACE
    relay.placed("node-1")
    assert relay.refused("connection refused") is Step.END
    assert "node-1 (connection refused)" in ended(relay, Outcome.FAILED)


def test_pauses_grow_with_refusals_and_end_with_a_node_that_answers() -> None:
    relay, pauses = Relay(), []
    for _ in range(10):
        relay.placed("node-1")
        relay.refused("no")
        pauses.append(relay.pause_s)
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.1
    assert pauses[-1] == 5
    start(relay)
    relay.output(image(1))
    assert relay.pause_s == 0


def test_an_untouched_node_does_not_count() -> None:
    relay = start(Relay())
    assert relay.lost("reset", untouched=True) is Step.PLACE
    assert relay.avoid == frozenset()


def test_no_node_to_be_had() -> None:
    relay = start(Relay())
    relay.lost("reset")
    assert relay.not_placed("no node became free within 60 s") is Step.END
    words = ended(relay, Outcome.FAILED)
    assert "no node became free" in words
    assert "node-1 (reset)" in words


def test_bytes_that_are_no_message_are_left_to_the_node() -> None:
    relay = start(Relay())
    assert relay.client_failed("Message id 7 is none") is Step.WAIT
    assert relay.input_ended
    error = "[Connection Main Thread/Connection Input Thread] ERROR: Message id 7 is none"
    assert relay.output(text(), error) is Step.DELIVER
    assert relay.output(CLOSE) is Step.FINISH
    assert ended(relay, Outcome.ERROR) == ""


def test_bytes_that_are_no_message_are_never_passed_over_in_silence() -> None:
    relay = start(Relay())
    relay.client_failed("Message id 7 is none")
    assert relay.output(CLOSE) is Step.FINISH
    words = ended(relay, Outcome.ERROR)
    assert words == "[Connection Main Thread/Connection Input Thread] ERROR: Message id 7 is none"


def test_a_client_that_goes_away_ends_the_scan() -> None:
    relay = start(Relay())
    assert relay.client_gone() is Step.END
    assert ended(relay, Outcome.LOST) == ""


def test_a_client_that_may_go_away_does_not() -> None:
    relay = start(Relay())
    relay.detached = True
    relay.client_data(9000, ended=True)
    assert relay.client_gone() is Step.WAIT
    assert relay.client_left
    assert relay.output(image(1)) is Step.DELIVER
    relay.lost("reset")
    start(relay, "node-2")
    assert relay.output(image(1)) is Step.DROP
    assert relay.output(CLOSE) is Step.FINISH
    assert ended(relay, Outcome.OK) == ""


def test_a_client_that_goes_away_before_all_is_there_does() -> None:
    relay = start(Relay())
    relay.detached = True
    assert relay.client_gone() is Step.END
    assert ended(relay, Outcome.LOST) == ""


def test_cancelled() -> None:
    relay = start(Relay())
    assert relay.cancel("cancelled by the operator") is Step.END
    assert ended(relay, Outcome.CANCELLED) == (
        "[Connection Main Thread] ERROR: cancelled by the operator"
    )
    assert relay.cancel("again") is Step.WAIT


def test_too_many_messages_to_replay() -> None:
    relay = start(Relay(delivery=Delivery(messages_max=2)))
    for number in range(3):
        relay.output(image(number))
    assert relay.lost("reset") is Step.END
    assert "more than 2 messages" in ended(relay, Outcome.FAILED)


def test_a_scan_that_was_not_kept_goes_with_its_node() -> None:
    relay = start(Relay())
    relay.protected = False
    assert relay.output(image(1)) is Step.DELIVER
    assert relay.lost("reset") is Step.END
    words = ended(relay, Outcome.FAILED)
    assert "journal.disk_bytes_max" in words
    assert "node-1 (reset)" in words


def test_what_comes_late_changes_nothing() -> None:
    relay = Relay()
    assert relay.output(image(1)) is Step.DROP
    assert relay.connected() is Step.WAIT
    assert relay.lost("reset") is Step.WAIT
    assert relay.refused("no") is Step.WAIT
    start(relay)
    assert relay.placed("node-2") is Step.WAIT
    assert relay.not_placed("no") is Step.WAIT
    relay.output(CLOSE)
    for late in (
        relay.lost("reset"),
        relay.stalled(1),
        relay.client_gone(),
        relay.client_data(10),
        relay.cancel("no"),
    ):
        assert late is Step.WAIT
    assert relay.output(image(2)) is Step.DROP
    assert relay.outcome is Outcome.OK


def test_only_the_nodes_own_words_are_a_fault() -> None:
    assert fault_of(said(Fault.WORKER_LOST)) is Fault.WORKER_LOST
    assert fault_of(f"[{LOCATION}/main/X] ERROR: {Fault.WORKER_LOST}") is None
    assert fault_of(f"{Fault.NODE_FULL}") is None
    assert fault_of(f"[{LOCATION}] ERROR: the scan says that {Fault.NODE_FULL}") is None
