"""The fleet on this machine: how soon it grows, and whether the simulator tells the truth of it."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from tests.fleet.local.harness import FLEET_YAML, Fleet, burst, running_fleet, wait_for
from tests.node.harness import HEADER, Peer, scan, stream_config

from elastron.fleet.local.folder import Role
from elastron.fleet.settings import load_fleet
from elastron.fleet.simulation import Assumptions, simulate
from elastron.fleet.traces import load_trace
from elastron.wire.messages import Close, HeaderXml

BURST = 20
#: For the comparison with the simulator: waits must be long enough to be compared.
BUSY_YAML = """
pools: {default: {min: 1, max: 4, capacity: 1}}
poll_s: 0.25
scaling: {buffer: 0, scale_down: {stabilisation_window_s: 5}}
"""
RUN_S = float(os.environ.get("ELASTRON_BENCH_RUN_S", "120"))


def main() -> None:
    """Print all of it."""
    start_of_a_node()
    for minimum in (1, 0):
        growth(minimum)
    print_comparison(RUN_S)


# --- how soon ------------------------------------------------------------------------------------


def start_of_a_node() -> None:
    """A node started anew, and one forked from the nursery."""
    began = time.monotonic()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "elastron", "node", "--log-format", "json"),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "node is ready" in line:
            break
    anew_s = time.monotonic() - began
    process.terminate()
    process.communicate()
    with tempfile.TemporaryDirectory() as folder:
        size = FLEET_YAML.format(min=6, max=6)
        with running_fleet(Path(folder), fleet=size) as fleet:
            # The first one waits for the nursery itself.
            seconds = sorted(line["seconds"] for line in fleet.lines("node takes scans"))
            fleet.process.terminate()
            fleet.process.wait()
    print(
        f"a node takes scans {anew_s:.2f} s after its start; forked from the nursery, six at once: "
        f"{seconds[0]:.2f} to {seconds[-1]:.2f} s"
    )


def growth(minimum: int) -> None:
    """A burst onto an idle fleet."""
    with tempfile.TemporaryDirectory() as folder:
        size = FLEET_YAML.format(min=minimum, max=6)
        with running_fleet(Path(folder), fleet=size) as fleet:
            began = time.time()
            scans = burst(fleet.port, BURST, pause_s=0.5)
            six = wait_for(lambda: len(fleet.nodes()) == 6 and time.time(), what="six nodes")
            for each in scans:
                each.check()
            done = time.time()
            left = wait_for(
                lambda: len(fleet.running(Role.NODE)) == minimum and time.time(), what="the rest"
            )
            replays = fleet.metric("elastron_replays_total")
            waits = _histogram_mean(fleet, "elastron_queue_seconds")
            fleet.process.terminate()
            fleet.process.wait()
    print(
        f"{BURST} scans onto {minimum} idle node(s), at most 6: six take scans after "
        f"{six - began:.2f} s (target 2), all scans done after {done - began:.2f} s, mean wait "
        f"{waits:.2f} s; {minimum} node(s) again {left - done:.1f} s later (window 2 s); "
        f"{replays:.0f} scans begun anew (target 0)"
    )


def _histogram_mean(fleet: Fleet, name: str) -> float:
    return fleet.metric(f"{name}_sum") / max(1, fleet.metric(f"{name}_count"))


# --- whether the simulator tells the truth -------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A recorded run and its simulation.

    Attributes:
        scans: how many.
        node_s: seconds of nodes: real, simulated.
        wait_s: mean seconds in the queue: real, simulated.
    """

    scans: int
    node_s: tuple[float, float]
    wait_s: tuple[float, float]

    @property
    def differences(self) -> tuple[float, float]:
        """Of node seconds and waits, relative to reality."""
        return tuple(abs(there / real - 1) for real, there in (self.node_s, self.wait_s))


def compare(duration_s: float, seed: int = 1) -> Comparison:
    """Keep a fleet busy for a while, then simulate what was recorded."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trace = folder / "trace.csv"
        with running_fleet(folder, "--record", str(trace), fleet=BUSY_YAML) as fleet:
            _keep_busy(fleet.port, duration_s, seed)
            node_s = _metric_of_autoscaler(fleet, "elastron_node_seconds_total")
            starts = _metric_of_autoscaler(fleet, "elastron_node_start_seconds_count")
            start_s = _metric_of_autoscaler(fleet, "elastron_node_start_seconds_sum") / starts
            wait_s = _histogram_mean(fleet, "elastron_queue_seconds")
            count = int(fleet.metric("elastron_queue_seconds_count"))
            wait_for(lambda: len(load_trace(trace).scans) == count, what="the whole trace")
            fleet.process.terminate()
            fleet.process.wait()
        settings = load_fleet(folder / "fleet.yaml")
        # The gateway looks for new nodes every 0.2 s, and asks each how it is.
        pool = settings.pools["default"].model_copy(update={"start_delay_s": start_s + 0.15})
        settings = settings.model_copy(update={"pools": {"default": pool}})
        result = simulate(load_trace(trace), settings, assumptions=Assumptions(stop_delay_s=0.8))
    simulated_wait_s = statistics.mean(each.queue_s for each in result.outcomes)
    return Comparison(
        scans=count,
        node_s=(node_s, sum(result.node_seconds.values())),
        wait_s=(wait_s, simulated_wait_s),
    )


def print_comparison(duration_s: float) -> None:
    """A run against its simulation."""
    found = compare(duration_s)
    nodes, waits = found.differences
    print(
        f"{found.scans} scans in {duration_s:.0f} s, real and simulated: node seconds "
        f"{found.node_s[0]:.1f} and {found.node_s[1]:.1f} ({nodes:.1%} apart), mean wait "
        f"{found.wait_s[0]:.3f} s and {found.wait_s[1]:.3f} s ({waits:.1%} apart; target 10 %)"
    )


def _keep_busy(port: int, duration_s: float, seed: int) -> None:
    """Scans that come at random, in bursts and pauses as scanners make them."""
    chance = random.Random(seed)
    began = time.monotonic()
    at = 0.0
    clients: list[threading.Thread] = []
    while True:
        # Busy and quiet spells of some ten seconds.
        rate = 1.6 if int(at / 12) % 2 == 0 else 0.3
        at += chance.expovariate(rate)
        if at > duration_s:
            break
        time.sleep(max(0.0, began + at - time.monotonic()))
        scan_s, reconstruction_s = chance.uniform(0.5, 2.5), chance.uniform(0.5, 2.0)
        client = threading.Thread(target=_one, args=(port, scan_s, reconstruction_s), daemon=True)
        client.start()
        clients.append(client)
    for client in clients:
        client.join()


def _one(port: int, scan_s: float, reconstruction_s: float) -> None:
    """A scan whose reconstruction begins when its data is there."""
    with Peer(port) as peer:
        peer.socket.settimeout(300)
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.send(stream_config(f"StuckGadget:seconds={reconstruction_s}"), HeaderXml(HEADER))
        time.sleep(scan_s)
        peer.send(scan(), Close()).receive()


def _metric_of_autoscaler(fleet: Fleet, name: str) -> float:
    text = httpx.get(f"{fleet.ready['fleet']['autoscaler']}/metrics", timeout=60).text
    return sum(float(value) for value in re.findall(rf"^{name}\{{.*\}} (\S+)$", text, re.MULTILINE))


if __name__ == "__main__":
    if sys.argv[1:] == ["compare"]:
        print(json.dumps(dataclasses.asdict(compare(RUN_S)), indent=1))
    else:
        main()
