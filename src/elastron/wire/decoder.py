"""Bytes in, messages out; no I/O.

The caller receives into `get_buffer()`, reports with `received()`, and takes what has become
whole from `messages()`. Acquisitions come as runs: all whole messages of one size that lie
behind each other are one `AcquisitionBatch`, arrays that view the receive buffer through a
structured dtype; no sample is copied, and the work is per run, not per readout. Only a message
that straddles the end of a chunk is moved, once, to the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from elastron.errors import ConnectionLostError, ElastronError, ProtocolError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.wire.cursor import Bounds, Cursor, Reading
from elastron.wire.layout import (
    ACQUISITION_HEAD_BYTES,
    ACQUISITION_SIZES,
    UINT16,
    acquisition_body_bytes,
    acquisition_message,
    name_of,
)
from elastron.wire.limits import Limits
from elastron.wire.memory import ChunkPool
from elastron.wire.messages import Close, Message, MessageId
from elastron.wire.readers import READERS, read_compressed_acquisition
from elastron.wire.runs import COMPRESSED, check_acquisition, run_length

#: Bytes of a receive buffer: large enough for runs of dozens to hundreds of readouts, small
#: enough to stay in a processor's cache between the kernel's copy and the first gadget.
CHUNK_BYTES = 3 << 20
#: Bytes of the first ones, and how many bytes come into them. A short scan takes hardly more memory
#: than a few of these and of the batches made of them; a long one is not to have more shorter runs.
FIRST_CHUNK_BYTES = 512 << 10
FIRST_BYTES = 10 << 20
#: A scan that is expected to be longer is cut into about so many, of whole huge pages, at most so
#: large: fewer runs are less work, and the memory they take is little beside what such a scan is.
EXPECTED_CHUNKS = 20
LARGE_CHUNK_BYTES = 6 << 20
_HUGE_PAGE_BYTES = 2 << 20
#: A chunk with less room than this is left for a new one, so that no receive call is tiny.
_ROOM_BYTES_MIN = 32 << 10
#: Largest allocation made for bytes that were announced but have not come.
_TRUST_BYTES = 64 << 20


class Decoder:
    """Turns the bytes of one connection into messages.

    Args:
        limits: on every length.
        chunk_bytes: size of a receive buffer; messages larger than it get one of their own. The
            first ones are smaller.
    """

    def __init__(self, limits: Limits | None = None, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._limits = limits or Limits()
        self._chunk_bytes = max(chunk_bytes, 2 * _ROOM_BYTES_MIN)
        self._first_bytes = FIRST_BYTES
        self._pool = ChunkPool(min(self._chunk_bytes, FIRST_CHUNK_BYTES))
        self._chunk = self._pool.take(self._pool.chunk_bytes)
        self._taken = 0  # bytes received into the chunks before
        self._start = 0  # first byte not decoded
        self._end = 0  # first byte not received
        self._needed = 2  # bytes the message at `_start` needs, as far as known
        self._cursor: Cursor | None = None
        self._reading: Reading[Any] | None = None
        self._ready: deque[Message] = deque()
        self._singles: list[AcquisitionBatch] = []
        self._decompressed = False
        self._failure: ElastronError | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """CLOSE was decoded; bytes after it are ignored."""
        return self._closed

    @property
    def buffered_bytes(self) -> int:
        """Bytes received of a message that is not whole yet."""
        return self._end - self._start

    def expect(self, total_bytes: int) -> None:
        """About so many bytes will come in all; it is a guess, for the size of buffers to come."""
        if total_bytes > FIRST_BYTES:
            pages = -(-total_bytes // EXPECTED_CHUNKS // _HUGE_PAGE_BYTES)
            self._chunk_bytes = min(pages * _HUGE_PAGE_BYTES, LARGE_CHUNK_BYTES)
            self._first_bytes = 0

    def get_buffer(self) -> memoryview:
        """Where to receive; never empty. Valid until the next call of any method."""
        if self._chunk_is_spent():
            self._decode_all()
            if self._closed or self._failure:
                self._start, self._needed, self._cursor = self._end, 2, None
            if self._chunk_is_spent():
                self._next_chunk()
        return self._chunk.writable[self._end :]

    def received(self, count: int) -> None:
        """`count` bytes have been put at the start of the buffer."""
        if not 0 <= count <= self._chunk.capacity - self._end:
            raise ValueError(f"{count} bytes received into less room")
        self._end += count

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take a copy of `data`."""
        rest = memoryview(data).cast("B")
        while len(rest):
            buffer = self.get_buffer()
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            buffer.release()
            self.received(count)
            rest = rest[count:]

    def eof(self) -> None:
        """The peer has sent its last byte; take `messages()` first.

        Raises:
            ConnectionLostError: in the middle of a message, which is named.
        """
        self._decode_all()
        have = self._end - self._start
        if have == 0 or self._closed or self._failure:
            return
        if have < 2:
            raise ConnectionLostError("The peer went away within the id of a message.")
        name = name_of(self._peek_id())
        raise ConnectionLostError(
            f"The peer went away in the middle of {name}: {have} bytes of it came, at least "
            f"{max(self._needed, have + 1)} were announced."
        )

    def messages(self) -> Iterator[Message]:
        """What is whole, in order.

        Raises:
            ProtocolError: bytes that are no message. Raised after all messages before them, and
                again at every later call: the stream cannot be read any further.
            LimitError: a length beyond its limit; likewise.
        """
        self._decode_all()
        while self._ready:
            yield self._ready.popleft()
        if self._failure is not None:
            raise self._failure

    # Inside

    def _decode_all(self) -> None:
        """Move all that is whole to `_ready`."""
        try:
            while not self._closed and self._failure is None:
                message = self._next()
                if message is None:
                    break
                self._put(message)
        except ElastronError as error:
            self._failure = error
            self._reading = None
        self._flush()

    def _put(self, message: Message) -> None:
        if isinstance(message, AcquisitionBatch) and self._decompressed:
            if self._singles and _shape(self._singles[0]) != _shape(message):
                self._flush()
            self._singles.append(message)
        else:
            self._flush()
            self._ready.append(message)
            if isinstance(message, Close):
                self._closed = True
                self._pool.close()
        self._decompressed = False

    def _flush(self) -> None:
        """Make one batch of the decompressed acquisitions of one shape."""
        if self._singles:
            self._ready.append(_join(self._singles))
            self._singles = []

    def _next(self) -> Message | None:
        have = self._end - self._start
        if have < self._needed:
            return None
        if self._reading is None:
            message_id = self._peek_id()
            if message_id == MessageId.ACQUISITION:
                return self._next_acquisitions(have)
            read = READERS.get(message_id)
            if read is None:
                raise ProtocolError(
                    f"Message id {message_id} is not one of the Gadgetron protocol's. The peer "
                    "speaks another protocol, or sent more or fewer bytes than it announced."
                )
            self._cursor = Cursor(message_id, self._limits, self._bytes())
            self._reading = read(self._cursor)
        return self._go_on()

    def _go_on(self) -> Message | None:
        """Let the reader of the current message read on."""
        cursor, reading = self._cursor, self._reading
        if cursor is None or reading is None:
            raise AssertionError("no message is being read")
        cursor.memory = self._bytes()
        try:
            self._needed = next(reading)
            while self._needed <= len(cursor.memory):
                self._needed = next(reading)
        except StopIteration as done:
            self._reading = self._cursor = None
            self._consume(cursor.at)
            return done.value
        return None

    def _next_acquisitions(self, have: int) -> Message | None:
        if have < ACQUISITION_HEAD_BYTES:
            self._needed = ACQUISITION_HEAD_BYTES
            return None
        flags, samples, _, channels, dimensions = ACQUISITION_SIZES.unpack_from(
            self._chunk.bytes.data, self._start
        )
        if flags & COMPRESSED:
            self._cursor = Cursor(MessageId.ACQUISITION, self._limits, self._bytes())
            self._reading = read_compressed_acquisition(self._cursor)
            self._decompressed = True
            return self._go_on()
        body_bytes = acquisition_body_bytes(channels, samples, dimensions)
        if body_bytes > self._limits.acquisition_bytes:
            bounds = Bounds(MessageId.ACQUISITION, self._limits)
            check_acquisition(bounds, channels, samples, dimensions)
        message_bytes = ACQUISITION_HEAD_BYTES + body_bytes
        count = have // message_bytes
        if count == 0:
            self._needed = message_bytes
            return None
        start = self._start
        memory = self._chunk.bytes
        if count > 1:
            count = run_length(memory, start, count, message_bytes)
        layout = acquisition_message(channels, samples, dimensions)
        rows = np.ndarray((count,), layout, memory, start)
        self._consume(count * message_bytes)
        return AcquisitionBatch(
            headers=rows["head"],
            data=rows["data"],
            trajectory=rows["trajectory"] if dimensions else None,
        )

    def _consume(self, count: int) -> None:
        self._start += count
        self._needed = 2

    def _bytes(self) -> np.ndarray:
        return self._chunk.bytes[self._start : self._end]

    def _peek_id(self) -> int:
        return UINT16.unpack_from(self._chunk.bytes.data, self._start)[0]

    def _chunk_is_spent(self) -> bool:
        """Nothing, or not the message that has begun, can still be received into this chunk."""
        room = self._chunk.capacity - self._end
        if self._start == self._end:
            return room < _ROOM_BYTES_MIN
        return room == 0 or self._start + self._needed > self._chunk.capacity

    def _next_chunk(self) -> None:
        """Go on in a new chunk; bytes of an unfinished message move with it."""
        tail = self._bytes()
        self._taken += self._start
        capacity, needed = self._pool.chunk_bytes, self._needed + _ROOM_BYTES_MIN
        if capacity < self._chunk_bytes and (self._taken >= self._first_bytes or needed > capacity):
            self._pool = ChunkPool(self._chunk_bytes)
            capacity = self._chunk_bytes
        if needed > capacity:
            # Whole only in a chunk of its own. What was announced is believed up to a point;
            # beyond it, memory doubles as bytes come.
            capacity = min(self._needed, max(_TRUST_BYTES, 2 * len(tail)))
            capacity = max(capacity, len(tail) + _ROOM_BYTES_MIN)
        chunk = self._pool.take(capacity)
        chunk.writable[: len(tail)] = tail.data
        self._chunk, self._start, self._end = chunk, 0, len(tail)
        if self._cursor is not None:
            self._cursor.memory = self._bytes()


def _shape(batch: AcquisitionBatch) -> tuple[int, ...]:
    dimensions = 0 if batch.trajectory is None else batch.trajectory.shape[2]
    return (*batch.data.shape[1:], dimensions)


def _join(batches: list[AcquisitionBatch]) -> AcquisitionBatch:
    if len(batches) == 1:
        return batches[0]
    trajectories = [batch.trajectory for batch in batches if batch.trajectory is not None]
    return AcquisitionBatch(
        headers=np.concatenate([batch.headers for batch in batches]),
        data=np.concatenate([batch.data for batch in batches]),
        trajectory=np.concatenate(trajectories) if trajectories else None,
    )
