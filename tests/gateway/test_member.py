from __future__ import annotations

from typing import Any

import pytest

from elastron.fleet.model import Node, NodeState
from elastron.gateway.discovery import Found
from elastron.gateway.member import Member, describe
from elastron.gateway.node_settings import RegistrySettings
from elastron.gateway.probing import Status

SETTINGS = RegistrySettings(
    poll_interval_s=1,
    start_interval_s=0.2,
    failures_max=2,
    back_off_s=0.5,
    back_off_s_max=4,
    avoid_s=10,
    start_s_max=60,
    capacity_assumed=3,
)


def member(**found: Any) -> Member:
    return Member(Found("a", "h:1", **{"admin": "h:2"} | found), SETTINGS, began=0.0)


def answering(capacity: int = 2, running: int = 0, **what: Any) -> Member:
    made = member()
    made.answered(Status(capacity, running, **what), own_before=0)
    return made


def test_a_node_starts_until_it_answers() -> None:
    node = member()
    assert node.state(0) is NodeState.STARTING
    assert node.pause_s(0) == 0.2
    node.unanswered("nobody there")
    assert node.state(59) is NodeState.STARTING
    assert node.state(60) is NodeState.DEAD
    assert node.pause_s(60) == 4
    node.answered(Status(2, 0), own_before=0)
    assert node.state(60) is NodeState.READY
    assert node.error == ""
    assert node.pause_s(60) == 1


def test_places_taken_and_given_back() -> None:
    node = answering(capacity=2)
    node.take("s1", 10, used=1)
    node.take("s2", 20, used=2)
    assert node.state(0) is NodeState.BUSY
    seen = node.node(0, None)
    assert (seen.running, seen.memory_used_bytes, seen.used, seen.free) == (2, 30, 2, 0)
    node.give_back("s1")
    node.give_back("s1")
    assert node.node(0, None).free == 1


def test_scans_of_other_gateways_count() -> None:
    node = answering(capacity=3)
    node.take("ours", 0, used=1)
    node.answered(Status(3, 3), own_before=1)
    assert node.running(0) == 3
    assert node.state(0) is NodeState.BUSY
    assert node.pause_s(0) == 0.2  # only a question tells when theirs have ended
    node.answered(Status(3, 1), own_before=1)
    assert node.running(0) == 1


@pytest.mark.parametrize(("before", "after", "told", "running"), [
    (0, 1, 0, 1),  # ours came after it had counted
    (0, 1, 1, 1),
    (1, 0, 1, 0),  # ours has left meanwhile
    (1, 0, 0, 0),
    (1, 1, 2, 2),
])  # fmt: skip
def test_a_scan_that_comes_or_goes_during_the_question_is_not_another_gateways(
    before: int, after: int, told: int, running: int
) -> None:
    node = answering(capacity=4)
    if after:
        node.take("ours", 0, used=1)
    node.answered(Status(4, told), own_before=before)
    assert node.running(0) == running


def test_two_missed_answers_make_a_node_dead() -> None:
    node = answering()
    ready = node.node(5.0, None)
    node.unanswered("no answer")
    assert node.state(5.0) is NodeState.READY
    assert not node.lost
    assert node.node(5.0, ready).avoid_until > 5.0  # others first
    assert node.pause_s(5.0) < 0.5
    node.unanswered("no answer")
    assert node.state(6.0) is NodeState.DEAD
    assert node.lost
    dead = node.node(6.0, ready)
    assert (dead.since, dead.free) == (6.0, 0)
    assert node.node(7.0, dead).since == 6.0


def test_a_dead_node_is_asked_less_and_less_often() -> None:
    node = answering()
    pauses = []
    for _ in range(8):
        node.unanswered("no answer")
        pauses.append(node.pause_s(0))
    assert pauses[1:] == [0.5, 1, 2, 4, 4, 4, 4]
    node.answered(Status(2, 0), own_before=0)
    assert node.state(0) is NodeState.READY
    assert node.pause_s(0) == 1


