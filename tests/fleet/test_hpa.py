"""The HPA's published examples and the tables of Kubernetes' own tests, reproduced."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.fleet import hpa
from elastron.fleet.settings import (
    Behaviour,
    PolicyKind,
    RatePolicy,
    ScaleDown,
    ScaleUp,
    Select,
)

#: Behaviour of an HPA that says nothing (autoscaling/v2).
HPA_UP = ScaleUp(
    policies=(
        RatePolicy(type=PolicyKind.PERCENT, value=100, period_s=15),
        RatePolicy(type=PolicyKind.NODES, value=4, period_s=15),
    )
)
HPA_DOWN = ScaleDown()


def behaviour(
    nodes: int = 0,
    nodes_period_s: int = 0,
    percent: int = 0,
    percent_period_s: int = 0,
    select: Select = Select.MAX,
) -> Behaviour:
    policies: list[RatePolicy] = []
    if nodes:
        policies.append(RatePolicy(type=PolicyKind.NODES, value=nodes, period_s=nodes_period_s))
    if percent:
        policies.append(
            RatePolicy(type=PolicyKind.PERCENT, value=percent, period_s=percent_period_s)
        )
    return Behaviour(stabilisation_window_s=0, policies=tuple(policies), select=select)


def spread(changes: Sequence[int], period_s: float) -> list[tuple[float, int]]:
    """Changes in the middles of equal parts of the time before now (0)."""
    part_s = period_s / len(changes)
    return [(-period_s + part_s * (i + 0.5), change) for i, change in enumerate(changes)]


# -- ratio, tolerance, rounding, unready pods, missing metrics


def test_the_documented_examples():
    # "if the current metric value is 200m, and the desired value is 100m, the number of replicas
    # will be doubled [...] If the current value is instead 50m, you'll halve the number"
    assert hpa.replicas(4 * 0.2, target=0.1, current=4, ready=4) == 8
    assert hpa.replicas(4 * 0.05, target=0.1, current=4, ready=4) == 2


@pytest.mark.parametrize(
    ("name", "levels", "target", "current", "missing", "expected"),
    [
        ("ScaleUp", [300, 500, 700], 300, 3, 0, 5),
        ("ScaleUpUnreadyLessScale", [500, 700], 300, 3, 0, 4),
        ("ScaleUpUnreadyNoScale", [400], 300, 3, 0, 3),
        ("ScaleUpIgnoresFailedPods", [500, 700], 300, 2, 0, 4),
        ("ScaleUpCM", [20000, 10000, 30000], 15000, 3, 0, 4),
        ("ScaleUpCMUnreadyHotCpuNoLessScale", [50000, 10000, 30000], 15000, 3, 0, 6),
        ("ScaleUpCMUnreadyHotCpuScaleWouldScaleDown", [50000, 15000, 30000], 15000, 3, 0, 7),
        ("ScaleUpCMExternal", [8600], 4400, 1, 0, 2),
        ("ScaleDown", [100, 300, 500, 250, 250], 500, 5, 0, 3),
        ("ScaleDownCM", [12000] * 5, 20000, 5, 0, 3),
        ("ScaleDownIncludeUnreadyPods", [100, 300, 500], 500, 5, 0, 2),
        ("ScaleDownExcludeUnscheduledPods", [100], 500, 5, 0, 1),
        ("ToleranceCM", [20000, 21000, 21000], 20000, 3, 0, 3),
        ("Tolerance", [1010, 1030, 1020], 1000, 3, 0, 3),
        ("SuperfluousMetrics", [4000, 9500, 3000, 7000], 1000, 4, 0, 24),
        ("MissingMetrics", [400, 95], 1000, 4, 2, 3),
        ("MissingMetricsNoChangeEq", [1000], 1000, 2, 1, 2),
        ("MissingMetricsNoChangeGt", [1900], 1000, 2, 1, 2),
        ("MissingMetricsNoChangeLt", [600], 1000, 2, 1, 2),
        ("MissingMetricsUnreadyChange", [450], 500, 3, 1, 3),
        ("MissingMetricsUnreadyScaleUp", [2000], 500, 3, 1, 4),
    ],
)
def test_the_replica_calculators_own_tests(*, name, levels, target, current, missing, expected):
    found = hpa.replicas(
        sum(levels), target=target, current=current, ready=len(levels), missing=missing
    )
    assert found == expected, name


@pytest.mark.parametrize(
    ("total", "target", "current", "expected"),
    [(8600, 2150, 3, 4), (8600, 2867, 5, 3), (8600, 2900, 3, 3), (20166, 5000, 4, 4)],
)
def test_a_metric_of_the_whole_fleet_divided_by_its_nodes(total, target, current, expected):
    assert hpa.replicas(total, target=target, current=current, ready=current) == expected


def test_from_zero_there_is_no_tolerance():
    assert hpa.replicas(1, target=10, current=0, ready=0) == 1
    assert hpa.replicas(0, target=10, current=0, ready=0) == 0
    assert hpa.replicas(21, target=10, current=0, ready=0) == 3


def test_rounding_is_not_misled_by_binary_fractions():
    assert 0.1 * 3 / 0.3 > 1
    assert hpa.replicas(3, target=0.3, current=1, ready=1) == 10


def test_tolerance_has_two_directions():
    def asked(load: float, up: float, down: float) -> int:
        return hpa.replicas(
            load, target=1, current=20, ready=20, tolerance_up=up, tolerance_down=down
        )

    assert asked(21, up=0.1, down=0) == 20
    assert asked(21, up=0, down=0.1) == 21
    assert asked(19, up=0, down=0.1) == 20
    assert asked(19, up=0.1, down=0) == 19


loads = st.integers(0, 400).map(lambda quarters: quarters / 4)


@given(
    one=loads,
    other=loads,
    target=st.sampled_from([0.25, 0.7, 1, 3.5]),
    current=st.integers(0, 60),
    ready=st.integers(0, 60),
    missing=st.integers(0, 60),
    tolerance_up=st.floats(0, 0.5),
    tolerance_down=st.floats(0, 0.5),
)
def test_more_load_is_never_worth_fewer_nodes(
    *, one, other, target, current, ready, missing, tolerance_up, tolerance_down
):
    low, high = (
        hpa.replicas(
            load,
            target=target,
            current=current,
            ready=ready,
            missing=missing,
            tolerance_up=tolerance_up,
            tolerance_down=tolerance_down,
        )
        for load in sorted((one, other))
    )
    assert 0 <= low <= high


@given(loads, st.sampled_from([0.25, 1, 3.5]), st.integers(1, 60), st.floats(0, 0.5))
def test_the_answer_is_stable(load, target, current, tolerance):
    def asked(nodes: int) -> int:
        return hpa.replicas(
            load,
            target=target,
            current=nodes,
            ready=nodes,
            tolerance_up=tolerance,
            tolerance_down=tolerance,
        )

    found = asked(current)
    assert asked(found) == found or found == 0


# -- stabilisation windows


@pytest.mark.parametrize(
    ("name", "past", "current", "newest", "up_s", "down_s", "expected"),
    [
        ("empty recommendations", [], 100, 5, 0, 0, 5),
        ("simple scale down", [(-120, 4), (-60, 5)], 100, 3, 0, 180, 5),
        ("simple scale up", [(-120, 4), (-60, 5)], 1, 7, 300, 0, 4),
        ("no scale down stabilization", [(-120, 1), (-60, 2)], 100, 3, 300, 0, 3),
        ("no scale up stabilization", [(-120, 4), (-60, 5)], 1, 3, 0, 300, 3),
        ("obsolete, down", [(-600, 10), (-540, 9)], 100, 3, 0, 0, 3),
        ("obsolete, up", [(-600, 10), (-540, 9)], 1, 100, 0, 0, 100),
        ("one obsolete, down", [(-600, 10), (-60, 4), (-120, 5), (-540, 9)], 100, 3, 0, 180, 5),
        ("one obsolete, up", [(-6000, 10), (-60, 6), (-120, 5), (-180, 9)], 1, 100, 300, 0, 5),
        ("both, down is held", [(-6000, 2), (-180, 3)], 2, 1, 300, 300, 2),
        ("both, up is held", [(-6000, 2), (-180, 1)], 2, 3, 300, 300, 2),
    ],
)
def test_the_stabilisation_tests_of_kubernetes(
    *, name, past, current, newest, up_s, down_s, expected
):
    found = hpa.stabilise(
        newest, past, current=current, up_window_s=up_s, down_window_s=down_s, now=0
    )
    assert found == expected, name


def play(recommendations: list[int], *, current: int, up: Behaviour, down: Behaviour) -> list[int]:
    """Nodes after each round of one minute."""
    past: list[tuple[float, int]] = []
    changes: list[tuple[float, int]] = []
    nodes: list[int] = []
    for minute, recommendation in enumerate(recommendations):
        now = 60.0 * minute
        stable = hpa.stabilise(
            recommendation,
            past,
            current=current,
            up_window_s=up.stabilisation_window_s,
            down_window_s=down.stabilisation_window_s,
            now=now,
        )
        past.append((now, recommendation))
        after = hpa.limit(stable, changes, current=current, up=up, down=down, now=now)
        changes.append((now, after - current))
        current = after
        nodes.append(current)
    return nodes


def test_story_5_of_the_proposal_stabilisation_before_scaling_down():
    down = ScaleDown(
        stabilisation_window_s=600,
        policies=(RatePolicy(type=PolicyKind.NODES, value=5, period_s=60),),
    )
    recommendations = [10, 9, 8, 9, 9, 8, 9, 8, 9, 8, 7]
    assert play(recommendations, current=10, up=HPA_UP, down=down) == [10] * 10 + [9]


def test_story_6_of_the_proposal_avoid_false_positive_signals():
    up = ScaleUp(
        stabilisation_window_s=300,
        policies=(RatePolicy(type=PolicyKind.NODES, value=20, period_s=60),),
    )
    nodes = play([2, 3, 19, 10, 3, 4, 7], current=2, up=up, down=HPA_DOWN)
    assert nodes[:5] == [2] * 5
    assert nodes[-1] == 3


# -- rate policies


def test_story_1_of_the_proposal_as_fast_as_possible():
    up = behaviour(percent=900, percent_period_s=60)
    assert play([1000] * 3, current=1, up=up, down=HPA_DOWN) == [10, 100, 1000]


def test_story_2_of_the_proposal_down_very_gradually():
    down = behaviour(nodes=1, nodes_period_s=600)
    nodes = play([1] * 21, current=1000, up=HPA_UP, down=down)
    assert nodes == [999] * 10 + [998] * 10 + [997]


def test_story_3_of_the_proposal_up_very_gradually():
    up = behaviour(nodes=1, nodes_period_s=300)
    assert play([9] * 16, current=1, up=up, down=HPA_DOWN) == [2] * 5 + [3] * 5 + [4] * 5 + [5]


def test_story_4_of_the_proposal_do_not_scale_down():
    down = behaviour(percent=100, percent_period_s=15, select=Select.DISABLED)
    assert play([8, 1, 1, 1], current=4, up=HPA_UP, down=down) == [8, 8, 8, 8]
    up = behaviour(percent=100, percent_period_s=15, select=Select.DISABLED)
    assert play([8, 9], current=4, up=up, down=HPA_DOWN) == [4, 4]


def test_the_documented_example_of_two_policies_down():
    # "80 replicas and the target has to be scaled down to 10 replicas then during the first step 8
    # replicas will be reduced. In the next iteration when the number of replicas is 72, 10% of the
    # pods is 7.2 but the number is rounded up to 8 [...] When the number of replicas falls below 40
    # [...] 4 replicas will be reduced at a time."
    down = behaviour(nodes=4, nodes_period_s=60, percent=10, percent_period_s=60)
    nodes = play([10] * 16, current=80, up=HPA_UP, down=down)
    assert nodes[:2] == [72, 64]
    below = nodes[next(i for i, count in enumerate(nodes) if count < 40) :]
    assert all(before - after == 4 for before, after in pairwise(below) if after > 10)
    assert nodes[-1] == 10


def test_the_documented_example_of_the_smaller_policy_down():
    # "no more than 5 Pods are removed per minute [...] selectPolicy: Min"
    down = behaviour(nodes=5, nodes_period_s=60, percent=10, percent_period_s=60, select=Select.MIN)
    assert play([1] * 2, current=100, up=HPA_UP, down=down) == [95, 90]
    assert play([1], current=30, up=HPA_UP, down=down) == [27]


def test_the_default_behaviour_adds_four_or_doubles():
    assert play([100] * 6, current=1, up=HPA_UP, down=HPA_DOWN) == [5, 10, 20, 40, 80, 100]


@pytest.mark.parametrize(
    ("name", "changes", "up", "current", "wanted", "expected"),
    [
        (
            "lots of recent growth",
            spread([1, 5, 9], 120),
            behaviour(nodes=5, nodes_period_s=120),
            100,
            500,
            100,
        ),
        (
            "pod policy and previous growth",
            spread([1, 5, 9], 120),
            behaviour(nodes=150, nodes_period_s=120),
            100,
            500,
            235,
        ),
        (
            "percent policy and previous growth",
            spread([1, 5, 9], 120),
            behaviour(percent=200, percent_period_s=120),
            100,
            500,
            255,
        ),
        (
            "previous up and down",
            [*spread([4], 120), *spread([-2], 120)],
            behaviour(percent=300, percent_period_s=300),
            6,
            24,
            16,
        ),
        (
            "the smaller policy",
            [],
            behaviour(2, 60, 50, 60, select=Select.MIN),
            1,
            9,
            2,
        ),
    ],
)
def test_growth_as_in_kubernetes_own_tests(*, name, changes, up, current, wanted, expected):
    found = hpa.limit(wanted, changes, current=current, up=up, down=HPA_DOWN, now=0)
    assert found == expected, name


@pytest.mark.parametrize(
    ("name", "changes", "down", "current", "wanted", "expected"),
    [
        ("percent policy", [], behaviour(percent=50, percent_period_s=60), 10, 2, 5),
        (
            "pod policy and previous shrinking",
            spread([-1, -5, -9], 120),
            behaviour(nodes=5, nodes_period_s=120),
            100,
            2,
            100,
        ),
        (
            "percent policy and previous shrinking",
            spread([-2, -4, -6], 120),
            behaviour(percent=50, percent_period_s=120),
            100,
            0,
            56,
        ),
        (
            "previous up and down",
            [*spread([2], 120), *spread([-4], 120)],
            behaviour(percent=50, percent_period_s=180),
            10,
            1,
            6,
        ),
        (
            "previous shrinking prevents more",
            spread([-10, -10, -10], 120),
            behaviour(percent=10, percent_period_s=120),
            100,
            0,
            100,
        ),
        (
            "previous shrinking allows more",
            spread([-10, -10, -10], 120),
            behaviour(percent=1000, percent_period_s=120),
            10,
            5,
            5,
        ),
        (
            "the smaller policy",
            [],
            behaviour(2, 60, 50, 60, select=Select.MIN),
            5,
            0,
            3,
        ),
    ],
)
def test_shrinking_as_in_kubernetes_own_tests(*, name, changes, down, current, wanted, expected):
    found = hpa.limit(wanted, changes, current=current, up=HPA_UP, down=down, now=0)
    assert found == expected, name


@given(
    st.integers(0, 100),
    st.integers(0, 100),
    st.lists(st.tuples(st.floats(-2000, 0), st.integers(-20, 20)), max_size=8),
    st.builds(
        behaviour,
        st.integers(1, 50),
        st.integers(1, 1800),
        st.integers(1, 400),
        st.integers(1, 1800),
        st.sampled_from(Select),
    ),
)
def test_a_limit_never_leads_beyond_nor_backwards(current, wanted, changes, rules):
    found = hpa.limit(wanted, changes, current=current, up=rules, down=rules, now=0)
    assert min(current, wanted) <= found <= max(current, wanted)
    assert not math.isnan(found)
