"""Somebody's work on a part: a peer's, or our own.

A peer is sent what the part's spool holds and gets. A small part that is complete needs but one
thread: it sends everything in one go, then receives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from elastron.errors import ConnectionLostError, ElastronError
from elastron.gadgets.base import Item
from elastron.pipeline.chain import Chain
from elastron.pipeline.parts import Part
from elastron.pipeline.peer_work import PeerWork
from elastron.pipeline.remote import Link, Remote, results
from elastron.wire import Buffer, Decoder, encode, message_id
from elastron.wire.messages import Close
from elastron.wire.parts import bytes_of

#: So much fits the buffers of any connection: sending it does not wait until the peer reads, which
#: may wait in turn until we read.
_AT_ONCE_BYTES = 64 << 10


class Owner(Protocol):
    """The step an attempt belongs to.

    Attributes:
        changed: the lock over parts and attempts; told of every change.
    """

    changed: threading.Condition

    def result(self, attempt: PeerAttempt | LocalAttempt, item: Item) -> None:
        """A result came; waits while there is no room for it."""
        ...

    def ended(self, attempt: PeerAttempt | LocalAttempt, error: Exception | None) -> None:
        """The attempt is over; None: with success."""
        ...


class PeerAttempt(PeerWork):
    """One attempt at a part on a peer.

    Attributes:
        part: worked on.
        sent_bytes: of the part.
        idle: all there is was sent.
        closing, blocked: see `Work`.
    """

    def __init__(
        self,
        owner: Owner,
        part: Part,
        peer: str,
        remote: Remote,
        greeting: list[Buffer],
    ) -> None:
        super().__init__(peer, remote, greeting, changed=owner.changed, name="part")
        self.part = part
        self.sent_bytes = 0
        self.idle = False
        self.closing = False
        self.blocked = False
        self._owner = owner
        self._at_once = False

    def _opened(self) -> None:
        if self._is_small:
            self._at_once, self.closing, self.sent_bytes = True, True, self.part.spool.nbytes

    @property
    def _is_small(self) -> bool:
        """All data are there, and sending them takes no time."""
        if self._aborted or not self.part.complete:
            return False
        return self.part.spool.nbytes + sum(map(bytes_of, self._greeting)) <= _AT_ONCE_BYTES

    def _exchange(self, link: Link) -> None:
        if not self._at_once:
            super()._exchange(link)
            return
        try:
            spool = self.part.spool
            pieces = [spool.read(index) for index in range(len(spool))]
            data = [buffer for piece in pieces for buffer in piece]
            link.send([*self._greeting, *data, *encode(Close())])
        except ConnectionLostError:
            pass  # perhaps it said why
        except Exception:
            link.abort()
        self._ended(self._receive(link))

    def _send(self, link: Link) -> None:
        link.send(self._greeting)
        for piece in self._pieces():
            link.send(piece)
            with self._changed:
                self.sent_bytes += sum(map(bytes_of, piece))
                self._changed.notify_all()
        if not self._aborted:
            link.send(encode(Close()))

    def _pieces(self) -> Iterator[Sequence[Buffer]]:
        """The part's data as they come, until it is complete."""
        changed, spool = self._changed, self.part.spool
        index = 0
        while True:
            with changed:
                self.idle = index >= len(spool)
                changed.wait_for(
                    lambda: self._aborted or index < len(spool) or self.part.complete  # noqa: B023  evaluated at once
                )
                if self._aborted:
                    return
                self.idle = False
                if index >= len(spool):
                    self.closing = True
                    return
            yield spool.read(index)
            index += 1

    def _receive(self, link: Link) -> Exception | None:
        """Take all results; returns what went wrong."""
        try:
            for item in results(link, self._remote.readable):
                self._owner.result(self, item)
        except Exception as error:  # reported to the owner
            return error
        if not self.closing:
            return ConnectionLostError("it closed before it had all data of the part")
        return None

    def _ended(self, error: Exception | None) -> None:
        self._owner.ended(self, error)


class LocalAttempt:
    """Our own work on a part that is complete.

    Attributes:
        part: worked on.
        peer: what it is called in messages.
        closing, blocked: see `Work`.
    """

    peer = "this node"

    def __init__(
        self,
        owner: Owner,
        part: Part,
        build: Callable[[], Chain],
    ) -> None:
        self.part = part
        self.closing = True
        self.blocked = False
        self._owner = owner
        self._build = build
        self._aborted = False
        self._thread = threading.Thread(target=self._run, name="local part", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def abort(self) -> None:
        """Stop it soon; the owner's lock is held."""
        self._aborted = True
        self._owner.changed.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait until its thread has ended."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        failure: Exception | None = None
        try:
            chain = self._build()
            for item in chain(self._items()):
                if message_id(item) in chain.writable:
                    self._owner.result(self, item)
        except Exception as error:  # reported to the owner
            failure = error
        self._owner.ended(self, failure)

    def _items(self) -> Iterator[Item]:
        decoder = Decoder()
        spool = self.part.spool
        for index in range(len(spool)):
            if self._aborted:
                raise ElastronError("aborted")
            for buffer in spool.read(index):
                decoder.feed(buffer)
            yield from decoder.messages()  # type: ignore[misc]  # the spool holds data only
