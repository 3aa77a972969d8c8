"""What goes to the client: whole messages, each decided upon, out of a journal.

A node's bytes are received into the journal. Once a message is whole it may go to the client, or
is left out. What the gateway says itself is put between two of the node's messages.

    node ──> [ journal: delivered | decided | (left out) | not whole yet ] ──> client
                                  ^ pump.at     pump.limit ^
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from elastron.errors import JournalFullError, ProtocolError
from elastron.gateway.journal import Journal
from elastron.gateway.links import Link
from elastron.gateway.pump import Pump
from elastron.gateway.relay import Step
from elastron.wire import Limits, encode
from elastron.wire.framing import Frame, Framer
from elastron.wire.messages import Message, MessageId

_TEXT_HEAD_BYTES = 6


class Owner(Protocol):
    """Who decides upon messages, and is told."""

    def output_came(self, frame: Frame, text: str) -> Step:
        """A whole message of the node; `text` of a TEXT."""
        ...

    def output_garbled(self, error: ProtocolError) -> None:
        """The node sent what is no message."""
        ...

    def output_room(self) -> None:
        """The node can be read again."""
        ...

    def output_full(self, error: JournalFullError) -> None:
        """There is no room for what the node sends, and will be none."""
        ...

    def output_failed(self, error: OSError) -> None:
        """What was kept on disk cannot be read."""
        ...


class Output:
    """The way from a node to the client.

    Args:
        link: to the client.
        journal: of all that goes to it.
        limits: on messages.
        waiting_bytes_max: decided upon and not taken by the client; above it nodes are not read.
        owner: who decides.

    Attributes:
        recorded: all of it is kept to the end, for whoever fetches it or for the archive.
        client_left: it takes nothing any more, and holds nothing up.
        images: delivered, or kept for the client.
    """

    def __init__(
        self,
        link: Link,
        journal: Journal,
        limits: Limits,
        *,
        waiting_bytes_max: int,
        owner: Owner,
    ) -> None:
        self.journal = journal
        self._limits = limits
        self._waiting_bytes_max = waiting_bytes_max
        self._owner = owner
        self._framer: Framer | None = None
        self._base = 0  # journal offset of the attempt's first byte
        self._own: deque[bytes] = deque()
        self._room: asyncio.Task[None] | None = None
        self._held_back = False  # the node is not read
        self._on_all_sent: Callable[[], None] | None = None
        self.pump = Pump(journal, link, on_sent=self._sent, on_failed=owner.output_failed)
        self.recorded = False
        self.client_left = False
        self.images = 0

    # --- a node's messages ----------------------------------------------------------------------

    def begin(self) -> None:
        """Another node begins the scan."""
        self._framer = Framer(self._limits, digests=True)
        self._base = self.journal.size

    def get_buffer(self) -> memoryview | None:
        """Where to receive from the node; None: nowhere until `Owner.output_room`."""
        if self._too_much_waits():
            self._held_back = True
            return None
        buffer = self.journal.get_buffer()
        if buffer is None:
            self._held_back = True
            self._await_room_once()
        return buffer

    def received(self, count: int) -> None:
        """So much has come from the node."""
        framer = self._framer
        if framer is None:
            raise AssertionError("no node was begun with")
        framer.feed(self.journal.received(count))
        # A text is read here, so all of it must be in memory.
        text = framer.message_id in (None, MessageId.TEXT)
        limit = self.pump.limit
        try:
            for frame in framer.frames():
                start = self._base + frame.start
                step = self._owner.output_came(frame, self._text(frame, start))
                if step is Step.DELIVER:
                    self.images += frame.message_id == MessageId.IMAGE
                else:
                    self.journal.leave_out(start, start + frame.length)
                limit = start + frame.length
        except ProtocolError as error:
            self._owner.output_garbled(error)
        self.journal.held_from = self._base + framer.whole if text else None
        self._say_own()
        self.pump.go(max(limit, self.pump.limit))

    def end(self) -> None:
        """Nothing more comes from this node; what is not whole is left out."""
        framer, self._framer = self._framer, None
        if framer is None:
            return
        self._held_back = False
        if self._room is not None:
            self._room.cancel()
            self._room = None
        self.journal.held_from = None
        self.journal.leave_out(self._base + framer.whole, self.journal.size)
        self._say_own()
        self.pump.go(self.journal.size)

    # --- our own --------------------------------------------------------------------------------

    def say(self, message: Message) -> None:
        """Send a message of the gateway's own, as soon as no other is half there."""
        self._own.append(b"".join(bytes(buffer) for buffer in encode(message)))
        self._say_own()
        self.pump.go()

    def when_all_sent(self, callback: Callable[[], None]) -> None:
        """Call once everything said and delivered so far has been sent."""
        self._on_all_sent = callback
        self._sent()

    def record(self) -> None:
        """Keep all from now on; what was sent and let go before is not in the record."""
        if not self.recorded:
            self.recorded = True
            if self.journal.released:
                self.journal.content_from = self.pump.limit

    def forget_sent(self) -> None:
        """Give back what the client has taken."""
        self.journal.release(self.pump.at)

    def stop(self) -> None:
        """Send nothing more."""
        self.pump.stop()
        if self._room is not None:
            self._room.cancel()

    # Inside

    def _text(self, frame: Frame, start: int) -> str:
        if frame.message_id != MessageId.TEXT:
            return ""
        return self.journal.peek(start, frame.length)[_TEXT_HEAD_BYTES:].decode("utf-8", "replace")

    def _say_own(self) -> None:
        framer = self._framer
        if framer is not None and framer.received != framer.whole:
            return
        while self._own:
            data = self._own[0]
            buffer = self.journal.get_buffer()
            if buffer is None:
                self._await_room_once()
                return
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            self.journal.received(count)
            self._base += count
            self._own[0] = data[count:]
            if count == len(data):
                self._own.popleft()
                self.pump.limit = self.journal.size

    def _too_much_waits(self) -> bool:
        return not self.client_left and (self.pump.limit - self.pump.at > self._waiting_bytes_max)

    def _sent(self) -> None:
        if not self.recorded:
            self.journal.release(self.pump.at)
        if self._held_back and self._room is None and not self._too_much_waits():
            self._held_back = False
            self._owner.output_room()
        if self._on_all_sent is not None and self.pump.idle and not self._own:
            callback, self._on_all_sent = self._on_all_sent, None
            callback()

    def _await_room_once(self) -> None:
        if self._room is None:
            self._room = asyncio.create_task(self._await_room())

    async def _await_room(self) -> None:
        try:
            await self.journal.room()
        except JournalFullError as error:
            self._room = None
            self._owner.output_full(error)
            return
        self._room = None
        self._say_own()
        self.pump.go()
        if self._held_back:
            self._held_back = False
            self._owner.output_room()