def test_an_unreachable_node_gets_nothing_for_a_while_and_longer_each_time() -> None:
    node = answering()
    now, pauses = 100.0, []
    for _ in range(5):
        failed = now
        node.scan_failed("connection refused", now, unreachable=True)
        assert node.pause_s(now) <= 1  # asked all the same, at the usual pace
        assert not node.lost  # its other scans may be well
        node.answered(Status(2, 0), own_before=0)
        while node.state(now) is NodeState.DEAD:
            now += 0.5
        pauses.append(now - failed)
    assert pauses == [0.5, 1, 2, 4, 4]
    node.scan_succeeded()
    node.scan_failed("connection refused", now, unreachable=True)
    assert node.pause_s(now) == pytest.approx(0.5)


def test_a_node_with_a_fault_is_avoided_and_longer_each_time() -> None:
    node = answering()
    until = []
    for _ in range(9):
        node.scan_failed("worker died", 100.0, unreachable=False)
        assert node.state(100.0) is NodeState.READY
        until.append(node.node(100.0, None).avoid_until - 100)
    assert until == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    node.answered(Status(2, 0), own_before=0)
    assert node.error == "worker died"  # for people to see
    node.scan_succeeded()
    assert node.node(100.0, None).avoid_until == 0
    assert node.error == ""


def test_a_node_that_refuses_as_full_is_busy_until_it_is_asked() -> None:
    node = answering(capacity=4)
    node.refused_full(10.0)
    assert node.state(10.0) is NodeState.BUSY
    assert node.node(10.0, None).running == 4
    assert node.pause_s(10.0) == pytest.approx(0.2)
    assert node.state(10.2) is NodeState.READY


def test_draining_is_believed_until_the_next_answer() -> None:
    node = answering()
    node.refused_draining()
    assert node.state(0) is NodeState.DRAINING
    node.answered(Status(2, 0), own_before=0)
    assert node.state(0) is NodeState.READY
    node.answered(Status(2, 0, draining=True), own_before=0)
    assert node.state(0) is NodeState.DRAINING


def test_a_removed_node_drains() -> None:
    node = answering()
    node.removed = True
    assert node.state(0) is NodeState.DRAINING
    node.rediscovered(node.found, 1.0)
    assert node.state(0) is NodeState.READY


def test_the_same_name_at_another_address_is_another_node() -> None:
    node = answering()
    node.scan_failed("worker died", 0.0, unreachable=True)
    node.rediscovered(Found("a", "h:3", admin="h:4"), 100.0)
    assert node.state(150.0) is NodeState.STARTING
    assert node.state(160.0) is NodeState.DEAD


def test_a_node_that_is_not_ready_is_starting() -> None:
    node = answering(ready=False)
    assert node.state(0) is NodeState.STARTING
    assert node.pause_s(0) == 0.2


def test_a_refused_question_tells_only_that() -> None:
    node = answering(capacity=2, capabilities=frozenset({"gpu"}), memory_bytes=7)
    node.answered(Status(full=True), own_before=0)
    seen = node.node(0, None)
    assert (seen.state, seen.capacity, seen.running) == (NodeState.BUSY, 2, 2)
    assert (seen.capabilities, seen.memory_bytes) == ({"gpu"}, 7)
    node.answered(Status(draining=True), own_before=0)
    assert node.state(0) is NodeState.DRAINING
    node.answered(Status(2, 0), own_before=0)
    assert node.state(0) is NodeState.READY


def test_an_upstream_gadgetron_has_the_capacity_assumed() -> None:
    node = member(admin=None)
    node.answered(Status(), own_before=0)
    assert node.node(0, None).capacity == 3
    assert node.pause_s(0) == SETTINGS.query_interval_s


def test_in_a_large_fleet_each_node_is_asked_less_often() -> None:
    assert answering().pause_s(0, least_s=5) == 5
    assert member().pause_s(0, least_s=5) == 0.2


def test_description() -> None:
    node = answering(capacity=2, capabilities=frozenset({"gpu", "big"}), memory_bytes=100)
    node.take("s1", 30, used=1)
    node.answered(
        Status(2, 2, capabilities=frozenset({"gpu", "big"}), memory_bytes=100), own_before=1
    )
    seen: Node = node.node(0, None)
    assert describe(seen, node) == {
        "id": "a",
        "address": "h:1",
        "admin": "h:2",
        "pool": "default",
        "state": "busy",
        "capacity": 2,
        "running": 2,
        "placed": 1,
        "capabilities": ["big", "gpu"],
        "memory_bytes": 100,
        "memory_used_bytes": 30,
        "error": None,
    }
