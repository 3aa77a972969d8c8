from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from elastron.fleet.outcome import Fate, Ledger, Outcome
from elastron.fleet.report import Waits, summarise
from elastron.fleet.settings import FleetSettings
from elastron.fleet.traces import Scan, Trace

FLEET = FleetSettings.model_validate(
    {"pools": {"a": {"price_per_hour": 0.5}, "b": {"price_per_hour": 4}, "c": {}}}
)


def ledger(outcomes: list[Outcome]) -> Ledger:
    books = Ledger(outcomes=outcomes)
    books.node_asked("a-1", "a", 0)
    books.node_asked("b-1", "b", 1800)
    books.sample(1800)
    books.node_gone("b-1", 5400)
    books.sample(5400)
    return books


def trace(*scans: Scan) -> Trace:
    return Trace("t", datetime(2026, 3, 2, tzinfo=UTC), 7200, scans)


def test_waits_are_those_of_finished_scans():
    scans = [Scan(float(i), 1, 1, "a") for i in range(102)]
    outcomes = [Outcome(scan, Fate.FINISHED, 2.0 * i, float(i)) for i, scan in enumerate(scans)]
    outcomes[100] = Outcome(scans[100], Fate.LOST)
    outcomes[101] = Outcome(scans[101], Fate.REFUSED, 9999.0)
    result = ledger(outcomes).close(trace(*scans), "ours", 7200)
    total = summarise(result, FLEET).total
    assert (total.scans, total.finished, total.lost, total.refused) == (102, 100, 1, 1)
    assert total.wait_s == Waits(49.5, 49.5, pytest.approx(94.05), pytest.approx(98.01), 99)
    assert total.queue_s.max == 198


def test_nodes_cost_from_asking_to_their_end():
    result = ledger([Outcome(Scan(0, 0, 0, "b"), Fate.FINISHED)]).close(
        trace(Scan(0, 0, 0, "b")), "ours", 7200
    )
    summary = summarise(result, FLEET)
    assert result.node_seconds == {"a": 7200, "b": 3600}
    assert summary.total.node_hours == 3
    assert summary.total.cost == pytest.approx(2 * 0.5 + 1 * 4)
    assert summary.pools["b"].cost == 4
    assert summary.pools["a"].scans == 0
    assert (summary.nodes_max, summary.node_starts) == (2, 2)


def test_without_scans_there_are_no_waits():
    summary = summarise(ledger([]).close(trace(), "ours", 7200), FLEET)
    assert summary.total.wait_s == Waits()


def test_the_json_is_flat_and_rounded():
    outcome = Outcome(Scan(0, 0, 0, "a"), Fate.FINISHED, 1 / 3, 2 / 3)
    values = summarise(ledger([outcome]).close(trace(outcome.scan), "ours", 7200), FLEET).as_json()
    assert json.loads(json.dumps(values)) == values
    assert values["policy"] == "ours"
    assert values["wait_s"]["mean"] == 0.667
    assert values["pools"]["a"]["queue_s"]["p95"] == 0.333
    assert {"node_hours", "cost", "lost", "refused", "nodes_max", "node_starts"} <= set(values)


def test_samples_of_the_same_moment_are_one():
    books = Ledger()
    books.sample(1)
    books.queued = 3
    books.sample(1)
    assert [(sample.at_s, sample.queued) for sample in books.samples] == [(1, 3)]
