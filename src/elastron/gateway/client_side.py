"""What comes from the client: into the journal, framed, its first messages understood.

What the gateway answers itself (queries) is left out of what the nodes get. All else goes to a
node as it came, wrong bytes too, so that the node's answer is the client's.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

import numpy as np

from elastron.errors import (
    ConnectionLostError,
    ElastronError,
    JournalFullError,
    LimitError,
    ProtocolError,
)
from elastron.gateway.journal import Journal
from elastron.gateway.links import Link
from elastron.wire import Limits
from elastron.wire.cursor import Cursor
from elastron.wire.framing import Frame, Framer
from elastron.wire.messages import (
    ConfigName,
    ConfigXml,
    HeaderXml,
    Message,
    MessageId,
    Query,
)
from elastron.wire.readers import READERS
from elastron.wire.session import Action, ServerSession, State

#: Read by the gateway itself; all of one must be in memory.
_READ = frozenset({MessageId.FILENAME, MessageId.CONFIG, MessageId.HEADER, MessageId.QUERY})
#: Beyond the config's and the header's own limits, before the header is there.
_PREAMBLE_EXTRA_BYTES = 4 << 20
_SCRATCH = memoryview(bytearray(256 << 10))


class Owner(Protocol):
    """Who is told what the client does."""

    def asked(self) -> None:
        """Config and header are there, or the config and CLOSE: a node is wanted."""

    def nothing_asked(self) -> None:
        """CLOSE came without a config."""

    def query(self, query: Query) -> None:
        """A question for the gateway."""

    def preamble_failed(self, error: Exception) -> None:
        """The scan did not begin as it must."""

    def data_came(self) -> None:
        """More may go to the node."""

    def input_over(self) -> None:
        """The client has sent all it will: `ClientSide.closed`, `.eof` or `.failed` say how."""

    def client_ended(self) -> None:
        """The client's last byte came, after its input was over."""

    def journal_full(self, error: JournalFullError) -> None:
        """No room for more; reading pauses until `ClientSide.retry`."""

    def gone(self, reason: str) -> None:
        """The client takes nothing any more."""

    def client_writable(self) -> None:
        """The client takes more."""


