from __future__ import annotations

import math
from dataclasses import replace

import pytest

from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.scaling import History, desired, removable, settled_until
from elastron.fleet.settings import (
    Buffer,
    Moment,
    PolicyKind,
    RatePolicy,
    ScaleDown,
    ScaleUp,
    ScalingSettings,
    ScheduleRule,
)
from tests.fleet.scaled_fleet import EVERY_QUARTER, MONDAY, Fleet, pool, ready

# -- up


def test_a_burst_onto_an_idle_fleet_is_answered_at_once():
    fleet = Fleet(pool(1, 6), nodes=1)
    assert fleet.look(1, 19).desired == 6


def test_capacity_and_target_say_what_a_node_is_worth():
    assert Fleet(pool(capacity=4)).look(0, 9).desired == 3
    assert Fleet(pool(capacity=4, target=0.75)).look(0, 9).desired == 3
    assert Fleet(pool(capacity=4, target=0.5)).look(0, 9).desired == 5


def test_waiting_scans_count_as_running_ones():
    assert Fleet(pool(), 3).look(3, 2).desired == Fleet(pool(), 3).look(5, 0).desired == 5


def test_the_buffer_keeps_nodes_warm():
    assert Fleet(pool(buffer=2), 1).look(3).desired == 5
    share = pool().model_copy(update={"scaling": ScalingSettings(buffer=Buffer(percent=25))})
    assert [Fleet(share, 1).look(busy).desired for busy in (0, 1, 4, 5, 8)] == [1, 2, 5, 7, 10]


def test_growth_keeps_to_the_rate_policies():
    slow = ScaleUp(policies=(RatePolicy(type=PolicyKind.NODES, value=2, period_s=60),))
    fleet = Fleet(pool(scale_up=slow), nodes=1)
    assert fleet.look(0, 9).desired == 3
    assert "rate policies" in fleet.look(3, 6).why
    assert fleet.look(3, 6, after_s=60).desired == 5


def test_from_zero_a_percentage_does_not_hold_the_first_node_back():
    slow = ScaleUp(policies=(RatePolicy(type=PolicyKind.PERCENT, value=100, period_s=60),))
    fleet = Fleet(pool(0, scale_up=slow))
    assert fleet.look(0, 5).desired == 1
    assert fleet.look(1, 4, after_s=60).desired == 2


def test_a_scan_that_waits_is_not_tolerated_but_one_that_left_is():
    fleet = Fleet(pool(), nodes=15)
    assert fleet.look(15, 1).desired == 16
    fleet = Fleet(pool(), nodes=16)
    assert fleet.look(15, after_s=400).desired == 16
    assert fleet.look(14, after_s=400).desired == 14


def test_nodes_that_are_starting_are_not_asked_for_twice():
    nodes = [*ready(2, running=1), *(replace(n, id=f"s{n.id}") for n in ready(3))]
    nodes[2:] = [replace(node, state=NodeState.STARTING) for node in nodes[2:]]
    plan = desired(Demand(2, 3), nodes, pool(), History(current=5), MONDAY)
    assert plan.desired == 5


# -- down


def test_the_fleet_shrinks_only_when_the_window_is_over():
    fleet = Fleet(pool(), nodes=1)
    assert fleet.look(8).desired == 8
    assert fleet.look(2, after_s=10).desired == 8
    plan = fleet.look(2, after_s=280)
    assert plan.desired == 8
    assert "held for 300 s" in plan.why
    assert fleet.look(2, after_s=11).desired == 2


def test_a_short_pause_costs_no_node():
    fleet = Fleet(pool(), nodes=1)
    for _ in range(10):
        assert fleet.look(6, after_s=120).desired == 6
        assert fleet.look(0, after_s=120).desired == 6


def test_without_metrics_the_fleet_is_held():
    fleet = Fleet(pool(), nodes=1)
    fleet.look(8)
    for _ in range(20):
        plan = fleet.look(None, after_s=120)
        assert plan.desired == 8
        assert plan.needed is None
    # Seeing again, it is as careful as ever.
    assert fleet.look(0).desired == 8
    assert fleet.look(0, after_s=301).desired == 1


def test_without_metrics_the_minimum_still_holds():
    assert Fleet(pool(3), nodes=1).look(None).desired == 3
    assert Fleet(pool(1, 2), nodes=5).look(None).desired == 2


def test_dead_nodes_count_as_busy_when_the_fleet_would_shrink():
    nodes = ready(6)
    dead = [*nodes[:4], *(replace(node, state=NodeState.DEAD) for node in nodes[4:])]
    history = History(current=6, recommendations=((MONDAY - 400, 6),))
    assert desired(Demand(1, 0), nodes, pool(), history, MONDAY).desired == 1
    assert desired(Demand(1, 0), dead, pool(), history, MONDAY).desired == 3


def test_scans_on_draining_nodes_want_no_new_ones():
    leaving = [replace(node, id="d", state=NodeState.DRAINING) for node in ready(1, running=3)]
    plan = desired(Demand(5, 0), [*ready(2, 1), *leaving], pool(), History(current=2), MONDAY)
    assert plan.desired == 2
    assert desired(None, [*ready(2), *leaving], pool(), History(), MONDAY).desired == 2


