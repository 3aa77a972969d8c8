from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from elastron.errors import ConnectionLostError
from elastron.node.outbox import Outbox
from elastron.node.scoreboard import Scoreboard
from elastron.node.transport import ClientSocket
from elastron.wire import Decoder
from elastron.wire.messages import Close, Message, Text


class End:
    """The client's end."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    def receive(self, count: int) -> list[Message]:
        decoder = Decoder()
        messages: list[Message] = []
        while len(messages) < count:
            decoder.feed(self.socket.recv(1 << 20))
            messages += decoder.messages()
        return messages


@pytest.fixture
def ends() -> Iterator[tuple[ClientSocket, End]]:
    ours, theirs = socket.socketpair()
    board = Scoreboard()
    client = ClientSocket(ours, board)
    yield client, End(theirs)
    theirs.close()
    client.close()
    board.close()


def test_before_its_start_messages_go_at_once(ends) -> None:
    client, end = ends
    outbox = Outbox(client, bytes_max=1, timeout_s=5)
    outbox.put(Text("a"))
    assert end.receive(1) == [Text("a")]
    outbox.close()


def test_order_and_completeness(ends) -> None:
    client, end = ends
    outbox = Outbox(client, bytes_max=10_000, timeout_s=30)
    outbox.start()
    sent = [Text(str(i) * 100) for i in range(1000)]
    received: list[Message] = []
    reader = threading.Thread(target=lambda: received.extend(end.receive(1001)))
    reader.start()
    for message in sent:
        outbox.put(message)
    outbox.close()
    outbox.put(Close())
    reader.join()
    assert received == [*sent, Close()]


def test_waits_while_full(ends) -> None:
    client, end = ends
    outbox = Outbox(client, bytes_max=100_000, timeout_s=30)
    outbox.start()
    count = 0

    def fill() -> None:
        nonlocal count
        for _ in range(100):
            outbox.put(Text("x" * 50_000))
            count += 1

    filling = threading.Thread(target=fill)
    filling.start()
    filling.join(0.3)
    assert filling.is_alive()
    assert count < 20  # the limit, and what the sockets hold
    assert len(end.receive(100)) == 100
    filling.join()
    outbox.close()


def test_a_message_larger_than_the_limit_passes(ends) -> None:
    client, end = ends
    outbox = Outbox(client, bytes_max=10, timeout_s=30)
    outbox.start()
    outbox.put(Text("x" * 1000))
    outbox.put(Text("y" * 1000))
    assert len(end.receive(2)) == 2
    outbox.close()


def test_the_sender_hears_that_the_client_has_gone(ends) -> None:
    client, end = ends
    end.socket.close()
    outbox = Outbox(client, bytes_max=1000, timeout_s=30)
    outbox.start()
    with pytest.raises(ConnectionLostError):  # noqa: PT012 - which put fails is a race
        for _ in range(1000):
            outbox.put(Text("x" * 1000))
    with pytest.raises(ConnectionLostError):
        outbox.close()


def test_discard_wakes_the_sender(ends) -> None:
    client, end = ends
    outbox = Outbox(client, bytes_max=1000, timeout_s=30)
    outbox.start()
    big = Text("x" * 1_000_000)
    outbox.put(big)  # more than the sockets hold
    end.socket.recv(1, socket.MSG_PEEK)  # it is on its way
    stuck = threading.Thread(target=outbox.put, args=(Text("y" * 1000),))
    stuck.start()
    stuck.join(0.1)
    assert stuck.is_alive()
    outbox.discard()
    stuck.join(30)
    assert not stuck.is_alive()
    assert end.receive(1) == [big]
    outbox.close()
    outbox.put(Close())
    assert end.receive(1) == [Close()]
