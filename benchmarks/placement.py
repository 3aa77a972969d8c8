"""Placement by the gateway against what a plain Kubernetes Service does: a random node.

Four nodes with one place each, scans of mixed length at random moments. Three ways:

* ours: the gateway's choice and queue;
* random: each connection goes to a random node; a full node refuses, and the client tries again
  after a pause (a quarter of the mean scan: no scanner is so quick);
* shared: random, but nodes refuse nobody, and the scans of a node share its core, as the original's
  pods do.

First in virtual time, with the very code that the gateway uses, over many scans; then for real: the
same scans through real nodes, with and without a gateway before them, one run after the other.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.gateway import running_gateway
from benchmarks.node import plugins
from benchmarks.session import running_node
from elastron.fleet.choice import Need
from elastron.fleet.model import Node, NodeState
from elastron.fleet.queueing import Queue
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.header import serialize_header
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions
from elastron.wire import Decoder, encode
from elastron.wire.faults import Fault, fault_of
from elastron.wire.messages import Close, ConfigXml, HeaderXml, Text

NODES = 4
RETRY = 0.25  # of the mean length
LOADS = (0.5, 0.7, 0.9)
VIRTUAL_SCANS = 20_000
REAL_SCANS = 240
REAL_MEAN_S = 0.8
REAL_LOAD = 0.85
TARGET = 1.2


@dataclass(frozen=True, slots=True)
class Scan:
    """When it comes, and how long a node works on it (in means of all lengths)."""

    arrival: float
    length: float


def scans(count: int, load: float, seed: int) -> list[Scan]:
    """Poisson arrivals that keep the nodes busy for `load` of the time.

    Lengths are log-normal, as a localizer takes a tenth and a long series ten times of the median.
    """
    chance = random.Random(seed)
    sigma = 1.0
    made, now = [], 0.0
    for _ in range(count):
        now += chance.expovariate(load * NODES)
        made.append(Scan(now, chance.lognormvariate(-(sigma**2) / 2, sigma)))
    return made


def main() -> None:
    """Print all of it."""
    print(f"{NODES} nodes of capacity 1; completion (arrival to end) in mean scan lengths")
    print(f"\nvirtual time, {VIRTUAL_SCANS} scans (the gateway's own code, no sockets)")
    for load in LOADS:
        some = scans(VIRTUAL_SCANS, load, seed=1)
        report(f"load {load:.0%}", ours(some), at_random(some), shared(some))
    print(
        f"\nreal nodes, {REAL_SCANS} scans of {REAL_MEAN_S} s on average, load {REAL_LOAD:.0%}; "
        f"refused clients come back after {RETRY * REAL_MEAN_S:.2f} s"
    )
    real()


def report(
    name: str, placed: list[float], randomly: list[float], sharing: list[float] | None = None
) -> None:
    """One line for each way, and how much better ours is."""
    print(f"{name}:")
    ways = {"gateway": placed, "random, refused and tried again": randomly}
    if sharing is not None:
        ways["random, shared"] = sharing
    ours_mean, ours_p95 = _figures(placed)
    for way, seconds in ways.items():
        mean, p95 = _figures(seconds)
        factor = "" if way == "gateway" else f"  {mean / ours_mean:.2f} x, {p95 / ours_p95:.2f} x"
        print(f"  {way:32} mean {mean:6.2f}  p95 {p95:6.2f}{factor}")


def _figures(seconds: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(seconds)), float(np.percentile(seconds, 95))


# --- virtual time --------------------------------------------------------------------------------


def ours(some: list[Scan]) -> list[float]:
    """Completion of each scan with the gateway's own choice and queue."""
    nodes = {f"n{i}": Node(f"n{i}", f"n{i}:1", state=NodeState.READY) for i in range(NODES)}
    queue, loads, done = Queue(), Counter[tuple[str, str]](), [0.0] * len(some)
    events: list[tuple[float, int, str | None]] = [
        (scan.arrival, number, None) for number, scan in enumerate(some)
    ]
    heapq.heapify(events)
    while events:
        now, number, node_id = heapq.heappop(events)
        if node_id is None:
            queue.add(str(number), Need(), now=now)
        else:
            done[number] = now - some[number].arrival
            nodes[node_id] = replace(nodes[node_id], running=0)
            loads["default", ""] -= 1
        while turn := queue.next(list(nodes.values()), loads, now):
            begun = int(turn.waiting.session)
            nodes[turn.node.id] = replace(turn.node, running=1, used=begun + 1)
            loads["default", ""] += 1
            heapq.heappush(events, (now + some[begun].length, begun, turn.node.id))
    return done


