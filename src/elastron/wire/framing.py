"""Where messages begin and end in a stream, without decoding or copying them; no I/O.

A relay needs no more: it may pass on whole messages, knows what was asked for and when a scan
is complete. Bytes are looked at where they lie; only a field that straddles the end of a piece
is carried over, never a sample. Equal acquisitions that lie behind each other are one frame,
found at once, so that the work is per run and not per readout.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from elastron.errors import ConnectionLostError, ElastronError, ProtocolError
from elastron.wire.cursor import Bounds
from elastron.wire.layout import (
    ACQUISITION_HEAD_BYTES,
    ACQUISITION_SIZES,
    UINT16,
    acquisition_body_bytes,
)
from elastron.wire.limits import Limits
from elastron.wire.messages import MessageId
from elastron.wire.runs import COMPRESSED, check_acquisition, run_length
from elastron.wire.walks import WALKS, Walk, Walking

#: Payloads up to this size are digested whole; of larger ones one byte in `_SAMPLE_STEP`, a
#: prime, so that every byte of a number gets its turn.
_DIGESTED_WHOLE_BYTES = 4096
_SAMPLE_STEP = 61
_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, or a run of acquisitions of one size, behind each other.

    Attributes:
        message_id: of it or all of them.
        start: of its first byte, counted from the stream's.
        length: in bytes, of all of them.
        count: messages.
        identity: digest of the fields that tell this message from others of its kind (an image's
            header, a text's words); 0 if not asked for.
        content: digest of a sample of the rest; 0 if not asked for.
    """

    message_id: int
    start: int
    length: int
    count: int = 1
    identity: int = 0
    content: int = 0

    @property
    def stop(self) -> int:
        """The stream's offset behind it."""
        return self.start + self.length


