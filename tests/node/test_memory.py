from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from elastron.node.memory import available_bytes
from elastron.service.numerics import NUMERIC_ENVIRONMENT
from elastron.wire.messages import Close, HeaderXml

from .harness import HEADER, NodeProcess, scan, stream_config, texts, wire_bytes

MIB = 2**20


def test_memory_has_a_limit() -> None:
    code = (
        "import numpy as np; from elastron.node.memory import limit_memory; "
        "limit_memory(256 << 20); a = np.ones(64 << 20, np.uint8); print('some');"
        "b = np.ones(512 << 20, np.uint8); print('too much')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout == "some\n"
    assert "MemoryError" in done.stderr


def test_available_memory_is_not_more_than_there_is() -> None:
    assert 64 * MIB < available_bytes() <= psutil.virtual_memory().total


def test_growth_is_seen_after_it_is_over() -> None:
    """In a process of its own, where nobody else takes memory or gives it back."""
    code = """if True:
        import numpy as np
        from elastron.node.memory import PeakMemory
        memory = PeakMemory()
        before = memory.growth()
        np.ones(64 << 20, np.uint8).sum()
        print(before, memory.growth(), PeakMemory().growth())
    """
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, grown, again = map(int, done.stdout.split())
    assert before < 30 * MIB
    assert 60 * MIB < grown < 100 * MIB
    assert again < 30 * MIB


def test_buffers_cost_few_page_faults() -> None:
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not pages.exists() or "[never]" in pages.read_text():
        pytest.skip("this kernel gives no huge pages")
    code = """if True:
        import mmap, os, resource
        import numpy as np
        from elastron.node.memory import grow_heap, _status_bytes
        before = _status_bytes("VmRSS")
        grow_heap()
        grown = _status_bytes("VmRSS") - before
        if os.fork():
            os.wait()
        else:
            def faults_of(work):
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                kept = work()
                return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

            faults = faults_of(lambda: [np.ones(1 << 20, np.uint8) for _ in range(16)])
            # The kernel may have no huge page left, whoever asks: 4096 of small pages.
            asked = mmap.mmap(-1, 18 << 20)
            asked.madvise(mmap.MADV_HUGEPAGE)
            pages = np.frombuffer(asked, np.uint8)
            first = -pages.ctypes.data % (2 << 20)
            usual = faults_of(lambda: pages[first : first + (16 << 20)].fill(1))
            print(grown < 2 << 20, faults < usual + 1024)
    """
    environment = os.environ | NUMERIC_ENVIRONMENT
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout == "True True\n"


def test_a_slow_chain_slows_the_sender_and_loses_nothing(node: NodeProcess) -> None:
    """Ten times what the queue may hold; `benchmarks.node` sends a thousand times as much."""
    repetitions = 1000
    data = wire_bytes(scan(repetitions))
    assert len(data) > 40 * MIB
    with node.connect() as peer:
        peer.send(stream_config("SlowGadget:seconds=0.01"), HeaderXml(HEADER))
        half = len(data) // 2
        peer.send_bytes(data[:half])
        worker = psutil.Process(node.wait_for_session()["pid"])
        private = worker.memory_full_info().uss
        peer.send_bytes(data[half:]).send(Close())
        answer = peer.receive()
    assert texts(answer) == f"readouts {32 * repetitions}, in order True"
    assert private < 60 * MIB
    ended = node.wait_for_log(f'"acquisitions": {32 * repetitions}.*"event": "session ended"')
    assert ended["memory_bytes"] < 32 * MIB
