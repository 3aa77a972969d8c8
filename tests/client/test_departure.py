from __future__ import annotations

import json

import pytest

from elastron.client import Client, ScanLostError, ScanRefusedError, Ticket
from elastron.errors import ConnectionLostError, RemoteError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.wire.messages import Close, ConfigName, HeaderXml, Message, Query, Response, Text
from tests.client.answers import small_image
from tests.client.fake_server import Peer, fake_server
from tests.client.scans import make_batch
from tests.node.harness import HEADER

TOLD = json.dumps({"session": "5e551011", "ticket": "5e551011-secret"})
SCAN = (HEADER, [make_batch(4)])


def client(port: int) -> Client:
    return Client("127.0.0.1", port)


def test_the_client_leaves_when_the_gateway_has_everything():
    seen: list[Message] = []
    left: list[bool] = []

    def gateway(peer: Peer) -> None:
        for message in peer.messages():
            seen.append(message)
            match message:
                case Query("elastron::session", number):
                    peer.send(Response(TOLD, number))
                case AcquisitionBatch():
                    peer.send(small_image())  # nobody is there for it
                case Query("elastron::detach", number):
                    detach = number
                case Close():
                    peer.send(small_image(), Response(TOLD, detach))
        left.append(True)

    tickets = []
    with fake_server(gateway) as port:
        ticket = client(port).detach(SCAN, on_ticket=lambda each: tickets.append((each, len(seen))))
    assert ticket == Ticket("5e551011", "5e551011-secret")
    assert tickets == [(ticket, 1)], "told before the scan was sent"
    kinds = [type(message) for message in seen]
    assert kinds == [Query, ConfigName, HeaderXml, AcquisitionBatch, Query, Close]
    assert left == [True]


@pytest.mark.parametrize("answer", ["Unknown query", "{}", '{"session": "a"}', "[]", ""])
def test_a_server_that_keeps_nothing_is_told_from_a_gateway(answer: str):
    seen: list[Message] = []

    def node(peer: Peer) -> None:
        for message in peer.messages():
            seen.append(message)
            if isinstance(message, Query):
                peer.send(Response(answer, message.correlation_id))

    with fake_server(node) as port, pytest.raises(RemoteError, match="no Elastron gateway"):
        client(port).detach(SCAN)
    assert [type(message) for message in seen] == [Query], "no scan was sent"


def test_a_refusal_is_passed_on():
    def full(peer: Peer) -> None:
        peer.send(Text("[Connection Main Thread] ERROR: the queue is full"), Close())
        peer.until_close()

    with fake_server(full) as port, pytest.raises(ScanRefusedError, match="the queue is full"):
        client(port).detach(SCAN)


def test_a_gateway_that_hangs_up_at_once_is_told():
    with (
        fake_server(lambda peer: next(peer.messages()) and None) as port,
        pytest.raises(ScanLostError, match="hung up"),
    ):
        client(port).detach(SCAN)


def test_an_end_without_the_receipt_names_the_ticket():
    def gateway(peer: Peer) -> None:
        for message in peer.messages():
            match message:
                case Query("elastron::session", number):
                    peer.send(Response(TOLD, number))
                case Close():
                    peer.send(Close())

    with (
        fake_server(gateway) as port,
        pytest.raises(ConnectionLostError, match="elastron fetch 5e551011-secret"),
    ):
        client(port).detach(SCAN)


def test_errors_of_the_chain_come_before_the_leaving():
    def gateway(peer: Peer) -> None:
        for message in peer.messages():
            match message:
                case Query("elastron::session", number):
                    peer.send(Response(TOLD, number))
                case HeaderXml():
                    peer.send(Text("[Connection Main Thread] ERROR: no such config"), Close())

    with fake_server(gateway) as port, pytest.raises(ScanRefusedError, match="no such config"):
        client(port).detach(SCAN)
