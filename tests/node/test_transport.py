from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from elastron.errors import ConnectionLostError, DeadlineError
from elastron.node.scoreboard import Scoreboard
from elastron.node.transport import ClientSocket, Interrupted


@pytest.fixture
def ends() -> Iterator[tuple[ClientSocket, socket.socket, Scoreboard]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    board = Scoreboard()
    client = ClientSocket(ours, board)
    yield client, theirs, board
    theirs.close()
    if ours.fileno() >= 0:
        client.close()
    board.close()


def test_takes_what_is_there(ends) -> None:
    client, theirs, board = ends
    theirs.sendall(b"abc")
    buffer = bytearray(10)
    assert client.receive_into(memoryview(buffer), timeout_s=5) == 3
    assert buffer[:3] == b"abc"
    assert board.bytes_in == 3


def test_end_of_stream_comes_after_the_last_bytes(ends) -> None:
    client, theirs, _ = ends
    theirs.sendall(b"abc")
    theirs.shutdown(socket.SHUT_WR)
    view = memoryview(bytearray(10))
    assert client.receive_into(view, timeout_s=5) == 3
    assert client.receive_into(view, timeout_s=5) == 0
    assert client.receive_into(view, timeout_s=5) == 0


def test_silence(ends) -> None:
    client, _, _ = ends
    with pytest.raises(TimeoutError):
        client.receive_into(memoryview(bytearray(10)), timeout_s=0.01)


def test_interrupt_ends_a_wait(ends) -> None:
    client, theirs, _ = ends
    view = memoryview(bytearray(10))
    timer = threading.Timer(0.05, client.interrupt)
    timer.start()
    with pytest.raises(Interrupted):
        client.receive_into(view, timeout_s=60)
    timer.join()
    with pytest.raises(Interrupted):
        client.receive_into(view, timeout_s=60)
    client.clear_interrupt()
    theirs.sendall(b"a")
    assert client.receive_into(view, timeout_s=60) == 1


def test_an_interrupt_that_comes_too_late_is_nothing(ends) -> None:
    client, _, _ = ends
    client.close()
    client.interrupt()  # its pipe is closed; the descriptor may be somebody else's by now


def test_reset(ends) -> None:
    client, theirs, _ = ends
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    with pytest.raises(ConnectionLostError, match="reset"):
        client.receive_into(memoryview(bytearray(10)), timeout_s=5)


def test_a_message_of_many_buffers_goes_whole(ends) -> None:
    client, theirs, board = ends
    buffers = [bytes([i % 256]) * (i % 3000) for i in range(3000)]
    expected = b"".join(buffers)
    received = bytearray()

    def read() -> None:
        while len(received) < len(expected):
            received.extend(theirs.recv(100_000))

    reader = threading.Thread(target=read)
    reader.start()
    client.send(buffers, timeout_s=30)
    reader.join()
    assert received == expected
    assert board.bytes_out == len(expected)
    assert board.writing == 0


def test_a_client_that_takes_nothing(ends) -> None:
    client, _, board = ends
    with pytest.raises(DeadlineError, match="took none of its results"):
        client.send([bytes(50_000_000)], timeout_s=0.05)
    assert board.writing == 1  # nobody may add anything to a message half sent


def test_a_client_that_has_gone(ends) -> None:
    client, theirs, _ = ends
    theirs.close()
    with pytest.raises(ConnectionLostError):  # noqa: PT012 - the first may still be buffered
        for _ in range(100):
            client.send([bytes(1_000_000)], timeout_s=5)


def test_last_words_survive_unread_data(ends) -> None:
    """Closing with unread data resets a connection; `finish` reads it first."""
    client, theirs, _ = ends
    theirs.settimeout(30)
    theirs.sendall(bytes(100_000))
    client.send([b"last words"], timeout_s=5)
    finishing = threading.Thread(
        target=client.finish,
        kwargs={"timeout_s": 30, "bytes_max": 1 << 30, "buffer": memoryview(bytearray(4096))},
    )
    finishing.start()
    theirs.sendall(bytes(3_000_000))
    theirs.shutdown(socket.SHUT_WR)
    assert theirs.recv(100) == b"last words"
    assert theirs.recv(100) == b""
    finishing.join()


def test_lingering_is_bounded(ends) -> None:
    client, theirs, board = ends
    stop = threading.Event()

    def send_forever() -> None:
        try:
            while not stop.is_set():
                theirs.sendall(bytes(100_000))
        except OSError:
            pass

    sending = threading.Thread(target=send_forever)
    sending.start()
    client.finish(timeout_s=60, bytes_max=1_000_000, buffer=memoryview(bytearray(65536)))
    stop.set()
    sending.join()
    assert 1_000_000 <= board.bytes_in < 1_200_000


def test_lingering_ends_in_time(ends) -> None:
    client, _, _ = ends
    began = time.monotonic()
    client.finish(timeout_s=0.1, bytes_max=1 << 30, buffer=memoryview(bytearray(65536)))
    assert time.monotonic() - began < 30
