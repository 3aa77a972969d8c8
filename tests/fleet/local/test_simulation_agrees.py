"""A recorded run of a real fleet, and what the simulator makes of the same scans."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from benchmarks.fleet import compare

#: Ten minutes when asked for; the longer the run, the less chance decides.
LONG = os.environ.get("ELASTRON_LONG_TESTS") == "1"
NODES_MAX = 4
_LOOK_S, _LATE_S = 0.05, 0.1


class Clock(threading.Thread):
    """Notices when the machine stands still: what runs on it then waits, simulated or not."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stood_s = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        before = time.monotonic()
        while not self.ended.wait(_LOOK_S):
            now = time.monotonic()
            late_s = now - before - _LOOK_S
            self.stood_s += late_s if late_s > _LATE_S else 0.0
            before = now


@contextmanager
def watched() -> Iterator[Clock]:
    clock = Clock()
    clock.start()
    try:
        yield clock
    finally:
        clock.ended.set()
        clock.join()


@pytest.mark.timeout(900)
def test_the_simulator_agrees_with_a_real_fleet():
    with watched() as clock:
        found = compare(600 if LONG else 16)
    tolerance = 0.1 if LONG else 0.35
    assert found.scans > (400 if LONG else 10)
    (real_s, simulated_s), (waited_s, simulated_wait_s) = found.node_s, found.wait_s
    # What the simulator cannot know of: all nodes go on, and everybody waits.
    stood_s = clock.stood_s
    told = f"{found}, {stood_s:.2f} s stood still"
    assert abs(simulated_s - real_s) < tolerance * real_s + NODES_MAX * stood_s, told
    assert abs(simulated_wait_s - waited_s) < max(tolerance * waited_s, 0.1) + stood_s, told
