"""The simulator, against queueing theory, by hand, and against itself."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.errors import ConfigError
from elastron.fleet.outcome import Fate, Result
from elastron.fleet.settings import FleetSettings, parse_fleet
from elastron.fleet.simulation import Assumptions, simulate
from elastron.fleet.traces import Scan, Trace, load_trace, shipped_traces

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def trace(*scans: Scan, duration_s: float = 0) -> Trace:
    ordered = sorted(scans, key=lambda scan: scan.arrival_s)
    return Trace("t", MONDAY, duration_s, tuple(ordered))


def fixed(nodes: int, **pool) -> FleetSettings:
    return FleetSettings.model_validate(
        {"pools": {"default": {"min": nodes, "max": nodes, **pool}}}
    )


def waits(result: Result) -> list[float]:
    return [outcome.wait_s for outcome in result.outcomes]


def queues(result: Result) -> list[float]:
    return [outcome.queue_s for outcome in result.outcomes]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def poisson(
    rate: float, count: int, work: Callable[[random.Random], float], seed: int = 1
) -> Trace:
    """Scans that come at random, streamed in no time."""
    chance = random.Random(seed)
    at, scans = 0.0, []
    for _ in range(count):
        at += chance.expovariate(rate)
        scans.append(Scan(at, 0, work(chance)))
    return trace(*scans)


# -- against theory


def erlang_c(servers: int, load: float) -> float:
    """Share of customers that wait in M/M/c (Erlang's second formula)."""
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


@pytest.mark.parametrize(("nodes", "capacity"), [(1, 1), (4, 1), (2, 2)])
def test_the_queue_is_erlangs(nodes, capacity):
    servers, work_s, use = nodes * capacity, 10.0, 0.7
    rate = servers * use / work_s
    result = simulate(
        poisson(rate, 4000, lambda chance: chance.expovariate(1 / work_s)),
        fixed(nodes, capacity=capacity),
    )
    expected = erlang_c(servers, servers * use) * work_s / (servers * (1 - use))
    assert mean(queues(result)) == pytest.approx(expected, rel=0.12)


def test_constant_work_waits_half_as_long():
    # Pollaczek and Khinchine: M/D/1 waits half as long as M/M/1.
    result = simulate(poisson(0.08, 6000, lambda _: 10.0), fixed(1))
    assert mean(queues(result)) == pytest.approx(0.8 / (2 * (1 - 0.8)) * 10, rel=0.12)


# -- by hand


def test_a_scan_alone_waits_for_nothing():
    result = simulate(trace(Scan(10, 60, 30), duration_s=3600), fixed(1))
    (outcome,) = result.outcomes
    assert (outcome.fate, outcome.queue_s, outcome.wait_s) == (Fate.FINISHED, 0, 0)
    assert result.node_seconds == {"default": 3600}
    assert result.starts == 1


def test_who_waits_streams_on_and_catches_up():
    first, second = Scan(0, 100, 20), Scan(50, 100, 10)
    result = simulate(trace(first, second), fixed(1), assumptions=Assumptions(replay_speed=20))
    # Placed at 120, 70 s late; replayed in 3.5 s, so the stream's own end at 150 is not missed.
    assert queues(result) == [0, 70]
    assert waits(result) == [0, 0]
    third = Scan(50, 20, 10)
    result = simulate(trace(first, third), fixed(1), assumptions=Assumptions(replay_speed=20))
    # Placed at 120 when all its data is there: 1 s to read it, then 10 s; alone it had ended at 80.
    assert queues(result) == [0, 70]
    assert waits(result) == [0, pytest.approx(120 + 1 + 10 - 80)]


def test_a_fleet_grows_for_who_waits():
    fleet = parse_fleet(
        "pools: {default: {min: 0, max: 3, start_delay_s: 30}}\nscaling: {buffer: 0}\npoll_s: 5"
    )
    result = simulate(trace(Scan(7, 0, 100), Scan(8, 0, 100), duration_s=3600), fleet)
    # Seen at the next look, at 10; there 30 s later.
    assert queues(result) == [33, 32]
    assert max(sample.nodes for sample in result.samples) == 2
    # Demand was last seen at 135: one node goes when the window is over, the other by its idle
    # time, each a second later.
    assert result.node_seconds["default"] == (135 + 300 + 1 - 10) + (135 + 600 + 1 - 10)


def test_start_and_stop_are_paid_for():
    fleet = parse_fleet(
        "pools: {default: {min: 0, max: 1, start_delay_s: 30}}\n"
        "scaling: {buffer: 0, idle_to_zero_s: 0}"
    )
    result = simulate(
        trace(Scan(1, 0, 100), duration_s=3600), fleet, assumptions=Assumptions(stop_delay_s=7)
    )
    assert result.node_seconds["default"] == pytest.approx(30 + 100 + 7)


def test_the_schedule_has_the_nodes_there_in_time():
    text = """
pools: {default: {min: 1, max: 9, start_delay_s: 600}}
scaling:
  buffer: 0
  schedule: [{up: {cron: "0 7 * * 1-5", min: 5}, down: {cron: "0 18 * * 1-5"}}]
"""
    patients = [Scan(7.25 * 3600 + scanner, 600, 60) for scanner in range(5)]
    result = simulate(trace(*patients, duration_s=86400), parse_fleet(text))
    assert queues(result) == [0] * 5
    without = simulate(trace(*patients, duration_s=86400), fixed(1))
    assert max(queues(without)) > 600
    at_noon = [sample.nodes for sample in result.samples if sample.at_s <= 12 * 3600][-1]
    assert at_noon == 5
    assert result.samples[-1].nodes == 1


def test_a_full_queue_refuses_and_so_does_a_long_wait():
    scans = [Scan(0, 0, 100), Scan(1, 0, 100), Scan(2, 0, 100), Scan(3, 0, 1)]
    full = simulate(trace(*scans), fixed(1), assumptions=Assumptions(queue_length_max=2))
    assert sorted(outcome.fate for outcome in full.outcomes) == ["finished"] * 3 + ["refused"]
    assert next(o for o in full.outcomes if o.fate is Fate.REFUSED).scan == scans[3]
    late = simulate(trace(*scans), fixed(1), assumptions=Assumptions(queue_timeout_s=150))
    refused = [outcome for outcome in late.outcomes if outcome.fate is Fate.REFUSED]
    assert [outcome.queue_s for outcome in refused] == [150, 150]
    assert late.end_s == 200


def test_pools_are_apart():
    fleet = parse_fleet("pools: {a: {min: 1, max: 1}, b: {min: 1, max: 1}}")
    scans = [Scan(0, 0, 100, "a"), Scan(1, 0, 100, "a"), Scan(2, 0, 5, "b")]
    result = simulate(trace(*scans), fleet)
    assert {o.scan: o.queue_s for o in result.outcomes} == dict(zip(scans, [0, 99, 0], strict=True))
    with pytest.raises(ConfigError, match="pool 'c', which the fleet does not have; it has a, b"):
        simulate(trace(Scan(0, 0, 1, "c")), fleet)


def test_an_empty_trace_costs_the_minimum():
    result = simulate(trace(duration_s=7200), fixed(2))
    assert result.node_seconds == {"default": 2 * 7200}
    assert result.outcomes == ()


# -- laws

scans = st.builds(
    Scan,
    st.floats(0, 4000).map(lambda value: round(value, 1)),
    st.floats(0, 300).map(lambda value: round(value, 1)),
    st.floats(0, 300).map(lambda value: round(value, 1)),
)


@st.composite
def fleets(draw: st.DrawFn) -> FleetSettings:
    def rates() -> dict[str, object]:
        policy = {
            "type": draw(st.sampled_from(["nodes", "percent"])),
            "value": draw(st.sampled_from([1, 50, 100])),
            "period_s": draw(st.sampled_from([15, 60])),
        }
        return {
            "policies": [policy],
            "stabilisation_window_s": draw(st.sampled_from([0, 20, 300])),
            "select": draw(st.sampled_from(["max", "min"])),
        }

    rule = {"up": {"cron": "*/20 * * * *", "min": 3}, "down": {"cron": "10-59/20 * * * *"}}
    return FleetSettings.model_validate(
        {
            "pools": {
                "default": {
                    "min": draw(st.integers(0, 3)),
                    "max": draw(st.integers(3, 8)),
                    "capacity": draw(st.integers(1, 3)),
                    "start_delay_s": draw(st.sampled_from([0, 1.7, 60])),
                }
            },
            "scaling": {
                "buffer": draw(st.sampled_from([0, 1, "50%"])),
                "target": draw(st.sampled_from([1, 0.6])),
                "scale_up": rates(),
                "scale_down": rates(),
                "idle_to_zero_s": draw(st.sampled_from([None, 0, 90])),
                "schedule": draw(st.sampled_from([[], [rule]])),
            },
            "poll_s": draw(st.sampled_from([0.5, 15])),
        }
    )


@settings(max_examples=30)
@given(st.lists(scans, max_size=25), fleets())
def test_leaving_looks_out_changes_nothing(some, fleet):
    short = trace(*some, duration_s=2000)
    quick = simulate(short, fleet)
    slow = simulate(short, fleet, assumptions=Assumptions(every_poll=True))
    assert quick.outcomes == slow.outcomes
    assert quick.node_seconds == pytest.approx(slow.node_seconds)
    assert quick.starts == slow.starts


@given(st.lists(scans, max_size=40), fleets())
def test_every_scan_ends_once_and_no_node_is_overfull(some, fleet):
    result = simulate(trace(*some, duration_s=1000), fleet)
    pool = fleet.pools["default"]
    assert sorted(o.scan.arrival_s for o in result.outcomes) == sorted(s.arrival_s for s in some)
    assert all(outcome.fate is not Fate.LOST for outcome in result.outcomes)
    assert all(value >= 0 for value in (*waits(result), *queues(result)))
    for sample in result.samples:
        assert 0 <= sample.ready <= min(sample.nodes, pool.max)
        assert 0 <= sample.running <= sample.nodes * pool.capacity
    finished = [o for o in result.outcomes if o.fate is Fate.FINISHED]
    held_s = sum(o.scan.reconstruction_s for o in finished)
    assert held_s <= sum(result.node_seconds.values()) * pool.capacity + 1e-6


def test_the_same_comes_out_every_time():
    clinic = load_trace(shipped_traces()["clinic-day"])
    assert simulate(clinic, FleetSettings()) == simulate(clinic, FleetSettings())


def test_nobody_waits_in_the_clinic():
    result = simulate(load_trace(shipped_traces()["clinic-day"]), FleetSettings())
    assert max(waits(result)) == 0
    assert all(outcome.fate is Fate.FINISHED for outcome in result.outcomes)
    assert not math.isinf(result.end_s)
