"""The original system's policy: its mechanics by hand, and the comparison that matters."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from elastron.errors import ConfigError
from elastron.fleet.gadgetron_azure import simulate_gadgetron_azure
from elastron.fleet.outcome import Fate, Result
from elastron.fleet.report import Figures, summarise
from elastron.fleet.settings import FleetSettings
from elastron.fleet.simulation import simulate
from elastron.fleet.traces import Scan, Trace, load_trace, shipped_traces

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def trace(*scans: Scan, duration_s: float = 0) -> Trace:
    return Trace("t", MONDAY, duration_s, tuple(sorted(scans, key=lambda s: s.arrival_s)))


def fleet(**pool) -> FleetSettings:
    return FleetSettings.model_validate({"pools": {"default": pool}})


def nodes_at(result: Result, when_s: float) -> int:
    return [sample.nodes for sample in result.samples if sample.at_s <= when_s][-1]


def test_scans_on_one_pod_share_it_while_they_reconstruct():
    # Streaming does not slow anybody; from 100 to 120 there are two at half speed.
    result = simulate_gadgetron_azure(trace(Scan(0, 100, 10), Scan(50, 50, 10)), fleet(max=1))
    assert [outcome.wait_s for outcome in result.outcomes] == [10, 10]
    roomy = fleet(max=1, capacity=2)
    result = simulate_gadgetron_azure(trace(Scan(0, 100, 10), Scan(50, 50, 10)), roomy)
    assert [outcome.wait_s for outcome in result.outcomes] == [0, 0]


def test_who_comes_later_slows_who_is_there():
    # Alone until 10, both at half speed until 40, then the first alone again for its last 5 s.
    result = simulate_gadgetron_azure(trace(Scan(0, 0, 30), Scan(10, 0, 15)), fleet(max=1))
    assert {o.scan.arrival_s: o.wait_s for o in result.outcomes} == {10: 15, 0: 15}


def test_sharing_is_as_theory_has_it():
    # M/M/1 with processor sharing: work x stays x / (1 - use) on average.
    chance, at, scans = random.Random(1), 0.0, []
    for _ in range(4000):
        at += chance.expovariate(0.06)
        scans.append(Scan(at, 0, chance.expovariate(0.1)))
    result = simulate_gadgetron_azure(trace(*scans), fleet(max=1))
    waited = [outcome.wait_s for outcome in result.outcomes]
    assert sum(waited) / len(waited) == pytest.approx(10 / (1 - 0.6) - 10, rel=0.12)


def test_an_active_pod_is_doubled_and_a_silent_one_idle_after_ten_minutes():
    # One start: activity 1 of a target of 0.5, so two pods; of two one is active, which is enough.
    result = simulate_gadgetron_azure(
        trace(Scan(95, 10, 10), duration_s=3600), fleet(max=9, start_delay_s=20)
    )
    assert nodes_at(result, 119) == 1
    assert nodes_at(result, 125) == 2  # sampled at 120
    assert max(sample.nodes for sample in result.samples) == 2
    assert nodes_at(result, 95 + 600) == 2
    # The metric looks back ten minutes, the stabilisation window another five.
    assert nodes_at(result, 95 + 600 + 300 + 60) == 1


def test_a_long_reconstruction_reads_as_idle_and_is_killed():
    # Starts now and then keep two pods; then nothing starts, and one of them is taken away.
    starts = [Scan(60.0 + 100 * i, 5, 5) for i in range(6)]
    long = [Scan(640.0 + i, 5, 7200) for i in range(8)]
    result = simulate_gadgetron_azure(
        trace(*starts, *long, duration_s=7200), fleet(max=4, start_delay_s=20)
    )
    lost = [outcome for outcome in result.outcomes if outcome.fate is Fate.LOST]
    assert lost
    assert all(outcome.scan in long for outcome in lost)
    assert nodes_at(result, 3600) == 1


def test_a_scan_that_ends_within_the_grace_is_not_lost():
    # As above, but everything ends before the window does.
    starts = [Scan(60.0 + 100 * i, 5, 5) for i in range(6)]
    result = simulate_gadgetron_azure(
        trace(*starts, duration_s=7200), fleet(max=4, start_delay_s=20)
    )
    assert all(outcome.fate is Fate.FINISHED for outcome in result.outcomes)
    assert nodes_at(result, 3600) == 1


def test_an_hpa_keeps_one_pod_even_where_the_minimum_is_zero():
    rules = [{"up": {"cron": "0 1 * * *", "min": 3}, "down": {"cron": "0 2 * * *"}}]
    settings = FleetSettings.model_validate(
        {"pools": {"default": {"min": 0, "max": 3}}, "scaling": {"schedule": rules}}
    )
    result = simulate_gadgetron_azure(trace(Scan(5, 1, 1), duration_s=7500), settings)
    assert [outcome.fate for outcome in result.outcomes] == [Fate.FINISHED]
    assert nodes_at(result, 3599) == 1
    with pytest.raises(ConfigError, match="pool 'gpu'"):
        simulate_gadgetron_azure(trace(Scan(0, 0, 1, "gpu")), settings)


def test_the_schedules_minimum_is_applied():
    rules = [{"up": {"cron": "0 1 * * *", "min": 3}, "down": {"cron": "0 2 * * *"}}]
    settings = FleetSettings.model_validate(
        {"pools": {"default": {"max": 5}}, "scaling": {"schedule": rules}}
    )
    # Some traffic, as without any there is no metric and the HPA does nothing.
    scans = [Scan(120.0 * i, 5, 5) for i in range(90)]
    result = simulate_gadgetron_azure(trace(*scans, duration_s=10800), settings)
    assert nodes_at(result, 3600 + 15) >= 3


def test_every_scan_ends_once_and_chance_has_a_seed():
    day = load_trace(shipped_traces()["clinic-day"])
    result = simulate_gadgetron_azure(day, FleetSettings(), seed=3)
    assert len(result.outcomes) == len(day.scans)
    assert result == simulate_gadgetron_azure(day, FleetSettings(), seed=3)
    assert result != simulate_gadgetron_azure(day, FleetSettings(), seed=4)


def test_the_hospital_week_is_what_we_claim():
    """At no more node hours ours waits ten times less (p95), and loses nothing."""
    week = load_trace(shipped_traces()["hospital-week"])

    def original(seed: int, most: int) -> Figures:
        settings = fleet(max=most)
        return summarise(simulate_gadgetron_azure(week, settings, seed=seed), settings).total

    ours = summarise(simulate(week, FleetSettings()), FleetSettings()).total
    assert (ours.lost, ours.refused, ours.finished) == (0, 0, len(week.scans))
    for seed in (1, 2):
        theirs = original(seed, most=20)  # as its chart has it
        assert theirs.node_hours > ours.node_hours
        assert theirs.wait_s.p95 >= max(10 * ours.wait_s.p95, 1)
        assert theirs.wait_s.mean >= 10 * ours.wait_s.mean
        assert theirs.lost > 0
    # With so few pods that it costs as much as ours, it is slower still.
    cheap = original(1, most=8)
    assert cheap.node_hours <= ours.node_hours
    assert cheap.wait_s.p95 > theirs.wait_s.p95
    assert cheap.lost > 0