def at_random(some: list[Scan]) -> list[float]:
    """Completion when each try goes to a random node, which may be full."""
    chance = random.Random(2)
    free_at, done = [0.0] * NODES, [0.0] * len(some)
    tries = [(scan.arrival, number) for number, scan in enumerate(some)]
    heapq.heapify(tries)
    while tries:
        now, number = heapq.heappop(tries)
        node = chance.randrange(NODES)
        if free_at[node] > now:
            heapq.heappush(tries, (now + RETRY, number))
            continue
        free_at[node] = now + some[number].length
        done[number] = free_at[node] - some[number].arrival
    return done


def shared(some: list[Scan]) -> list[float]:
    """Completion when a node takes all that come and they share its core."""
    chance = random.Random(2)
    parts: list[list[tuple[int, Scan]]] = [[] for _ in range(NODES)]
    for number, scan in enumerate(some):
        parts[chance.randrange(NODES)].append((number, scan))
    done = [0.0] * len(some)
    for part in parts:
        for number, end in _sharing(part):
            done[number] = end - some[number].arrival
    return done


def _sharing(part: list[tuple[int, Scan]]) -> Iterator[tuple[int, float]]:
    """One node: `served` is the work that each scan present has got since the beginning."""
    now = served = 0.0
    running: list[tuple[float, int]] = []
    for number, scan in itertools.chain(part, [(-1, Scan(float("inf"), 0.0))]):
        while running and now + (running[0][0] - served) * len(running) <= scan.arrival:
            target, first = heapq.heappop(running)
            now += (target - served) * (len(running) + 1)
            served = target
            yield first, now
        if running:
            served += (scan.arrival - now) / len(running)
        now = scan.arrival
        heapq.heappush(running, (served + scan.length, number))


# --- real nodes ----------------------------------------------------------------------------------


def real() -> None:
    """The same scans through the gateway, and past it to random nodes."""
    some = scans(REAL_SCANS, REAL_LOAD, seed=3)
    header, _ = phantom_acquisitions(PhantomSettings(matrix=32, coils=1))
    xml = serialize_header(header)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(plugins())
        os.environ["PYTHONPATH"] = f"{folder}:{Path(__file__).parent}"
        nodes = [stack.enter_context(running_node(capacity=1)) for _ in range(NODES)]
        found = [f"127.0.0.1:{node.port}/{node.admin_port}" for node in nodes]
        gateway = stack.enter_context(running_gateway(0, registry={"nodes": found}))
        chance = random.Random(4)
        placed = play(some, xml, lambda: gateway.port)
        randomly = play(some, xml, lambda: chance.choice(nodes).port)
    report("completion", placed, randomly)
    print(f"  (target: mean and p95 {TARGET} x at least)")


def play(some: list[Scan], xml: bytes, port: Callable[[], int]) -> list[float]:
    """Send the scans at their times; completion of each, in means of all lengths."""
    done = [0.0] * len(some)
    failed: list[BaseException] = []
    start = time.monotonic()

    def client(number: int, scan: Scan) -> None:
        try:
            data = _stream(xml, scan.length * REAL_MEAN_S)
            while not _reconstructed(port(), data):
                time.sleep(RETRY * REAL_MEAN_S)
            done[number] = (time.monotonic() - start) / REAL_MEAN_S - scan.arrival
        except BaseException as error:
            failed.append(error)

    threads = []
    for number, scan in enumerate(some):
        time.sleep(max(0.0, start + scan.arrival * REAL_MEAN_S - time.monotonic()))
        threads.append(threading.Thread(target=client, args=(number, scan)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return done


def _stream(xml: bytes, seconds: float) -> bytes:
    """A scan of one readout, through a chain that sleeps so long."""
    config = (
        "<gadgetronStreamConfiguration><reader><classname>AcquisitionReader</classname></reader>"
        "<gadget><name>Slow</name><classname>SlowGadget</classname>"
        f"<property><name>seconds</name><value>{seconds:.4f}</value></property></gadget>"
        "</gadgetronStreamConfiguration>"
    )
    headers = np.zeros(1, ACQUISITION_HEADER)
    headers["version"] = headers["active_channels"] = headers["available_channels"] = 1
    headers["number_of_samples"] = 32
    batch = AcquisitionBatch(headers, np.ones((1, 1, 32), np.complex64))
    messages = (ConfigXml(config.encode()), HeaderXml(xml), batch, Close())
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))


def _reconstructed(port: int, data: bytes) -> bool:
    """Send a scan; False if the node was full."""
    decoder = Decoder()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(data)
        while received := connection.recv(100_000):
            decoder.feed(received)
    texts = [message.text for message in decoder.messages() if isinstance(message, Text)]
    if any(fault_of(text) is Fault.NODE_FULL for text in texts):
        return False
    if texts != ["1 True"]:
        raise RuntimeError(f"a scan failed: {texts}")
    return True


if __name__ == "__main__":
    main()
