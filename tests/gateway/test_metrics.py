from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from elastron.fleet.model import Demand, Node, NodeState
from elastron.gateway.metrics import Metrics, Readings
from elastron.gateway.relay import Outcome, Reason
from elastron.gateway.tls_failures import OUTCOMES as TLS_OUTCOMES

READINGS = Readings(
    nodes=(
        Node("a", "10.0.0.1:9002", state=NodeState.READY, capacity=4, running=1),
        Node("b", "10.0.0.2:9002", state=NodeState.BUSY, capacity=2, running=2),
        Node("c", "10.0.0.3:9002", state=NodeState.DEAD, capacity=8),
        Node("d", "10.0.0.4:9002", pool="gpu", state=NodeState.STARTING),
    ),
    demand={"default": Demand(running=3, queued=5), "gpu": Demand()},
    bytes_in=1000,
    bytes_out=200,
    journal_memory_bytes=30,
    journal_disk_bytes=4,
    archive_bytes=77,
    results_bytes=9,
    events_subscribers=2,
    tls_handshakes={"ok": 7},
    tls_shaking=1,
)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_gauges_are_what_is_read_at_the_scrape():
    found = samples(Metrics(lambda: READINGS))
    assert found["elastron_demand", ("default",)] == 8
    assert found["elastron_demand", ("gpu",)] == 0
    assert found["elastron_queue_length", ("default",)] == 5
    assert found["elastron_nodes", ("default", "ready")] == 1
    assert found["elastron_nodes", ("default", "dead")] == 1
    assert found["elastron_nodes", ("default", "draining")] == 0
    assert found["elastron_nodes", ("gpu", "starting")] == 1
    # A dead node's places are none.
    assert found["elastron_capacity", ("default",)] == 6
    assert found["elastron_bytes_total", ("in",)] == 1000
    assert found["elastron_bytes_total", ("out",)] == 200
    assert found["elastron_journal_bytes", ("memory",)] == 30
    assert found["elastron_journal_bytes", ("disk",)] == 4
    assert found["elastron_archive_bytes", ()] == 77
    assert found["elastron_results_bytes", ()] == 9


def test_sessions_are_counted_by_how_they_ended():
    metrics = Metrics(Readings)
    metrics.session_started()
    metrics.session_ended("ok", seconds=2, images=3)
    metrics.session_ended("error", seconds=1, placed=False)
    metrics.queued(seconds=0.2)
    found = samples(metrics)
    assert found["gadgetron_reconstruction_start_total", ()] == 1
    assert found["gadgetron_reconstruction_finish_total", ()] == 1
    assert found["elastron_sessions_total", ("ok",)] == 1
    assert found["elastron_sessions_total", ("lost",)] == 0
    assert found["elastron_images_total", ()] == 3
    assert found["elastron_session_seconds_sum", ("default",)] == 3
    assert found["elastron_queue_seconds_count", ("default",)] == 1


def test_handshakes_are_counted_by_how_they_ended():
    found = samples(Metrics(lambda: READINGS))
    assert found["elastron_tls_handshakes_total", ("ok",)] == 7
    assert {labels for name, labels in found if name == "elastron_tls_handshakes_total"} == {
        (outcome,) for outcome in TLS_OUTCOMES
    }
    assert found["elastron_tls_shaking", ()] == 1
    assert not any(name.startswith("elastron_tls") for name, _ in samples(Metrics(Readings)))


def test_without_an_archive_nothing_is_said_of_it():
    assert not any(name == "elastron_archive_bytes" for name, _ in samples(Metrics(Readings)))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_a_replay_has_its_label(reason: Reason):
    metrics = Metrics(Readings)
    metrics.replayed(reason.value)
    assert samples(metrics)["elastron_replays_total", (reason.value,)] == 1


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_its_label(outcome: Outcome):
    metrics = Metrics(Readings)
    metrics.session_ended(outcome.value, seconds=1)
    assert samples(metrics)["elastron_sessions_total", (outcome.value,)] == 1


def test_labels_do_not_grow_with_what_is_told():
    metrics = Metrics(Readings)
    before = len(samples(metrics))
    for number in range(20):
        metrics.replayed(f"a new reason {number}")
        metrics.refused(f"another {number}")
        metrics.session_ended(f"outcome {number}", seconds=1, pool="default")
    found = samples(metrics)
    assert found["elastron_replays_total", ("other",)] == 20
    assert len(found) - before == len(
        [name for name, _ in found if name.startswith("elastron_session_seconds")]
    )


def test_the_text_is_what_prometheus_reads():
    text = Metrics(lambda: READINGS).exposition().decode()
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z_]+(\{[^}]*\})? \S+", line), line
