"""Links to other nodes over TCP."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import structlog
from pydantic import ValidationError

from elastron.errors import ConnectError, ConnectionLostError, DeadlineError, ProtocolError
from elastron.node.peer_settings import PeerSettings
from elastron.node.peers import TcpLink, TcpPeers, own_address
from elastron.wire import Decoder, Limits, encode
from elastron.wire.messages import Close, Text
from tests.ports import free_port

from .harness import Peer, wait_for, wire_bytes


@contextlib.contextmanager
def server() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        yield listener, f"127.0.0.1:{listener.getsockname()[1]}"


def peers(own: str | None = None, **settings: object) -> TcpPeers:
    log = structlog.wrap_logger(structlog.testing.CapturingLogger())
    patient = {"discovery_timeout_s": 60, "connect_timeout_s": 60}
    return TcpPeers(PeerSettings.model_validate(patient | settings), own, Limits(), log)


@contextlib.contextmanager
def linked(**settings: object) -> Iterator[tuple[TcpLink, socket.socket]]:
    """A link, and the server's end of it."""
    with server() as (listener, address):
        link = peers(**settings).connect(address)
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(30)
            yield link, sock


# --- who they are ---------------------------------------------------------------------------------


def test_the_first_way_that_is_set_is_used(tmp_path) -> None:
    listed = tmp_path / "list"
    listed.write_text('["c:3"]')
    command = f"cat {listed}"
    assert peers().discover() == []
    assert peers(command=command).discover() == ["c:3"]
    assert peers(addresses=["a:1", "b:2", "a:1"], command=command).discover() == ["a:1", "b:2"]


def test_we_are_never_our_own_peer() -> None:
    for own in ("127.0.0.1:9002", "localhost:9002"):
        found = peers("127.0.0.1:9002", addresses=[own, "10.0.0.2:9002"]).discover()
        assert found == ["10.0.0.2:9002"]


def test_asking_again_waits_a_while_and_a_failure_is_survived(tmp_path) -> None:
    listed = tmp_path / "list"
    listed.write_text('["a:1"]')
    patient = peers(command=f"cat {listed}", discovery_pause_s=1000)
    eager = peers(command=f"cat {listed}", discovery_pause_s=0)
    assert patient.discover() == eager.discover() == ["a:1"]
    listed.write_text('["a:1", "b:2"]')
    wait_for(lambda: eager.discover() == ["a:1", "b:2"], what="the new list")
    assert patient.discover() == ["a:1"]
    listed.unlink()
    for _ in range(5):
        assert eager.discover() == ["a:1", "b:2"]
        time.sleep(0.01)


def test_a_command_that_hangs_later_holds_nothing_up(tmp_path) -> None:
    command = tmp_path / "discover"
    command.write_text("#!/bin/sh\necho '[\"a:1\"]'\n")
    command.chmod(0o755)
    found = peers(command=str(command), discovery_pause_s=0)
    assert found.discover() == ["a:1"]
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    slow.rename(command)
    began = time.monotonic()
    for _ in range(10):
        assert found.discover() == ["a:1"]
    assert time.monotonic() - began < 15


def test_wrong_addresses_are_refused() -> None:
    for wrong in ("a", "a:", ":1", 'a"b:1', 'a:1", "b:2'):
        with pytest.raises(ValidationError, match="is not HOST:PORT"):
            PeerSettings(addresses=(wrong,))


def test_our_own_address_is_where_a_client_found_us() -> None:
    with server() as (listener, address), Peer(int(address.rpartition(":")[2])):
        sock, _ = listener.accept()
        with sock:
            assert own_address(sock) == address
    one, other = socket.socketpair()
    with one, other:
        assert own_address(one) is None


# --- links ----------------------------------------------------------------------------------------


def test_messages_both_ways() -> None:
    with linked() as (link, sock):
        link.send([b"ab", memoryview(np.arange(3, dtype="<u2")), b""])
        assert sock.recv(100) == b"ab" + struct.pack("<3H", 0, 1, 2)
        sock.sendall(wire_bytes(Text("hello"), Close()))
        sock.shutdown(socket.SHUT_WR)
        assert list(link.messages()) == [Text("hello"), Close()]
        link.close()
        assert sock.recv(1) == b""  # a quiet end


def test_much_data_to_a_slow_peer() -> None:
    data = np.random.default_rng(0).bytes(8 << 20)
    received = bytearray()

    def read() -> None:
        while len(received) < len(data):
            received.extend(sock.recv(100_000))

    with linked() as (link, sock):
        reader = threading.Thread(target=read)
        reader.start()
        link.send([data[: 3 << 20], *(data[i : i + 1000] for i in range(3 << 20, 8 << 20, 1000))])
        reader.join()
        link.close()
    assert received == data


def test_a_broken_link_says_so() -> None:
    with linked() as (link, sock):
        sock.sendall(wire_bytes(Text("half"))[:-1])
        sock.close()
        with pytest.raises(ConnectionLostError, match="in the middle of TEXT"):
            list(link.messages())
        with pytest.raises(ConnectionLostError, match="broke"):
            link.send([bytes(64 << 20)])
        link.close()
    with linked() as (link, sock):
        sock.sendall(b"GET / HTTP/1.1")
        with pytest.raises(ProtocolError):
            list(link.messages())
        link.close()


@pytest.mark.parametrize("waiting", ["receiver", "sender"])
def test_an_aborted_link_wakes_and_resets(waiting: str) -> None:
    with linked() as (link, sock):
        ended: list[BaseException] = []

        def wait() -> None:
            try:
                if waiting == "receiver":
                    list(link.messages())
                else:
                    link.send([bytes(64 << 20)])
            except ConnectionLostError as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        link.abort()
        link.abort()
        thread.join(60)
        assert "given up" in str(ended[0])
        link.close()
        with pytest.raises(ConnectionResetError):
            _drain(sock)


def _drain(sock: socket.socket) -> None:
    while sock.recv(1 << 20):
        pass


def test_a_silent_peer_is_given_up() -> None:
    with linked(silence_timeout_s=0.1) as (link, _):
        with pytest.raises(DeadlineError, match=r"for 0\.1 s"):
            list(link.messages())
        with pytest.raises(DeadlineError):
            link.send([bytes(64 << 20)])
        link.close()


def test_nobody_there() -> None:
    for nobody in (
        f"127.0.0.1:{free_port()}",
        "no-such-host.invalid:1",
        "127.0.0.1:no-such-service",
        "a..b:1",
    ):
        with pytest.raises(ConnectError, match="cannot be reached"):
            peers(connect_timeout_s=20).connect(nobody)


def test_a_v6_address() -> None:
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        except OSError:
            pytest.skip("no IPv6 here")
        link = peers().connect(f"[::1]:{listener.getsockname()[1]}")
        link.send(encode(Close()))
        sock, _ = listener.accept()
        decoder = Decoder()
        wait_for(lambda: decoder.feed(sock.recv(10)) or decoder.buffered_bytes, what="CLOSE")
        assert list(decoder.messages()) == [Close()]
        link.close()
        sock.close()