class Framer:
    """Finds the messages of one direction of a connection.

    Args:
        limits: on every length.
        digests: give every message its own frame, with `identity` and `content`.
    """

    def __init__(self, limits: Limits | None = None, *, digests: bool = False) -> None:
        self._limits = limits or Limits()
        self._digests = digests
        self._received = 0
        self._start = 0  # of the message that has begun
        self._carry = bytearray()  # the beginning of a field
        self._want = 2  # bytes of the next field
        self._skip = 0  # bytes before it
        self._walk: Walk | None = None
        self._walking: Walking[None] | None = None
        self._content: hashlib.blake2b | None = None
        self._step = 1  # one byte in so many is digested,
        self._phase = 0  # the next of them so many bytes ahead
        self._frames: deque[Frame] = deque()
        self._failure: ElastronError | None = None
        self._closed = False

    @property
    def closed(self) -> bool:
        """CLOSE was seen; bytes after it are ignored."""
        return self._closed

    @property
    def failed(self) -> bool:
        """Bytes came that are no message; all after them are ignored."""
        return self._failure is not None

    @property
    def received(self) -> int:
        """Bytes fed so far."""
        return self._received

    @property
    def whole(self) -> int:
        """Offset behind the last whole message."""
        return self._start

    @property
    def message_id(self) -> int | None:
        """Id of the message that has begun and is not whole yet, if so much of it is there."""
        return None if self._walk is None else self._walk.message_id

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Look at the stream's next bytes; `data` may be reused afterwards."""
        view = memoryview(data).cast("B")
        end = len(view)
        self._received += end
        at = 0
        try:
            while at < end and not self._closed and self._failure is None:
                if self._skip:
                    at += self._pass_over(view, at)
                elif self._walking is None and not self._carry:
                    at += self._begin(view, at)
                else:
                    at += self._continue(view, at)
        except ElastronError as error:
            self._failure = error

    def frames(self) -> Iterator[Frame]:
        """What is whole and has not been given out yet, in order.

        Raises:
            ProtocolError: bytes that are no message. Raised after all frames before them, and
                again at every later call: the stream cannot be read any further.
            LimitError: a length beyond its limit; likewise.
        """
        while self._frames:
            yield self._frames.popleft()
        if self._failure is not None:
            raise self._failure

    def eof(self) -> None:
        """The peer has sent its last byte.

        Raises:
            ConnectionLostError: in the middle of a message, which is named.
        """
        have = self._received - self._start
        if have == 0 or self._closed or self._failure:
            return
        if self._walk is None:
            raise ConnectionLostError("The peer went away within the id of a message.")
        needed = have + self._skip + self._want - len(self._carry)
        raise ConnectionLostError(
            f"The peer went away in the middle of {self._walk.name}: {have} bytes of it came, at "
            f"least {max(needed, have + 1)} were announced."
        )

    # Inside. Each of the three takes bytes from `view[at]` on and returns how many.

    def _pass_over(self, view: memoryview, at: int) -> int:
        count = min(self._skip, len(view) - at)
        if self._content is not None:
            self._sample(view[at : at + count])
        self._skip -= count
        if self._skip == 0 and self._want == 0:
            self._resume(None)
        return count

    def _begin(self, view: memoryview, at: int) -> int:
        """At the first byte of a message: a run of acquisitions if that is what is there."""
        have = len(view) - at
        if not self._digests and have >= ACQUISITION_HEAD_BYTES:
            (message_id,) = UINT16.unpack_from(view, at)
            if message_id == MessageId.ACQUISITION:
                flags, samples, _, channels, dimensions = ACQUISITION_SIZES.unpack_from(view, at)
                body_bytes = acquisition_body_bytes(channels, samples, dimensions)
                message_bytes = ACQUISITION_HEAD_BYTES + body_bytes
                if have >= message_bytes and not flags & COMPRESSED:
                    if body_bytes > self._limits.acquisition_bytes:
                        bounds = Bounds(message_id, self._limits)
                        check_acquisition(bounds, channels, samples, dimensions)
                    return self._run(view, at, message_bytes)
        return self._continue(view, at)

    def _run(self, view: memoryview, at: int, message_bytes: int) -> int:
        count = (len(view) - at) // message_bytes
        if count > 1:
            count = run_length(np.frombuffer(view, np.uint8), at, count, message_bytes)
        length = count * message_bytes
        self._frames.append(Frame(MessageId.ACQUISITION, self._start, length, count))
        self._start += length
        return length

    def _continue(self, view: memoryview, at: int) -> int:
        """Take the next field, or what there is of it."""
        missing = self._want - len(self._carry)
        piece = view[at : at + missing]
        if self._carry or len(piece) < missing:
            self._carry += piece
            if len(piece) < missing:
                return len(piece)
            field = bytes(self._carry)
            self._carry.clear()
        else:
            field = bytes(piece)
        if self._walking is None:
            self._start_walk(UINT16.unpack(field)[0])
        else:
            self._resume(field)
        return len(piece)

    def _start_walk(self, message_id: int) -> None:
        go = WALKS.get(message_id)
        if go is None:
            raise ProtocolError(
                f"Message id {message_id} is not one of the Gadgetron protocol's. The peer "
                "speaks another protocol, or sent more or fewer bytes than it announced."
            )
        self._walk = Walk(message_id, self._limits, identify=self._digests)
        self._content = hashlib.blake2b(digest_size=_DIGEST_BYTES) if self._digests else None
        self._walking = go(self._walk)
        self._resume(None)

    def _resume(self, field: bytes | None) -> None:
        """Let the walk go on to its next field, or to the message's end."""
        if self._walking is None:
            raise AssertionError("no message has begun")
        try:
            request = next(self._walking) if field is None else self._walking.send(field)
        except StopIteration:
            self._end_walk()
            return
        if request > 0:
            self._want = request
        else:
            self._skip, self._want = -request, 0
            self._step = 1 if self._skip <= _DIGESTED_WHOLE_BYTES else _SAMPLE_STEP
            self._phase = 0

    def _end_walk(self) -> None:
        walk, content = self._walk, self._content
        if walk is None:
            raise AssertionError("no message has begun")
        if walk.identity is None or content is None:
            frame = Frame(walk.message_id, self._start, walk.at)
        else:
            identity = hashlib.blake2b(walk.identity, digest_size=_DIGEST_BYTES)
            frame = Frame(
                walk.message_id, self._start, walk.at, 1, _number(identity), _number(content)
            )
        self._frames.append(frame)
        self._start += walk.at
        self._closed = walk.message_id == MessageId.CLOSE
        self._walk = self._walking = self._content = None
        self._want = 2

    def _sample(self, piece: memoryview) -> None:
        """Digest the same bytes of a payload, however it is cut."""
        if self._content is None:
            return
        sample = np.frombuffer(piece, np.uint8)[self._phase :: self._step]
        self._content.update(np.ascontiguousarray(sample).data)
        self._phase = (self._phase - len(piece)) % self._step


def _number(digest: hashlib.blake2b) -> int:
    return int.from_bytes(digest.digest(), "little")
