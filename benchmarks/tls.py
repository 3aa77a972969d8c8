"""TLS-PSK ended in the gateway, journal on, against a stunnel server before plain TCP.

The client's end is a real stunnel each time, as at a site, and all share the machine's cores. Runs
alternate, and each way's best is counted. Needs Python 3.13 (TLS-PSK) and stunnel.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.gateway import (
    STREAM_BYTES,
    _cpu_seconds,
    _process,
    _send_stream,
    _together,
    counting_node,
    running_gateway,
)
from benchmarks.session import free_port

RUNS = int(os.environ.get("RUNS", "5"))
MANY = 4
MANY_RUNS = 2
HANDSHAKES = 500
_SECRET = "4ZYJY+HoIX1xxZM563VpppejPJNQ4S4Z"  # noqa: S105 - for this benchmark only
_CIPHERS = "ECDHE-PSK-CHACHA20-POLY1305"


def main() -> None:
    """Print all of it."""
    if not getattr(ssl, "HAS_PSK", False) or shutil.which("stunnel") is None:
        print("skipped: TLS-PSK needs Python 3.13, and there must be a stunnel")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = folder / "stunnel.secrets"
        keys.write_text(f"client1:{_SECRET}\n")
        keys.chmod(0o600)
        with counting_node() as node, contextlib.ExitStack() as stack:
            tls_port = free_port()
            listener = {"listen": f"127.0.0.1:{tls_port}", "psk_file": str(keys)}
            journal = {"memory_bytes_max": 10 << 30}
            gateway = stack.enter_context(running_gateway(node, journal=journal, tls=[listener]))
            before_gateway = stack.enter_context(_server(folder, keys, gateway.port))
            before_node = stack.enter_context(_server(folder, keys, node))
            ways = {
                "gateway's own TLS": (tls_port, (gateway.pid,)),
                "stunnel, then gateway": (before_gateway[0], (before_gateway[1], gateway.pid)),
                "stunnel, then node": (before_node[0], (before_node[1],)),
            }
            ports = {
                way: stack.enter_context(_client(folder, keys, to)) for way, (to, _) in ways.items()
            }
            throughput(ports, {way: pids for way, (_, pids) in ways.items()})
            handshakes({way: ways[way][0] for way in ("gateway's own TLS", "stunnel, then node")})


def throughput(ports: dict[str, int], pids: dict[str, tuple[int, ...]]) -> None:
    """One stream, then several at once."""
    for clients, runs in ((1, RUNS), (MANY, MANY_RUNS)):
        rates: dict[str, list[float]] = {way: [] for way in ports}
        cpu: dict[str, list[float]] = {way: [] for way in ports}
        for run in range(runs + 1):  # the first one takes fresh memory
            for way, port in ports.items():
                before = sum(map(_cpu_seconds, pids[way]))
                seconds = _send_stream(port) if clients == 1 else _together(port, clients)
                if run:
                    sent = clients * STREAM_BYTES
                    rates[way].append(sent / seconds / 1e9)
                    cpu[way].append((sum(map(_cpu_seconds, pids[way])) - before) / sent * 1e9)
        own = max(rates["gateway's own TLS"])
        for way, found in rates.items():
            print(
                f"{clients} x 1 GiB, {way}: best {max(found):.2f} GB/s "
                f"(own TLS: {own / max(found):.2f} x), median {statistics.median(found):.2f}, "
                f"server side {min(cpu[way]):.2f} CPU s/GB"
            )
    print("  (target: the gateway's own TLS >= 1.0 x stunnel before plain TCP)")


def handshakes(ports: dict[str, int]) -> None:
    """Connect, shake hands, leave; one after the other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.set_ciphers(_CIPHERS)
    context.set_psk_client_callback(lambda _: ("client1", _SECRET.encode()))
    for way, port in ports.items():
        times = []
        for _ in range(HANDSHAKES):
            start = time.perf_counter()
            with (
                socket.create_connection(("127.0.0.1", port)) as connection,
                context.wrap_socket(connection),
            ):
                times.append(time.perf_counter() - start)
        print(f"handshake, {way}: {statistics.median(times) * 1e3:.2f} ms (median)")
    start = time.perf_counter()
    for _ in range(HANDSHAKES):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.set_ciphers(_CIPHERS)
    each = (time.perf_counter() - start) / HANDSHAKES
    print(f"  of which a context of its own for each connection: {each * 1e3:.2f} ms")


@contextlib.contextmanager
def _server(folder: Path, keys: Path, to: int) -> Iterator[tuple[int, int]]:
    """A stunnel server, as the chart configures it; its port and process id."""
    port = free_port()
    conf = folder / f"server-{port}.conf"
    conf.write_text(
        f"foreground = quiet\npid =\nciphers = {_CIPHERS}\nPSKsecrets = {keys}\n"
        f"[server]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{to}\n"
    )
    with _process(["stunnel", str(conf)], port) as pid:
        yield port, pid


@contextlib.contextmanager
def _client(folder: Path, keys: Path, to: int) -> Iterator[int]:
    """A stunnel client with the original's configuration; its port."""
    port = free_port()
    conf = folder / f"client-{port}.conf"
    conf.write_text(
        f"foreground = quiet\npid =\nPSKsecrets = {keys}\n"
        f"[client]\nclient = yes\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{to}\n"
    )
    with _process(["stunnel", str(conf)], port):
        yield port


if __name__ == "__main__":
    main()
