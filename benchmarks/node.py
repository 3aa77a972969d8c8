"""A node as a whole: how soon it answers, how it shares two cores, what memory it takes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from benchmarks.chains import CASES, encoded_scan, send_scan
from benchmarks.session import RunningNode, running_node
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.header import serialize_header
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions
from elastron.wire import Decoder, encode
from elastron.wire.messages import Close, ConfigName, ConfigXml, HeaderXml, Text

LATENCY_RUNS = 100
THROUGHPUT_RUNS = 5
STREAM_BYTES = 4 << 30
_SAMPLES, _CHANNELS, _ROWS = 512, 16, 480


def main() -> None:
    """Print all of it."""
    with plugins() as folder:
        os.environ["PYTHONPATH"] = f"{folder}:{Path(__file__).parent}"
        with running_node(capacity=4) as node:
            first_message(node)
            four_at_once(node)
            bounded_memory(node)


@contextlib.contextmanager
def plugins() -> Iterator[Path]:
    """A folder with the metadata of an installed package that has `SlowGadget`."""
    with tempfile.TemporaryDirectory() as folder:
        metadata = Path(folder) / "slow_gadget-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: slow-gadget\nVersion: 1.0\n"
        )
        (metadata / "entry_points.txt").write_text(
            "[elastron.gadgets]\nSlowGadget = slow_gadget:SlowGadget\n"
        )
        yield Path(folder)


def first_message(node: RunningNode) -> None:
    """Connect, `isalive.xml`, header, CLOSE, until the server's CLOSE."""
    header, _ = phantom_acquisitions(PhantomSettings(matrix=32, coils=1))
    messages = (ConfigName("isalive.xml"), HeaderXml(serialize_header(header)), Close())
    data = b"".join(bytes(buffer) for message in messages for buffer in encode(message))
    seconds = []
    for _ in range(LATENCY_RUNS):
        time.sleep(0.1)  # as a fresh scan finds the node: idle workers are there
        start = time.perf_counter()
        with socket.create_connection(("127.0.0.1", node.port)) as connection:
            connection.sendall(data)
            while connection.recv(100):
                pass
        seconds.append(time.perf_counter() - start)
    print(
        f"liveness check: median {statistics.median(seconds) * 1e3:.1f} ms, "
        f"best {min(seconds) * 1e3:.1f} ms (target 5; C++ Gadgetron 1.9)"
    )


def four_at_once(node: RunningNode) -> None:
    """Throughput of four clients against that of one."""
    for case in (CASES[1], CASES[4]):
        buffers = encoded_scan(case.config, case.scan)
        size = sum(len(buffer) for buffer in buffers) / 1e6
        send_scan(node.port, buffers)
        one, four = [], []
        for _ in range(THROUGHPUT_RUNS):
            one.append(size / _together(node, buffers, 1))
            four.append(4 * size / _together(node, buffers, 4))
        alone, together = statistics.median(one), statistics.median(four)
        print(
            f"{case.name} {case.config}: one client {alone:.0f} MB/s, four together "
            f"{together:.0f} MB/s, {together / alone:.2f} x (target 1.5)"
        )


def _together(node: RunningNode, buffers: list[bytes | memoryview], clients: int) -> float:
    """Seconds until all of so many clients have their images; each is a process of its own."""
    context = multiprocessing.get_context("fork")  # so that all share the stream's memory
    ready = context.Barrier(clients + 1)

    def send() -> None:
        ready.wait()
        send_scan(node.port, buffers)

    processes = [context.Process(target=send) for _ in range(clients)]
    for process in processes:
        process.start()
    time.sleep(0.5)  # idle workers are there again
    ready.wait()
    start = time.perf_counter()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a client failed")
    return time.perf_counter() - start


def bounded_memory(node: RunningNode) -> None:
    """4 GiB at full speed into a chain that sleeps: memory, and whether all of it arrived."""
    config = ConfigXml(
        b"<gadgetronStreamConfiguration><reader><classname>AcquisitionReader</classname></reader>"
        b"<gadget><name>Slow</name><classname>SlowGadget</classname></gadget>"
        b"</gadgetronStreamConfiguration>"
    )
    header, _ = phantom_acquisitions(PhantomSettings(matrix=32, coils=1))
    base = _private_bytes(node.pid)
    peak, stop = base, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.05):
            peak = max(peak, _private_bytes(node.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        for message in (config, HeaderXml(serialize_header(header))):
            connection.sendall(b"".join(bytes(buffer) for buffer in encode(message)))
        sent = bytes_sent = 0
        batch = _batch()
        while bytes_sent < STREAM_BYTES:
            batch.headers["scan_counter"] = sent + np.arange(_ROWS)
            for buffer in encode(batch):
                connection.sendall(buffer)
                bytes_sent += memoryview(buffer).nbytes
            sent += _ROWS
        connection.sendall(bytes(encode(Close())[0]))
        decoder = Decoder()
        while data := connection.recv(100_000):
            decoder.feed(data)
    seconds = time.perf_counter() - start
    stop.set()
    watching.join()
    (said,) = (message.text for message in decoder.messages() if isinstance(message, Text))
    complete = said == f"{sent} True"
    print(
        f"{bytes_sent / 1e9:.1f} GB into a chain that sleeps: "
        f"{bytes_sent / seconds / 1e6:.0f} MB/s, "
        f"memory at most {(peak - base) / 1e6:.0f} MB above base (target 512); "
        f"{'all readouts arrived, in order' if complete else 'LOST: ' + said}"
    )


def _batch() -> AcquisitionBatch:
    headers = np.zeros(_ROWS, ACQUISITION_HEADER)
    headers["version"] = 1
    headers["number_of_samples"] = _SAMPLES
    headers["active_channels"] = headers["available_channels"] = _CHANNELS
    return AcquisitionBatch(headers, np.ones((_ROWS, _CHANNELS, _SAMPLES), np.complex64))


def _private_bytes(pid: int) -> int:
    """Memory of the node's processes that they share with nobody."""
    total = 0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().uss
    return total


if __name__ == "__main__":
    main()
