from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.scaling import History, Plan, desired, removable, settled_until
from elastron.fleet.settings import (
    Buffer,
    Moment,
    PolicyKind,
    PoolSettings,
    RatePolicy,
    ScaleDown,
    ScaleUp,
    ScalingSettings,
    ScheduleRule,
    Select,
)

MONDAY = datetime(2026, 3, 2, tzinfo=UTC).timestamp()


def pool(
    minimum: int = 1, maximum: int = 20, *, capacity: int = 1, buffer: int = 0, **scaling
) -> PoolSettings:
    made = ScalingSettings(buffer=Buffer(nodes=buffer), **scaling)
    return PoolSettings(min=minimum, max=maximum, capacity=capacity, scaling=made)


def ready(count: int, running: int = 0) -> list[Node]:
    return [
        Node(f"n{i}", f"n{i}", state=NodeState.READY, running=running, since=float(i))
        for i in range(count)
    ]


class Fleet:
    """A fleet that carries every plan out at once."""

    def __init__(self, settings: PoolSettings, nodes: int = 0, now: float = MONDAY) -> None:
        self.settings = settings
        self.now = now
        self.history = History()
        self.nodes: Sequence[Node] = ready(nodes)

    def look(self, running: int | None, queued: int = 0, after_s: float = 0.5) -> Plan:
        self.now += after_s
        demand = None if running is None else Demand(running, queued)
        plan = desired(demand, self.nodes, self.settings, self.history, self.now)
        self.history = plan.history
        self.nodes = ready(plan.desired)
        return plan


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


# -- laws

behaviours = st.fixed_dictionaries(
    {
        "stabilisation_window_s": st.sampled_from([0, 30, 300]),
        "policies": st.lists(
            st.builds(
                RatePolicy,
                type=st.sampled_from(PolicyKind),
                value=st.sampled_from([1, 3, 50, 200]),
                period_s=st.sampled_from([15, 60, 600]),
            ),
            min_size=1,
            max_size=2,
        ).map(tuple),
        "select": st.sampled_from(Select),
        "tolerance": st.none() | st.sampled_from([0.0, 0.1, 0.5]),
    }
)


EVERY_QUARTER = ScheduleRule(
    up=Moment(cron="1-59/15 * * * *", min=1), down=Moment(cron="*/15 * * * *", min=0)
)


@st.composite
def pools(draw: st.DrawFn, *, schedules: bool = True) -> PoolSettings:
    maximum = draw(st.integers(1, 30))
    return PoolSettings(
        min=draw(st.integers(0, maximum)),
        max=maximum,
        capacity=draw(st.sampled_from([1, 2, 7])),
        scaling=ScalingSettings(
            target=draw(st.sampled_from([1.0, 0.8, 0.3])),
            tolerance=draw(st.sampled_from([0.0, 0.1, 1.0])),
            buffer=draw(
                st.builds(Buffer, nodes=st.integers(0, 3), percent=st.sampled_from([0, 25, 100]))
            ),
            scale_up=ScaleUp(**draw(behaviours)),
            scale_down=ScaleDown(**draw(behaviours)),
            idle_to_zero_s=draw(st.none() | st.sampled_from([0, 60, 600])),
            schedule=draw(st.sampled_from([(), (EVERY_QUARTER,)])) if schedules else (),
        ),
    )


nodes = st.lists(
    st.builds(
        Node,
        id=st.uuids().map(str),
        address=st.just("a"),
        state=st.sampled_from(NodeState),
        running=st.integers(0, 3),
        since=st.floats(0, 1000),
    ),
    max_size=12,
)
demands = st.none() | st.builds(Demand, st.integers(0, 40), st.integers(0, 40))
looks = st.lists(st.tuples(st.sampled_from([0.5, 15, 61, 301]), demands, nodes), max_size=12)


def after(settings: PoolSettings, past: list[tuple[float, Demand | None, list[Node]]]):
    history, now = History(), MONDAY
    for after_s, demand, there in past:
        now += after_s
        history = desired(demand, there, settings, history, now).history
    return history, now + 0.5


@given(pools(), looks, demands, nodes)
def test_bounds_always_hold(settings, past, demand, there):
    history, now = after(settings, past)
    plan = desired(demand, there, settings, history, now)
    schedule = settings.scaling.schedule
    assert (0 if schedule else settings.min) <= plan.desired <= settings.max
    assert plan.minimum <= plan.desired
    assert plan.history.current == plan.desired
    assert plan.why


@given(pools(), looks, demands.filter(bool), st.tuples(*[st.integers(0, 30)] * 2), nodes)
def test_more_demand_never_means_fewer_nodes(settings, past, demand, extra, there):
    history, now = after(settings, past)
    more = Demand(demand.running + extra[0], demand.queued + extra[1])
    low = desired(demand, there, settings, history, now)
    high = desired(more, there, settings, history, now)
    assert low.desired <= high.desired


@given(pools(schedules=False), looks, st.integers(0, 60))
def test_constant_demand_leads_one_way_and_then_to_rest(settings, past, load):
    history, now = after(settings, past)
    there = ready(history.current or 0)
    counts: list[int] = []
    for _ in range(80):
        now += 61
        plan = desired(Demand(load, 0), there, settings, history, now)
        history, there = plan.history, ready(plan.desired)
        counts.append(plan.desired)
    steps = [later - earlier for earlier, later in pairwise(counts) if later != earlier]
    assert all(step > 0 for step in steps) or all(step < 0 for step in steps)
    rested = [later - earlier for earlier, later in pairwise(counts[-15:])]
    slow = [p for b in (settings.scaling.scale_up, settings.scaling.scale_down) for p in b.policies]
    if all(policy.period_s < 61 * 5 and policy.value > 30 for policy in slow):
        assert not any(rested)


@given(pools(), looks)
def test_blind_it_never_shrinks(settings, past):
    history, now = after(settings, past)
    plan = desired(None, ready(history.current or 0), settings, history, now)
    assert plan.desired >= min(history.current or 0, settings.max)


@given(nodes, st.integers(-1, 20))
def test_a_busy_node_is_never_chosen(there, count):
    gone = removable(there, count)
    assert len(gone) <= max(count, 0)
    assert len({node.id for node in gone}) == len(gone)
    assert all(node.running == 0 for node in gone)
    assert all(node.state is not NodeState.DRAINING for node in gone)
    idle = [n for n in there if n.running == 0 and n.state in removable_states]
    assert len(gone) == min(max(count, 0), len(idle))


removable_states = (NodeState.DEAD, NodeState.STARTING, NodeState.READY)


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


@given(pools(), looks, st.integers(0, 40), st.lists(st.floats(0, 1), max_size=6))
def test_until_it_is_settled_nothing_new_is_decided(settings, past, load, parts):
    """What lets the simulator leave looks out."""
    history, now = after(settings, past)
    there, demand = ready(history.current or 0), Demand(load, 0)
    plan = desired(demand, there, settings, history, now)
    while plan.desired != history.current:  # a decision that changed something is not settled
        history, there, now = plan.history, ready(plan.desired), now + 0.5
        plan = desired(demand, there, settings, history, now)
    until = min(settled_until(plan, settings, now), now + 3600)
    history = plan.history
    looked = [now + part * (until - now) * 0.999 for part in sorted(parts)]
    for at in looked:
        later = desired(demand, there, settings, history, at)
        assert later.desired == plan.desired
        history = later.history
    if looked:
        assert plan.history.held_until(looked[-1]) == replace(history, changes=plan.history.changes)


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
