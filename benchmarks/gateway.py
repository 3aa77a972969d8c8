"""What the gateway costs: throughput against bare and other relays, delay, memory, CPU time.

A node that only takes and counts stands behind all of them, so that the relay is the bottleneck;
client, relay and node share the machine's cores. Runs of the relays alternate, and each has its
best one counted, so that other work on the machine disturbs all of them alike.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil

from benchmarks.session import free_port, running_node
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.header import serialize_header
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions
from elastron.wire import encode
from elastron.wire.messages import Close, ConfigName, HeaderXml, Response

STREAM_BYTES = 1 << 30
RUNS = int(os.environ.get("RUNS", "5"))
MANY = 8
MANY_RUNS = 2
LATENCY_RUNS = 200
IDLE = 1000
_SAMPLES, _CHANNELS = 256, 16
_BLOCK_ROWS = 1000
_QUERY_HEAD = struct.Struct("<HQQQ")
_CLOSE = bytes(encode(Close())[0])


def main() -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with counting_node() as port, contextlib.ExitStack() as stack:
            memory = {"memory_bytes_max": 10 << 30, "spare_bytes_max": 10 << 30}
            gateway = stack.enter_context(running_gateway(port, journal=memory))
            small = {"memory_bytes_max": 64 << 20, "folder": str(folder / "journal")}
            on_disk = stack.enter_context(running_gateway(port, journal=small))
            ports = {"direct": port, "gateway": gateway.port, "gateway, on disk": on_disk.port}
            pids = {"gateway": gateway.pid, "gateway, on disk": on_disk.pid}
            if shutil.which("haproxy"):
                haproxy = stack.enter_context(running_haproxy(folder, port))
                ports["haproxy"], pids["haproxy"] = haproxy
            if shutil.which("stunnel"):
                ports["stunnel"] = stack.enter_context(running_stunnels(folder, port))
            throughput(ports, pids)
            many_streams({name: ports[name] for name in ports if name != "gateway, on disk"})
            idle_memory(port)
        latency()


# --- what is measured -----------------------------------------------------------------------------


def throughput(ports: dict[str, int], pids: dict[str, int]) -> None:
    """One stream."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    cpu: dict[str, list[float]] = {name: [] for name in pids}
    for run in range(RUNS + 1):  # the first one takes fresh memory
        for name, port in ports.items():
            before = _cpu_seconds(pids[name]) if name in pids else 0.0
            seconds = _send_stream(port)
            if run:
                rates[name].append(STREAM_BYTES / seconds / 1e9)
                if name in pids:
                    spent = _cpu_seconds(pids[name]) - before
                    cpu[name].append(spent / STREAM_BYTES * 1e9)
    base = max(rates.get("haproxy") or [0.0])
    for name, found in rates.items():
        ratio = f", {max(found) / base:.2f} x HAProxy" if base else ""
        spent = f", {min(cpu[name]):.2f} CPU s/GB" if name in cpu else ""
        print(
            f"one stream of 1 GiB, {name}: best {max(found):.2f} GB/s{ratio}, "
            f"median {statistics.median(found):.2f}{spent}"
        )
    print("  (target: gateway >= 1.3 x HAProxy; its journal holds every byte)")


