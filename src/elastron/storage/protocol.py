"""HTTP/1.1 on one connection: uvicorn's httptools protocol with limits.

Clients of the original server send raw UTF-8 in a request's target. Both parsers that uvicorn
knows, h11 and httptools (llhttp), refuse that with 400. Such bytes mean the same as their
percent-encoded form, so the request line is brought to that form before it is parsed. (Only
where a request begins with a segment, as it does unless a client sends requests without
waiting for the answers: then raw UTF-8 gets its 400.)

What uvicorn leaves open is closed here: the size of a head, and how long a client may take
over it.
"""

from __future__ import annotations

import asyncio
import re
import uuid

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
"""Largest request line with headers; nginx and Apache take 8 to 32 KiB. It bounds trailers and
chunk extensions too: anything that is received without being body."""

HEAD_S_MAX = 30.0
"""Longest time for a request's head, and for the rest of a body that was refused."""

_RAW = re.compile(rb"[\x80-\xff]")


class Protocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._overhead_bytes = 0
        self._in_head = True
        self._in_request_line = True
        self._timer: asyncio.TimerHandle | None = None
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count what is no body."""
        if self._timer is None and (self._in_head or self._refused()):
            self._start_timer()
        self._overhead_bytes += len(data)
        if self._in_request_line:
            data = self._encoded(data)
        super().data_received(data)
        if self._overhead_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("Request head too large.")

    def _encoded(self, data: bytes) -> bytes:
        """Percent-encode raw bytes up to the end of the request line."""
        begin = len(data) - len(data.lstrip(b"\r\n"))  # empty lines before it are skipped
        if begin == len(data):
            return data
        end = data.find(b"\n", begin)
        self._in_request_line = end < 0
        if data.isascii():
            return data
        end = end if end >= 0 else len(data)
        return _RAW.sub(lambda raw: b"%%%02X" % raw[0][0], data[:end]) + data[end:]

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """A head is complete."""
        self._in_head = False
        self._overhead_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Body is not counted: the application limits it."""
        self._overhead_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next bytes begin a head."""
        self._in_head = True
        self._in_request_line = True
        self._overhead_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; with a request id, as every answer."""
        body = msg.encode("ascii", "replace")
        self.transport.write(
            STATUS_LINE[400]
            + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            + b"content-length: %d\r\n" % len(body)
            + b"x-request-id: %s\r\n\r\n" % str(uuid.uuid4()).encode()
            + body
        )
        self.transport.close()

    def _refused(self) -> bool:
        # The answer is out, and the client still sends the body.
        return self.cycle is not None and self.cycle.response_complete

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(HEAD_S_MAX, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers come here too, and are dropped."""
        if self._in_head:
            super().on_header(name, value)
