from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.fleet.local.affinity import available_cores, pin
from elastron.fleet.local.backoff import PAUSES_S, STEADY_S, Backoff
from elastron.fleet.local.cores import share_of_cores


@given(st.integers(1, 70), st.integers(1, 40))
def test_shares_are_fair_and_leave_no_core_idle(cores, nodes):
    numbers = list(range(100, 100 + cores))
    shares = [share_of_cores(index, nodes, numbers) for index in range(nodes)]
    assert frozenset().union(*shares) == set(numbers)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(2, cores)
    used = [sum(core in share for share in shares) for core in numbers]
    if nodes * 2 <= cores:
        assert max(used) == 1  # nobody shares who need not


def test_some_shares():
    assert share_of_cores(0, 1, [0, 1]) == {0, 1}
    assert [sorted(share_of_cores(i, 3, range(6))) for i in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert [sorted(share_of_cores(i, 3, range(3))) for i in range(3)] == [[0, 1], [1, 2], [0, 2]]
    with pytest.raises(ValueError, match="no node 2"):
        share_of_cores(2, 2, [0, 1])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_its_threads_and_its_children_are_pinned():
    code = (
        "import subprocess, sys, threading, time;"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start();"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(child.pid, flush=True); child.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    core = available_cores()[-1]
    try:
        pin(process.pid, [core])
        tasks = [int(name) for name in os.listdir(f"/proc/{process.pid}/task")]
        assert len(tasks) == 2
        for each in (*tasks, child):
            assert os.sched_getaffinity(each) == {core}
    finally:
        os.kill(child, 9)
        process.wait()
        process.stdout.close()
    pin(process.pid, [core])  # which is gone


def test_pauses_grow_with_crashes_in_a_row():
    backoff = Backoff()
    assert backoff.ready(0.0)
    pauses = [backoff.crashed(100.0, 1.0) for _ in range(9)]
    assert pauses == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]
    assert not backoff.ready(100.0)
    assert backoff.ready(100.0 + PAUSES_S[-1])
    assert backoff.crashed(1000.0, STEADY_S) == PAUSES_S[0]