def many_streams(ports: dict[str, int]) -> None:
    """Eight at once, each from a process of its own."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for run in range(MANY_RUNS + 1):
        for name, port in ports.items():
            seconds = _together(port, MANY)
            if run:
                rates[name].append(MANY * STREAM_BYTES / seconds / 1e9)
    base = max(rates.get("haproxy") or [0.0])
    for name, found in rates.items():
        ratio = f", {max(found) / base:.2f} x HAProxy" if base else ""
        print(f"{MANY} streams of 1 GiB at once, {name}: best {max(found):.2f} GB/s{ratio}")


def latency() -> None:
    """A small scan through a real node: connect, config, header, CLOSE, until the answer."""
    header, _ = phantom_acquisitions(PhantomSettings(matrix=32, coils=1))
    messages = (ConfigName("isalive.xml"), HeaderXml(serialize_header(header)), Close())
    data = b"".join(bytes(buffer) for message in messages for buffer in encode(message))
    with running_node(capacity=2) as node, running_gateway(node.port, node.admin_port) as gateway:
        found: dict[str, list[float]] = {"direct": [], "gateway": []}
        for _ in range(LATENCY_RUNS):
            for name, port in (("direct", node.port), ("gateway", gateway.port)):
                time.sleep(0.03)  # idle workers are there again
                start = time.perf_counter()
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(data)
                    while connection.recv(100):
                        pass
                found[name].append(time.perf_counter() - start)
    direct, through = (statistics.median(found[name]) * 1e3 for name in ("direct", "gateway"))
    print(
        f"small scan: direct {direct:.2f} ms, through the gateway {through:.2f} ms, "
        f"{through - direct:.2f} ms more (median; target 2)"
    )


def idle_memory(port: int) -> None:
    """Connections that say nothing, and ones that have asked for a scan and then say nothing."""
    header, _ = phantom_acquisitions(PhantomSettings(matrix=32, coils=1))
    asked = (ConfigName("default.xml"), HeaderXml(serialize_header(header)))
    data = b"".join(bytes(buffer) for message in asked for buffer in encode(message))
    for what, words in (("silent", b""), ("with config and header", data)):
        with running_gateway(port) as gateway, contextlib.ExitStack() as stack:
            process = psutil.Process(gateway.pid)
            before = process.memory_full_info().uss
            for _ in range(IDLE):
                client = socket.create_connection(("127.0.0.1", gateway.port))
                stack.enter_context(client)
                client.sendall(words)
            time.sleep(1)
            used = process.memory_full_info().uss - before
        print(f"{IDLE} connections, {what}: {used / 1e6:.1f} MB, {used / IDLE / 1e3:.1f} kB each")


def _cpu_seconds(pid: int) -> float:
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _send_stream(port: int) -> float:
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(_preamble())
        block = _block()
        for _ in range(STREAM_BYTES // len(block)):
            connection.sendall(block)
        connection.sendall(_CLOSE)
        answer = b""
        while data := connection.recv(100):
            answer += data
    if not answer.endswith(_CLOSE):
        raise RuntimeError(f"the stream was not taken: {answer[-200:]!r}")
    return time.perf_counter() - start


def _together(port: int, clients: int) -> float:
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(clients + 1)

    def send() -> None:
        ready.wait()
        _send_stream(port)

    processes = [context.Process(target=send) for _ in range(clients)]
    for process in processes:
        process.start()
    ready.wait()
    start = time.perf_counter()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a client failed")
    return time.perf_counter() - start


_cache: list[bytes] = []


def _block() -> bytes:
    """Readouts, as they come from a scanner."""
    if not _cache:
        headers = np.zeros(_BLOCK_ROWS, ACQUISITION_HEADER)
        headers["version"] = 1
        headers["number_of_samples"] = _SAMPLES
        headers["active_channels"] = headers["available_channels"] = _CHANNELS
        data = np.ones((_BLOCK_ROWS, _CHANNELS, _SAMPLES), np.complex64)
        batch = AcquisitionBatch(headers, data)
        _cache.append(b"".join(bytes(buffer) for buffer in encode(batch)))
    return _cache[0]


def _preamble() -> bytes:
    messages = (ConfigName("count.xml"), HeaderXml(b"<ismrmrdHeader/>"))
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))


# --- what it is measured against ------------------------------------------------------------------


@contextlib.contextmanager
def counting_node() -> Iterator[int]:
    """A node that answers queries, takes scans and gives nothing back; its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    process = multiprocessing.get_context("fork").Process(target=_count, args=(listener,))
    process.start()
    port = listener.getsockname()[1]
    listener.close()
    try:
        yield port
    finally:
        process.terminate()
        process.join()


