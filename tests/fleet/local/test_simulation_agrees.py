"""A recorded run of a real fleet, and what the simulator makes of the same scans."""

from __future__ import annotations

import os

from benchmarks.fleet import compare

#: Ten minutes when asked for; the longer the run, the less chance decides.
LONG = os.environ.get("ELASTRON_LONG_TESTS") == "1"


def test_the_simulator_agrees_with_a_real_fleet():
    found = compare(600 if LONG else 16)
    nodes, waits = found.differences
    tolerance = 0.1 if LONG else 0.35
    assert found.scans > (400 if LONG else 10)
    assert nodes < tolerance, found
    assert waits < tolerance or abs(found.wait_s[0] - found.wait_s[1]) < 0.1, found
