"""Whatever a client sends through the gateway: the node's answers, and no harm to others.

The tests of `tests.node.test_bad_input` run once more, with a gateway before the node.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elastron.wire.messages import Close, ConfigName, HeaderXml
from tests.chaos.fleet import GatewayProcess
from tests.node import test_bad_input as suite
from tests.node.harness import (
    HEADER,
    IMPATIENCE,
    NodeProcess,
    Peer,
    check_good_scan,
    images,
    running_node,
    scan,
    stream_config,
    wait_for,
    wire_bytes,
)

globals().update(
    {name: each for name, each in vars(suite).items() if name.startswith(("test_", "healthy"))}
)

MIB = 2**20


class Logs:
    """The gateway's log and its node's, as one."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths

    def read_text(self) -> str:
        return "".join(path.read_text() for path in self._paths)


class NodeBehindGateway(NodeProcess):
    """What the tests of a node ask of it, answered by the gateway before it."""

    def __init__(self, node: NodeProcess, gateway: GatewayProcess) -> None:
        self.process = gateway.process
        self.port, self.admin = gateway.port, gateway.admin
        self.gateway, self.node = gateway, node
        self.log_path = Logs(gateway.log_path, node.log_path)  # type: ignore[assignment]


@contextlib.contextmanager
def gateway_before_node(
    folder: Path, *, node: dict[str, Any], **settings: Any
) -> Iterator[NodeBehindGateway]:
    with running_node(folder, **node) as process:
        listed = f"127.0.0.1:{process.port}/{process.admin.rpartition(':')[2]}"
        registry = {"nodes": [listed], "poll_timeout_s": 30}  # one on a busy machine is not dead
        gateway = GatewayProcess(folder, registry=registry, **settings)
        try:
            yield NodeBehindGateway(process, gateway)
        finally:
            gateway.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeBehindGateway]:
    with gateway_before_node(
        tmp_path_factory.mktemp("gateway"),
        node={"capacity": 4, "cancel_grace_s": 1, "linger_timeout_s": 60},
        journal={"memory_bytes_max": 64 * MIB},
        linger_timeout_s=60,
    ) as node:
        yield node


@pytest.fixture(scope="module")
def impatient_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeBehindGateway]:
    folder = tmp_path_factory.mktemp("impatient")
    limits = {"capacity": 4, **IMPATIENCE}
    with gateway_before_node(folder, node=limits, **IMPATIENCE) as node:
        yield node


def test_a_scan_beyond_the_journal_costs_bounded_memory(tmp_path: Path) -> None:
    """A node that takes nothing and a client that sends without end."""
    with gateway_before_node(
        tmp_path,
        node={"capacity": 2, "cancel_grace_s": 1},
        journal={"memory_bytes_max": 32 * MIB, "room_timeout_s": 1},
    ) as node:
        check_good_scan(node.port)
        before = node.gateway.memory_bytes()
        data = wire_bytes(scan(repetitions=20))
        taken = 0
        with node.connect() as peer:
            peer.send(stream_config("StuckGadget:seconds=10"), HeaderXml(HEADER))
            peer.socket.settimeout(4)
            with contextlib.suppress(TimeoutError):
                while taken < 1 << 30:
                    peer.send_bytes(data)
                    taken += len(data)
            assert taken < 200 * MIB  # the client was held back
            assert node.gateway.memory_bytes() - before < 100 * MIB
            check_good_scan(node.port)


def test_messages_that_never_end_cost_bounded_memory(node: NodeBehindGateway) -> None:
    """Many clients announce large messages and send little of them."""
    before = node.gateway.memory_bytes()
    announced = (
        wire_bytes(ConfigName("default.xml")) + b"\x03\x00" + (15 * MIB).to_bytes(4, "little")
    )
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(node.connect()) for _ in range(200)]
        for peer in peers:
            peer.send_bytes(announced + bytes(1000))
        check_good_scan(node.port)
        assert node.gateway.memory_bytes() - before < 64 * MIB


def test_clients_that_do_not_read_cost_bounded_memory(node: NodeBehindGateway) -> None:
    """Echoes that nobody takes wait at the node, not in the gateway."""
    before = node.gateway.memory_bytes()
    with node.connect() as peer:
        peer.send(stream_config("EchoGadget"), HeaderXml(HEADER))
        peer.socket.settimeout(1)
        data, taken = wire_bytes(scan(repetitions=20)), 0
        with contextlib.suppress(TimeoutError, OSError):
            while taken < 1 << 30:
                peer.send_bytes(data)
                taken += len(data)
        assert taken < 1 << 30
        assert node.gateway.memory_bytes() - before < 256 * MIB
        check_good_scan(node.port)


def test_ten_thousand_silent_connections_stop_no_scan(tmp_path: Path) -> None:
    with gateway_before_node(tmp_path, node={"capacity": 2}) as node:
        check_good_scan(node.port)
        before = node.gateway.memory_bytes()
        with contextlib.ExitStack() as silent:
            for _ in range(10_000):
                address = ("127.0.0.1", node.port)
                silent.enter_context(socket.create_connection(address, timeout=60))
            began = time.monotonic()
            check_good_scan(node.port)
            assert time.monotonic() - began < 60
            assert node.gateway.memory_bytes() - before < 400 * MIB
            assert node.get("/readyz").status_code == 200
        check_good_scan(node.port)


def test_a_scan_goes_on_while_hostile_ones_come_and_go(node: NodeBehindGateway) -> None:
    stop = threading.Event()

    def annoy(data: bytes) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError), Peer(node.port) as peer:
                peer.send_bytes(data)
                peer.vanish()

    hostile = [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000, wire_bytes(ConfigName("default.xml"))]
    threads = [threading.Thread(target=annoy, args=(data,)) for data in hostile]
    with node.connect() as peer:
        peer.send(ConfigName("default.xml"), HeaderXml(HEADER))
        for thread in threads:
            thread.start()
        try:
            for number in range(20):
                peer.send(scan(first=number))
                time.sleep(0.05)
            peer.send(Close())
            assert len(images(peer.receive())) == 20
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    wait_for(lambda: len(node.sessions()) <= 1, what="an end of all sessions but the bystander's")