class ClientSide:
    """The client's end of a session; the `End` of its link.

    Args:
        link: to the client.
        journal: of its input.
        limits: on messages.
        owner: who is told.

    Attributes:
        config: what it asked for.
        header: its MRD header; None: it sent none.
        may_go: offset up to which a node may be sent its input.
        started: a node is wanted: what follows is the node's to judge.
        complete: config and header are there, or CLOSE instead of a header.
        config_came: when the config was there (monotonic, s).
        closed: CLOSE came.
        eof: its last byte came.
        failed: it sent what is no message, or ended within one: what is wrong with it.
        waits_for_room: it is not read because the journal is full.
        last_byte: when something came (monotonic, s).
        acquisitions: so far.
        bytes: so far.
        discarded_bytes: received after they were of use.
    """

    def __init__(self, link: Link, journal: Journal, limits: Limits, owner: Owner) -> None:
        self._link = link
        self._journal = journal
        self._limits = limits
        self._owner = owner
        self._framer = Framer(limits)
        self._protocol = ServerSession()
        self._room: asyncio.Task[None] | None = None
        self._discarding = False
        self._partial: tuple[int, float] | None = None
        self.config: ConfigName | ConfigXml | None = None
        self.header: HeaderXml | None = None
        self.may_go = 0
        self.started = False
        self.complete = False
        self.config_came: float | None = None
        self.closed = False
        self.eof = False
        self.failed: ElastronError | None = None
        self.waits_for_room = False
        self.last_byte = time.monotonic()
        self.acquisitions = 0
        self.bytes = 0
        self.discarded_bytes = 0

    @property
    def state(self) -> State:
        """What is waited for."""
        return self._protocol.state

    @property
    def whole(self) -> int:
        """Offset behind the last whole message."""
        return self._framer.whole

    @property
    def over(self) -> bool:
        """Nothing that matters will come."""
        return self.closed or self.eof or self.failed is not None

    def start(self) -> None:
        """Begin to read."""
        self._link.start(self)

    def begin_without_header(self) -> None:
        """Let a node have what came: the config alone may be all it needs to refuse."""
        if self.config is not None and not self.started:
            self._begin()
            self.may_go = self._framer.whole if self._withheld else self._journal.size
            self._owner.data_came()

    @property
    def _withheld(self) -> bool:
        """The message that has begun may be for us."""
        return self._framer.message_id in (None, MessageId.QUERY)

    def discard(self) -> None:
        """What still comes is of no use."""
        self._discarding = True
        if self._room is not None:
            self._room.cancel()
        self._link.resume()

    def retry(self) -> None:
        """Look for room in the journal again."""
        if self.waits_for_room and self._room is None and not self._discarding:
            self._room = asyncio.create_task(self._await_room())

    def fail(self, error: ElastronError) -> None:
        """Take nothing more: what came is wrong, or too slow. A node is told as if it had ended."""
        self.failed = error
        self._discarding = True
        self._journal.held_from = None
        if self.started:
            self.may_go = self._journal.size
            self._owner.data_came()
            self._owner.input_over()
        else:
            self._owner.preamble_failed(error)

    def stop(self) -> None:
        """Read nothing any more."""
        if self._room is not None:
            self._room.cancel()

    def incomplete_s(self, now: float) -> tuple[float, int] | None:
        """Since when a message is incomplete (s), and how many bytes of it have come since.

        None: none is, or it is we who do not read. To be asked about once a second.
        """
        framer = self._framer
        if self.over or self.waits_for_room or framer.received == framer.whole:
            self._partial = None
            return None
        if self._partial is None or self._partial[0] != framer.whole:
            self._partial = (framer.whole, now)
        start, began = self._partial
        return now - began, framer.received - start

    # --- End ------------------------------------------------------------------------------------

    def get_buffer(self) -> memoryview | None:
        """See `End`."""
        if self._discarding:
            return _SCRATCH
        buffer = self._journal.get_buffer()
        if buffer is None:
            self.waits_for_room = True
            self.retry()
        return buffer

    def received(self, count: int) -> None:
        """See `End`."""
        self.last_byte = time.monotonic()
        self.bytes += count
        if self._discarding:
            self.discarded_bytes += count
            return
        framer = self._framer
        framer.feed(self._journal.received(count))
        try:
            for frame in framer.frames():
                self._frame(frame)
            self._check_preamble()
        except (ConnectionLostError, ProtocolError) as error:
            self.fail(error)
            return
        # The id is not there, or it says that the message is for us: it does not go yet.
        ours = framer.message_id is None or framer.message_id in _READ
        self._journal.held_from = framer.whole if ours else None
        if self.closed:
            self._journal.leave_out(framer.whole, self._journal.size)
            self._discarding = True
        if self.started:
            self.may_go = framer.whole if self._withheld else self._journal.size
            self._owner.data_came()
        if self.closed:
            self._owner.input_over()

    def ended(self) -> None:
        """See `End`."""
        over, self.eof = self.over, True
        if over:
            self._owner.client_ended()
            return
        try:
            self._framer.eof()
            if not self.started:
                missing = "named a config" if self.config is None else "sent a header"
                raise ConnectionLostError(f"the client ended its stream before it {missing}")
        except ConnectionLostError as error:
            self.fail(error)
            return
        self._owner.input_over()

    def broken(self, reason: str) -> None:
        """See `End`."""
        self._owner.gone(reason)

    def writable(self) -> None:
        """See `End`."""
        self._owner.client_writable()

    # Inside

    def _frame(self, frame: Frame) -> None:
        number = MessageId(frame.message_id)
        if number is MessageId.ACQUISITION:
            self.acquisitions += frame.count
        if number is MessageId.QUERY:
            query = self._message(frame)
            if isinstance(query, Query):
                self._protocol.receive(query)
                self._journal.leave_out(frame.start, frame.stop)
                self._owner.query(query)
            return
        if self.started:  # a wrong one is the node's to refuse
            self.closed = number is MessageId.CLOSE
            self.complete = self.complete or number in (MessageId.HEADER, MessageId.CLOSE)
            return
        action = self._protocol.receive_id(number)
        match action, self._message(frame):
            case Action.CONFIGURE, ConfigName() | ConfigXml() as config:
                self.config = config
                self.config_came = self.last_byte
            case Action.START, HeaderXml() as header:
                self.header = header
                self.complete = True
                self._begin()
            case Action.START_EMPTY, _:
                self.closed = self.complete = True
                self._begin()
            case Action.FINISH, _:
                self.closed = True
                self._owner.nothing_asked()
            case Action.LOG, _:
                self._journal.leave_out(frame.start, frame.stop)

    def _begin(self) -> None:
        self.started = True
        self._owner.asked()

    def _message(self, frame: Frame) -> Message | None:
        if frame.message_id not in _READ:
            return None
        data = np.frombuffer(self._journal.peek(frame.start, frame.length), np.uint8)
        reading = READERS[frame.message_id](Cursor(frame.message_id, self._limits, data))
        try:
            next(reading)
        except StopIteration as done:
            return done.value
        raise AssertionError("a whole message is not whole")

    def _check_preamble(self) -> None:
        limits = self._limits
        most = limits.config_bytes + limits.header_bytes + _PREAMBLE_EXTRA_BYTES
        if not self.started and not self.closed and self._journal.size > most:
            raise LimitError(
                f"more than {most} bytes came, and no complete config and header among them"
            )

    async def _await_room(self) -> None:
        try:
            await self._journal.room()
        except JournalFullError as error:
            self._room = None
            self._owner.journal_full(error)
            return
        self._room = None
        self.waits_for_room = False
        self._link.resume()