def test_after_its_own_restart_it_takes_over_what_is_there():
    fleet = Fleet(pool(), nodes=7)
    assert fleet.look(1).desired == 7
    assert fleet.look(1, after_s=301).desired == 1


# -- zero


def test_a_fleet_goes_to_zero_after_its_idle_time_and_not_before():
    fleet = Fleet(pool(0, buffer=2, idle_to_zero_s=900))
    assert fleet.look(0).desired == 0
    assert fleet.look(0, 1).desired == 3
    assert fleet.look(0, after_s=450).desired >= 1
    assert fleet.look(0, after_s=449).desired >= 1
    plan = fleet.look(0, after_s=1)
    assert plan.desired == 0
    assert "idle" in plan.why
    assert fleet.look(0, after_s=900).desired == 0


def test_a_fleet_that_must_not_go_to_zero_keeps_one():
    fleet = Fleet(pool(0, idle_to_zero_s=None))
    fleet.look(0, 3)
    assert [fleet.look(0, after_s=1000).desired for _ in range(5)] == [1] * 5


def test_time_without_metrics_is_not_idle_time():
    fleet = Fleet(pool(0, idle_to_zero_s=600))
    fleet.look(0, 1)
    assert fleet.look(None, after_s=700).desired == 1
    assert fleet.look(0, after_s=10).desired == 1
    assert fleet.look(0, after_s=600).desired == 0
    assert fleet.look(None, after_s=10).desired == 0
    assert fleet.look(0, after_s=10).desired == 0


# -- schedule


def test_the_scheduled_minimum_is_there_at_its_moment():
    rule = ScheduleRule(
        time_zone="Europe/Berlin",
        up=Moment(cron="45 6 * * 1-5", min=6),
        down=Moment(cron="0 18 * * 1-5", min=0),
    )
    fleet = Fleet(pool(2, 10, schedule=(rule,)))
    assert fleet.look(0).desired == 0  # one o'clock in the night in Berlin
    fleet.now = MONDAY + 5.75 * 3600 - 1
    assert fleet.look(0, after_s=0).desired == 0
    plan = fleet.look(0, after_s=1)
    assert (plan.desired, plan.minimum) == (6, 6)
    assert "minimum 6" in plan.why
    fleet.now = MONDAY + 17 * 3600
    fleet.look(4, after_s=0)
    assert fleet.look(4, after_s=301).desired == 4


def test_without_a_schedule_the_minimum_is_the_pools():
    assert Fleet(pool(3)).look(0).minimum == 3


def test_the_maximum_bounds_the_schedule_and_the_demand():
    assert Fleet(pool(1, 4)).look(0, 50).desired == 4
    assert "maximum 4" in Fleet(pool(1, 4)).look(0, 50).why


# -- what goes, and what is told


def test_what_is_of_least_use_goes_first():
    there = [
        Node("idle-old", "", state=NodeState.READY, since=1),
        Node("busy", "", state=NodeState.READY, running=1, since=9),
        Node("starting", "", state=NodeState.STARTING, since=5),
        Node("dead", "", state=NodeState.DEAD, since=2),
        Node("idle-young", "", state=NodeState.READY, since=8),
        Node("leaving", "", state=NodeState.DRAINING, since=8),
    ]
    order = ["dead", "starting", "idle-young", "idle-old"]
    assert [node.id for node in removable(there, 9)] == order
    assert [node.id for node in removable(there, 2)] == order[:2]


def test_what_will_unsettle_a_decision():
    def until(fleet: Fleet, running: int, queued: int = 0) -> float:
        plan = fleet.look(running, queued)
        assert plan.desired == fleet.history.current == fleet.look(running, queued).desired
        return settled_until(fleet.look(running, queued), fleet.settings, fleet.now) - MONDAY

    assert until(Fleet(pool(), 1), 1) == math.inf
    shrinking = Fleet(pool(), 4)  # looked at after half a second, with four nodes there
    assert until(shrinking, 1) == 0.5 + 300
    slow = ScaleUp(policies=(RatePolicy(type=PolicyKind.NODES, value=1, period_s=60),))
    growing = Fleet(pool(scale_up=slow, scale_down=ScaleDown(policies=slow.policies)), 1)
    assert growing.look(1, 5).desired == 2
    assert until(growing, 1, 5) == 0.5 + 60
    idle = Fleet(pool(0, scale_down=ScaleDown(stabilisation_window_s=0)), 1)
    idle.look(1)
    assert until(idle, 0) == 0.5 + 600
    assert until(Fleet(pool(schedule=(EVERY_QUARTER,)), 1), 1) == 60


def test_history_does_not_grow_for_ever():
    fleet = Fleet(pool(0, 30))
    for round_ in range(4000):
        fleet.look(round_ % 7, round_ % 3, after_s=1)
    assert len(fleet.history.recommendations) <= 301
    assert len(fleet.history.changes) <= 1801


@pytest.mark.parametrize("field", ["why", "minimum", "needed"])
def test_a_plan_explains_itself(field):
    plan = Fleet(pool(1, buffer=1), 1).look(2, 1)
    expected = {"why": "2 running + 1 queued: 3 needed + 1 spare", "minimum": 1, "needed": 3}
    assert getattr(plan, field) == expected[field]
