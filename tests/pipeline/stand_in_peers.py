"""Other nodes without sockets: each link is a thread that runs the chain it was sent."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from elastron.errors import ConnectError, ConnectionLostError
from elastron.gadgets.base import Context, Item
from elastron.mrd.header import parse_header
from elastron.pipeline import DistributionLimits, Link, build, parse_config, written_by_node
from elastron.wire import Buffer, Decoder, message_id
from elastron.wire.faults import LOCATION, Fault, fault_words
from elastron.wire.messages import Close, ConfigXml, Error, HeaderXml, Message, Text


@dataclass
class StandIn:
    """One peer, and what goes wrong there.

    Attributes:
        capacity: links at a time; more are refused.
        unreachable: nobody listens.
        dies_after: messages received, after which a link breaks; so many times.
        deaths: links still to break.
        says: said instead of working.
        twist: changes what the chain puts out.
        silent: works, but its CLOSE comes at once.
    """

    capacity: int = 100
    unreachable: bool = False
    dies_after: int | None = None
    deaths: int = 1
    says: list[Message] = field(default_factory=list)
    twist: Callable[[Iterable[Message]], Iterable[Message]] = lambda messages: messages
    gate: threading.Event | None = None
    links: list[StandInLink] = field(default_factory=list)

    @property
    def open(self) -> list[StandInLink]:
        return [link for link in self.links if not link.over]


class StandInPeers:
    """`Peers` of stand-ins."""

    def __init__(self, limits: DistributionLimits | None = None, **peers: StandIn) -> None:
        self.limits = limits or DistributionLimits()
        self.peers = peers
        self.listed = list(peers)
        self.discoveries = 0

    def discover(self) -> Sequence[str]:
        self.discoveries += 1
        return list(self.listed)

    def connect(self, peer: str) -> Link:
        stand_in = self.peers[peer]
        if stand_in.unreachable:
            raise ConnectError(f"{peer} does not answer")
        refused = len(stand_in.open) >= stand_in.capacity
        link = StandInLink(stand_in, refused=refused)
        stand_in.links.append(link)
        link.start()
        return link


class StandInLink:
    """Bytes in, messages out."""

    def __init__(self, peer: StandIn, *, refused: bool) -> None:
        self.peer = peer
        self.refused = refused
        self.received: list[Message] = []
        self.over = False
        self.closed = threading.Event()
        self._broken = threading.Event()
        self._inbox: queue.Queue[bytes | None] = queue.Queue(maxsize=8)
        self._outbox: queue.Queue[Message | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def send(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:  # a readout each: batches arrive as they were sent
            self._put(bytes(buffer))

    def _put(self, data: bytes) -> None:
        while not self._broken.is_set():
            try:
                self._inbox.put(data, timeout=0.02)
                return
            except queue.Full:
                continue
        raise ConnectionLostError("broken")

    def messages(self) -> Iterator[Message]:
        while (message := self._outbox.get()) is not None:
            yield message
        if self._broken.is_set():
            raise ConnectionLostError("broken")

    def abort(self) -> None:
        self.over = True
        self._broken.set()
        self._outbox.put(None)

    def close(self) -> None:
        self.over = True
        self._broken.set()

    def _work(self) -> None:
        try:
            self._serve()
        except ConnectionLostError:
            self.abort()
        except Exception as error:
            self._outbox.put(Text(f"[{LOCATION}] ERROR: {error}"))
            self._outbox.put(Close())
        self.over = True
        self._outbox.put(None)

    def _serve(self) -> None:
        if self.refused:
            self._outbox.put(Text(f"[{LOCATION}] ERROR: {fault_words(Fault.NODE_FULL)}"))
            self._outbox.put(Close())
            return
        if self.peer.gate is not None:
            self.peer.gate.wait()
        for message in self.peer.says:
            self._outbox.put(message)
        if self.peer.says:
            return
        messages = self._messages()
        xml = cast(ConfigXml, next(messages)).xml
        header = parse_header(cast(HeaderXml, next(messages)).xml)
        config = parse_config(xml)
        assert written_by_node(xml, config)
        chain = build(config, Context(header=header, threads=1))
        output = (
            item for item in chain(self._data(messages)) if message_id(item) in chain.writable
        )
        for message in self.peer.twist(output):
            self._outbox.put(message)
        self._outbox.put(Close())

    def _data(self, messages: Iterator[Message]) -> Iterator[Item]:
        for message in messages:
            if isinstance(message, Close):
                self.closed.set()
                return
            yield cast(Item, message)
        raise ConnectionLostError("no CLOSE")

    def _messages(self) -> Iterator[Message]:
        decoder = Decoder()
        while True:
            try:
                data = self._inbox.get(timeout=0.02)
            except queue.Empty:
                if self._broken.is_set():
                    raise ConnectionLostError("broken") from None
                continue
            decoder.feed(data or b"")
            for message in decoder.messages():
                self.received.append(message)
                peer = self.peer
                dies = peer.dies_after is not None and len(self.received) > peer.dies_after + 2
                if dies and peer.deaths > 0:
                    peer.deaths -= 1
                    raise ConnectionLostError("died")
                yield message


def error(text: str, *, by_id_8: bool = False) -> list[Message]:
    """A chain's error, as nodes report it."""
    if by_id_8:
        return [Error(text), Close()]
    return [Text(f"[{LOCATION}] ERROR: {text}"), Close()]
