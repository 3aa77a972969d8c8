from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from elastron.fleet.kubernetes.upkeep import (
    AGE_STEP_S,
    BUSY_COST,
    DELETION_COST,
    SAFE_TO_EVICT,
    Load,
    Pod,
    annotations_due,
    deletion_cost,
)

LOADS = st.builds(Load, st.integers(0, 64), st.floats(0, 1e6))


def _pod(**annotations: str) -> Pod:
    return Pod("node-0", "10.0.0.1", running=True, annotations=annotations)


@given(LOADS)
def test_idle_pods_leave_before_busy_ones(load: Load):
    assert (deletion_cost(load) == 0) == (load.scans == 0)
    assert load.scans == 0 or deletion_cost(load) >= BUSY_COST


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_longest_scan_is_the_last_to_be_disturbed(one: float, other: float):
    costs = [deletion_cost(Load(1, age)) for age in sorted((one, other))]
    assert costs == sorted(costs)


@given(LOADS)
def test_what_was_written_is_not_written_again(load: Load):
    pod = _pod()
    written = {**pod.annotations, **annotations_due(pod, load)}
    assert not annotations_due(_pod(**written), load)


def test_a_scan_that_grows_older_is_not_written_at_every_look():
    pod = _pod(**annotations_due(_pod(), Load(1, 1.0)))
    assert not annotations_due(pod, Load(1, AGE_STEP_S - 1))
    assert annotations_due(pod, Load(1, AGE_STEP_S)) == {DELETION_COST: str(BUSY_COST + 1)}


def test_a_pod_that_does_not_tell_keeps_what_it_has():
    busy = _pod(**{DELETION_COST: "12", SAFE_TO_EVICT: "false"})
    assert not annotations_due(busy, None)


def test_idle_again():
    busy = _pod(**{DELETION_COST: "12", SAFE_TO_EVICT: "false"})
    assert annotations_due(busy, Load(0)) == {DELETION_COST: "0", SAFE_TO_EVICT: "true"}
    assert annotations_due(_pod(), Load(0)) == {SAFE_TO_EVICT: "true"}