def _count(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_take, args=(connection,), daemon=True).start()


def _take(connection: socket.socket) -> None:
    expected = len(_preamble()) + STREAM_BYTES // len(_block()) * len(_block()) + len(_CLOSE)
    buffer, taken = bytearray(1 << 20), 0
    with connection, contextlib.suppress(OSError):
        while taken < expected and (count := connection.recv_into(buffer)):
            if not taken and buffer[0] == 6:
                _answer(connection, bytes(buffer[:count]))
                return
            taken += count
        connection.sendall(_CLOSE)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(100):
            pass


def _answer(connection: socket.socket, data: bytes) -> None:
    _, _, correlation_id, _ = _QUERY_HEAD.unpack_from(data)
    status = {"capacity": 2 * IDLE, "running": 0, "draining": False, "ready": True}
    response = Response(json.dumps(status), correlation_id)
    connection.sendall(b"".join(bytes(buffer) for buffer in encode(response)) + _CLOSE)


@contextlib.contextmanager
def running_haproxy(folder: Path, port: int) -> Iterator[tuple[int, int]]:
    """HAProxy in TCP mode; its port and process id."""
    listening, config = free_port(), folder / "haproxy.cfg"
    config.write_text(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
        f"listen relay\n bind 127.0.0.1:{listening}\n server node 127.0.0.1:{port}\n"
    )
    with _process(["haproxy", "-f", str(config), "-q"], listening) as pid:
        yield listening, pid


@contextlib.contextmanager
def running_stunnels(folder: Path, port: int) -> Iterator[int]:
    """Two of them, plain on the outside and TLS-PSK between; the first one's port."""
    secrets = folder / "stunnel.secrets"
    secrets.write_text("client1:" + "0123456789abcdef" * 4 + "\n")
    secrets.chmod(0o600)
    middle, listening = free_port(), free_port()
    common = f"foreground = quiet\npid =\nciphers = PSK\nPSKsecrets = {secrets}\n"
    server = folder / "server.conf"
    server.write_text(
        f"{common}[server]\naccept = 127.0.0.1:{middle}\nconnect = 127.0.0.1:{port}\n"
    )
    client = folder / "client.conf"
    client.write_text(
        f"{common}PSKidentity = client1\n[client]\nclient = yes\n"
        f"accept = 127.0.0.1:{listening}\nconnect = 127.0.0.1:{middle}\n"
    )
    with (
        _process(["stunnel", str(server)], middle),
        _process(["stunnel", str(client)], listening),
    ):
        yield listening


class RunningGateway:
    """A gateway that listens."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid


@contextlib.contextmanager
def running_gateway(
    node: int, node_admin: int | None = None, **settings: object
) -> Iterator[RunningGateway]:
    """A gateway before one node."""
    port = free_port()
    nodes = [f"127.0.0.1:{node}" + (f"/{node_admin}" if node_admin else "")]
    given = {
        "listen": f"127.0.0.1:{port}",
        "admin": None,
        "registry": {"nodes": nodes, "capacity_assumed": 2 * IDLE},
        "log_format": "json",
        "log_level": "warning",
        **settings,
    }
    code = (
        "import sys; from elastron.gateway import GatewaySettings, run_gateway;"
        "run_gateway(GatewaySettings.model_validate_json(sys.argv[1]))"
    )
    with _process([sys.executable, "-c", code, json.dumps(given)], port) as pid:
        time.sleep(1)
        yield RunningGateway(port, pid)


@contextlib.contextmanager
def _process(command: list[str], port: int) -> Iterator[int]:
    """A process that listens at `port`."""
    process = subprocess.Popen(command, stderr=sys.stderr if "elastron" in command[-1] else None)
    try:
        _await(lambda: _listens(port), process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _await(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not there():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("a relay did not start")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
