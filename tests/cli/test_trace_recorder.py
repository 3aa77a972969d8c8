from __future__ import annotations

import json

import pytest

from elastron.cli.trace_recorder import TraceFile, server_sent_events, trace_line
from elastron.fleet.traces import load_trace

ENDED = {"outcome": "ok", "seconds": 20.0, "received_s": 12.0, "waited_s": 0.5, "pool": "gpu"}


def test_a_scan_becomes_a_line():
    assert trace_line(ENDED, 100.0) == "80.000,12.000,8.000,gpu"
    # It waited longer than its data took to come: its reconstruction began when it had a node.
    assert trace_line(ENDED | {"waited_s": 15.0}, 100.0) == "80.000,12.000,5.000,gpu"


@pytest.mark.parametrize("change", [{"outcome": "lost"}, {"received_s": None}, {"waited_s": None}])
def test_what_was_no_whole_scan_is_left_out(change):
    assert trace_line(ENDED | change, 100.0) is None


def test_the_simulator_reads_what_is_written(tmp_path):
    path = tmp_path / "trace.csv"
    trace = TraceFile(path, 1_800_000_000.0)
    trace.add(ENDED, 1_800_000_100.0)
    trace.add(ENDED | {"pool": "default"}, 1_800_000_050.0)
    trace.add(ENDED | {"outcome": "error"}, 1_800_000_060.0)
    assert load_trace(path).duration_s < 300
    trace.close(1_800_000_300.0)
    read = load_trace(path)
    assert read.duration_s == 300
    assert [scan.arrival_s for scan in read.scans] == [30.0, 80.0]


async def test_events_are_read_as_they_come():
    async def lines():
        for line in (
            ": heartbeat",
            "id: 1",
            "event: session",
            "data: " + json.dumps(ENDED),
            "",
            "",
            "data: [1]",
            "",
            "event: queue",
            'data: {"a":',
            "data: 1}",
            "",
        ):
            yield line

    events = [event async for event in server_sent_events(lines())]
    assert events == [("session", ENDED), ("queue", {"a": 1})]
