"""Buffers of one message: small things gathered, large arrays as they lie in memory."""

from __future__ import annotations

import numpy as np

from elastron.wire.layout import UINT16, UINT64
from elastron.wire.messages import MessageId

#: What `socket.sendmsg` takes.
Buffer = bytes | bytearray | memoryview

#: Arrays below this are copied in with their neighbours: a buffer of its own costs more.
_COPY_BYTES_MAX = 4096


def bytes_of(buffer: Buffer) -> int:
    """Bytes in a buffer."""
    return buffer.nbytes if isinstance(buffer, memoryview) else len(buffer)


class Parts:
    """Collects the bytes of a message, its id first."""

    def __init__(self, message_id: MessageId) -> None:
        self._buffers: list[Buffer] = []
        self._small = bytearray(UINT16.pack(message_id))

    def add(self, data: bytes) -> None:
        """Append bytes."""
        self._small += data

    def add_uint64(self, *numbers: int) -> None:
        """Append 64-bit numbers."""
        for number in numbers:
            self._small += UINT64.pack(number)

    def add_elements(self, array: np.ndarray, dtype: np.dtype) -> None:
        """Append an array's elements in C order; copied only if they lie otherwise."""
        elements = np.ascontiguousarray(array, dtype).reshape(-1)
        if elements.nbytes <= _COPY_BYTES_MAX:
            self._small += elements.tobytes()
            return
        self._flush()
        self._buffers.append(elements.view(np.uint8).data)

    def add_array(self, array: np.ndarray, dtype: np.dtype) -> None:
        """Append a Gadgetron array: number of axes, lengths (fastest first), elements."""
        self.add_uint64(array.ndim, *reversed(array.shape))
        self.add_elements(array, dtype)

    def buffers(self) -> list[Buffer]:
        """All of it."""
        self._flush()
        return self._buffers

    def _flush(self) -> None:
        if self._small:
            self._buffers.append(self._small)
            self._small = bytearray()
