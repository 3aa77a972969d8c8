"""Clients that are gone for good, and those that only seem so."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.node.departures import Departures, unacknowledged_s
from elastron.wire.messages import Close, ConfigName, HeaderXml

from .harness import (
    HEADER,
    NodeProcess,
    Peer,
    check_good_scan,
    images,
    running_node,
    scan,
    stream_config,
    texts,
    wait_for,
    wire_bytes,
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="a thing of Linux")

GRACE_S = 1.0


@contextlib.contextmanager
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's and a client's end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        yield server, client


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# --- the watch itself -----------------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize("half_closed", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_reset_is_told_once(loop: str, *, half_closed: bool) -> None:
    async def watch() -> list[str]:
        told: list[str] = []
        came = asyncio.Event()
        departures = Departures(look_s=0.01)
        departures.start()

        def gone(reason: str) -> None:
            told.append(reason)
            came.set()

        with connection() as (server, client), departures.watching(server, gone):
            client.send(b"unread")
            if half_closed:
                client.shutdown(socket.SHUT_WR)
            for _ in range(5):  # looks meanwhile; what is legal is not told
                await asyncio.sleep(0.01)
            assert not told
            reset(client)
            await asyncio.wait_for(came.wait(), 30)
            await asyncio.sleep(0.05)
        departures.stop()
        return told

    run = asyncio.run if loop == "asyncio" else pytest.importorskip("uvloop").run
    assert run(watch()) == ["the client has left: its connection was reset"]


def test_what_is_not_watched_any_more_is_not_told() -> None:
    async def watch() -> None:
        departures = Departures()
        departures.start()
        with connection() as (server, client):
            with departures.watching(server, lambda _: pytest.fail("told")):
                pass
            reset(client)
            await asyncio.sleep(0.05)
        departures.stop()
        departures.stop()  # harmless

    asyncio.run(watch())


def test_a_peer_that_reads_nothing_is_there() -> None:
    with connection() as (server, _):
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.send(bytes(1 << 20))
        assert unacknowledged_s(server) == 0
    assert unacknowledged_s(server) == 0  # closed


class _Kernel:
    """Answers TCP_INFO."""

    def __init__(self, retransmits: int, probes: int, last_ack_ms: int) -> None:
        self._info = struct.pack("=8B13I", 1, 0, retransmits, probes, *[0] * 16, last_ack_ms)

    def getsockopt(self, *_: int) -> bytes:
        return self._info


@linux_only
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_only_repeated_packets_without_an_answer_count(
    retransmits: int, probes: int, last_ack_ms: int
) -> None:
    found = unacknowledged_s(_Kernel(retransmits, probes, last_ack_ms))  # type: ignore[arg-type]
    assert found == (last_ack_ms / 1000 if max(retransmits, probes) >= 2 else 0)


_CUT_OFF = """
import asyncio, socket, subprocess
from elastron.node.departures import Departures

async def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    gone = asyncio.get_running_loop().create_future()
    departures = Departures(unacknowledged_s_max=1, look_s=0.1)
    departures.start()
    with departures.watching(server, gone.set_result):
        server.send(b"acknowledged")
        client.recv(100)
        subprocess.run(["iptables", "-A", "INPUT", "-j", "DROP"], check=True)
        server.send(b"never acknowledged")
        print(await asyncio.wait_for(gone, 60))
    departures.stop()
    for each in (listener, client, server):
        each.close()

asyncio.run(main())
"""


def _may_drop_packets() -> bool:
    if not all(map(shutil.which, ("unshare", "ip", "iptables"))):
        return False
    command = ["unshare", "-rn", "iptables", "-L"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@linux_only
@pytest.mark.skipif(not _may_drop_packets(), reason="needs a network namespace and iptables")
def test_a_machine_that_is_cut_off_is_told() -> None:
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", _CUT_OFF], capture_output=True, check=False
    )
    assert done.stderr == b""
    assert b"its machine acknowledged nothing for 1 s" in done.stdout


def send_until_full(peer: Peer) -> None:
    data = wire_bytes(scan(repetitions=20))
    peer.socket.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while True:
            peer.send_bytes(data)


# --- in a node ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lone_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One place, so that it is seen when it is free."""
    folder: Path = tmp_path_factory.mktemp("lone-node")
    with running_node(folder, capacity=1, cancel_grace_s=GRACE_S) as node:
        yield node


@linux_only
@pytest.mark.parametrize("ended", ["close", "half-close", "queue full"])
def test_a_reset_frees_the_place_of_a_chain_that_computes(
    lone_node: NodeProcess, ended: str
) -> None:
    node = lone_node
    lost = 'elastron_sessions_total{outcome="lost"}'
    before = node.metric(lost)
    peer = node.connect()
    peer.send(stream_config("StuckGadget:seconds=3600"), HeaderXml(HEADER), scan())
    match ended:
        case "close":
            peer.send(Close())
        case "half-close":
            peer.half_close()
        case _:  # the node reads no more: 4 MiB wait for the chain
            send_until_full(peer)
    session = node.wait_for_session()
    assert node.metric("gadgetron_activity") == 1
    peer.vanish()
    wait_for(lambda: node.metric("gadgetron_activity") == 0, what="a free place")
    check_good_scan(node.port)
    wait_for(lambda: node.metric(lost) == before + 1, what="the end of a lost session")
    (event,) = [
        each for each in node.events("session is stopped") if each["session"] == session["id"]
    ]
    assert event["reason"] == "the client has left: its connection was reset"


@pytest.mark.parametrize("with_close", [True, False])
def test_a_client_that_only_listens_gets_its_images(
    lone_node: NodeProcess, *, with_close: bool
) -> None:
    stopped = len(lone_node.events("session is stopped"))
    with lone_node.connect() as peer:
        peer.send(stream_config("SlowGadget:seconds=0.5", "EchoGadget"), HeaderXml(HEADER), scan())
        if with_close:
            peer.send(Close())
        peer.half_close()
        answer = peer.receive()
    assert "readouts 32, in order True" in texts(answer)
    assert answer[-1] == Close()
    with lone_node.connect() as peer:
        peer.send(ConfigName("default.xml"), HeaderXml(HEADER), scan(), Close()).half_close()
        assert len(images(peer.receive())) == 1
    assert len(lone_node.events("session is stopped")) == stopped


@linux_only
def test_resets_without_a_word_leave_nothing_behind(lone_node: NodeProcess) -> None:
    """Health checks of load balancers end so."""
    probes = 'elastron_sessions_total{outcome="probe"}'
    before = lone_node.metric(probes)
    for _ in range(5):
        lone_node.connect().vanish()
    wait_for(lambda: lone_node.metric(probes) == before + 5, what="five probes")
