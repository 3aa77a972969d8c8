"""Distributed chains: what they cost, and how they gain with the number of nodes.

The cost: whole scans through a node, by a chain and by its distributed twin over two other nodes,
all on the same cores, so that nothing can be gained. The gain: parts of 200 ms each, in which a
node sleeps, over 1, 2, 4 and 8 nodes of one place each; cores do not matter then.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.chains import send_scan
from benchmarks.session import RunningNode, running_node
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag
from elastron.mrd.header import serialize_header
from elastron.recon.phantom_scan import Calibration, PhantomSettings, phantom_acquisitions
from elastron.wire import encode
from elastron.wire.messages import Close, ConfigName, ConfigXml, HeaderXml, Message

RUNS = 7
PARTS, PART_S = 64, 0.2
NODES = (1, 2, 4, 8)

_READERS = (
    "<readers><reader><classname>AcquisitionReader</classname></reader></readers>"
    "<writers><writer><classname>AcquisitionWriter</classname></writer></writers>"
)
SLEEPING = ConfigXml(
    f"<configuration><version>2</version>{_READERS}<stream><distributed>{_READERS}"
    "<distributor><classname>AcquisitionDistributor</classname>"
    "<property name='parallel_dimension' value='repetition'/></distributor><stream><gadget>"
    f"<classname>PartGadget</classname><property name='seconds' value='{PART_S}'/>"
    "</gadget></stream></distributed></stream></configuration>".encode()
)


@dataclass(frozen=True)
class Twins:
    """A chain, its distributed twin, and a scan."""

    name: str
    local: str
    distributed: str
    scan: PhantomSettings


TWINS = (
    Twins(
        "16 coils, 8 repetitions",
        "default.xml",
        "distributed_default.xml",
        PhantomSettings(matrix=256, coils=16, repetitions=8),
    ),
    Twins(
        "16 coils, 8 slices, R=2",
        "Generic_Cartesian_Grappa_RealTimeCine.xml",
        "Generic_Cartesian_Grappa_RealTimeCine_Cloud.xml",
        PhantomSettings(
            matrix=256,
            coils=16,
            slices=8,
            acceleration=(2, 1),
            calibration=Calibration.EMBEDDED,
            calibration_lines=32,
        ),
    ),
)


def main() -> None:
    """Print all of it."""
    with fleet(max(NODES)) as (parent, workers, listed):
        overhead(parent, workers[:2], listed)
        gain(parent, workers, listed)


@contextlib.contextmanager
def fleet(count: int) -> Iterator[tuple[RunningNode, list[RunningNode], Path]]:
    """A node for scans, `count` others, and the file in which it finds them."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        metadata = folder / "part_gadget-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: part-gadget\nVersion: 1.0\n"
        )
        (metadata / "entry_points.txt").write_text(
            "[elastron.gadgets]\nPartGadget = part_gadget:PartGadget\n"
        )
        os.environ["PYTHONPATH"] = f"{folder}:{Path(__file__).parent}"
        listed = folder / "list"
        os.environ["GADGETRON_REMOTE_WORKER_COMMAND"] = f"cat {listed}"
        nodes = [
            stack.enter_context(running_node(capacity=1, options=("--warm-workers", "2")))
            for _ in range(count + 1)
        ]
        del os.environ["GADGETRON_REMOTE_WORKER_COMMAND"]
        yield nodes[0], nodes[1:], listed


def choose(listed: Path, workers: list[RunningNode]) -> None:
    """Let the parent find these nodes."""
    listed.write_text(json.dumps([f"127.0.0.1:{worker.port}" for worker in workers]))


def overhead(parent: RunningNode, workers: list[RunningNode], listed: Path) -> None:
    """A chain against its distributed twin."""
    choose(listed, workers)
    cores = len(os.sched_getaffinity(0))
    table = Table(title=f"{len(workers)} other nodes on the same {cores} cores")
    for title in ("scan", "chain", "local", "distributed", "overhead"):
        table.add_column(title, justify="left" if title in ("scan", "chain") else "right")
    for twins in TWINS:
        header, items = phantom_acquisitions(twins.scan)
        data = [HeaderXml(serialize_header(header)), *items, Close()]
        local, distributed = (
            encoded(ConfigName(name), *data) for name in (twins.local, twins.distributed)
        )
        times: dict[str, list[float]] = {"local": [], "distributed": []}
        for _ in range(RUNS):  # in turns: the machine may be slower for a while
            times["local"].append(seconds(parent, local))
            times["distributed"].append(seconds(parent, distributed))
        one, other = (statistics.median(times[each]) for each in ("local", "distributed"))
        size = sum(memoryview(buffer).nbytes for buffer in local) / 1e6
        table.add_row(
            f"{twins.name}, {size:.0f} MB",
            twins.local,
            f"{one * 1e3:.0f} ms",
            f"{other * 1e3:.0f} ms",
            f"{100 * (other / one - 1):+.0f} % (target +15)",
        )
    Console().print(table)


def gain(parent: RunningNode, workers: list[RunningNode], listed: Path) -> None:
    """Parts of 200 ms over ever more nodes."""
    header, _ = phantom_acquisitions(PhantomSettings(matrix=32, coils=1))
    data = encoded(SLEEPING, HeaderXml(serialize_header(header)), *parts(), Close())
    table = Table(title=f"{PARTS} parts, in each of which a node sleeps {PART_S * 1e3:.0f} ms")
    for title in ("nodes", "seconds", "speed-up over no other node"):
        table.add_column(title, justify="right")
    for count in NODES:
        choose(listed, workers[:count])
        took = min(seconds(parent, data) for _ in range(2))
        speed_up = PARTS * PART_S / took
        target = f" (target {0.9 * count:.1f})" if count > 1 else ""
        table.add_row(str(count), f"{took:.2f}", f"{speed_up:.2f}{target}")
    Console().print(table)


def parts() -> list[AcquisitionBatch]:
    """A repetition a part, 32 readouts each."""
    batches = []
    for repetition in range(PARTS):
        headers = np.zeros(32, ACQUISITION_HEADER)
        headers["version"] = 1
        headers["number_of_samples"] = 64
        headers["active_channels"] = headers["available_channels"] = 1
        headers["idx"]["repetition"] = repetition
        headers["flags"][-1] = AcquisitionFlag.LAST_IN_REPETITION.mask
        batches.append(AcquisitionBatch(headers, np.ones((32, 1, 64), np.complex64)))
    return batches


def encoded(*messages: Message) -> list[bytes | memoryview]:
    """Messages as they are sent."""
    return [bytes(buffer) for message in messages for buffer in encode(message)]


def seconds(node: RunningNode, buffers: list[bytes | memoryview]) -> float:
    """From connect to the server's CLOSE."""
    time.sleep(0.3)  # idle workers are there again
    start = time.perf_counter()
    send_scan(node.port, buffers)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
