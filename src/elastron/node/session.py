"""One session in its worker: socket in, chain, socket out.

    reader thread: socket -> decoder -> protocol state -> the chain's head -> bounded queue
    main thread:   config and header, then queue -> the rest of the chain -> outbox
    writer thread: outbox -> socket

The first two states are read by the main thread itself, so that short sessions (liveness checks,
queries) start no threads before they must.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ismrmrd.xsd import experimentalConditionsType, ismrmrdHeader

from elastron.blobs.port import BlobStore
from elastron.errors import (
    ConnectionLostError,
    DeadlineError,
    ElastronError,
)
from elastron.gadgets.base import Context, Item
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.announced import announced_bytes
from elastron.mrd.header import parse_header
from elastron.mrd.image import Image
from elastron.node.farewell import error_text, failure_text
from elastron.node.outbox import Outbox
from elastron.node.outcome import Outcome
from elastron.node.peers import TcpPeers, own_address
from elastron.node.reading import MessageReader
from elastron.node.repeated import header_of_part, inline_config
from elastron.node.scoreboard import Scoreboard, SessionState
from elastron.node.settings import NodeSettings
from elastron.node.transport import ClientSocket, Interrupted
from elastron.pipeline import (
    Chain,
    Config,
    ItemQueue,
    build,
    load_config,
)
from elastron.service.queries import answer
from elastron.wire import Action, Decoder, ServerSession, message_id
from elastron.wire.faults import LOCATION
from elastron.wire.messages import (
    Close,
    ConfigName,
    ConfigXml,
    Error,
    HeaderXml,
    Message,
    MessageId,
    Query,
    Response,
    Text,
)

_INPUT = f"{LOCATION}/Connection Input Thread"
_OUTPUT = f"{LOCATION}/Connection Output Thread"
_DISCARD_BYTES = 256 * 1024


class Session:
    """One scan, from its first byte to the last.

    Args:
        sock: the client's; taken over.
        settings: the node's.
        board: figures for the supervisor.
        threads: for FFTs and gadgets.
        status: answer to `elastron::status`.
        log: bound with the session's id.
    """

    def __init__(
        self,
        sock: socket.socket,
        settings: NodeSettings,
        board: Scoreboard,
        *,
        threads: int,
        status: Mapping[str, Any],
        log: Any,
    ) -> None:
        self._settings = settings
        self._board = board
        self._threads = threads
        self._status = status
        self._log = log
        self._client = ClientSocket(sock, board)
        self._outbox = Outbox(
            self._client,
            bytes_max=settings.output_queue_bytes_max,
            timeout_s=settings.idle_timeout_s,
        )
        self._waiting_since: float | None = time.monotonic()
        self._reader = MessageReader(
            self._client,
            Decoder(settings.limits),
            settings,
            waiting_since=lambda: self._waiting_since,
        )
        self._protocol = ServerSession()
        self._queue: ItemQueue | None = None
        self._errors: list[tuple[str, Exception]] = []
        self._cancel_reason: str | None = None
        self._closed = False  # the client has sent CLOSE
        self._for_node = False  # the client is a node, and this is a part of its scan
        self._peers = TcpPeers(settings.peers, own_address(sock), settings.limits, log)

    def cancel(self, reason: str) -> None:
        """End the session soon, telling the client why; any thread may call it."""
        self._cancel_reason = reason
        self._client.interrupt()
        if self._queue is not None:
            self._queue.abort()
        self._outbox.discard()

    def run(self) -> dict[str, Any]:
        """Serve the client; never raises.

        Returns:
            What the supervisor logs: `outcome`, and the errors.
        """
        try:
            self._serve()
        except Interrupted:
            pass
        except Exception as error:
            self._note(_INPUT, error)
        try:
            self._say_goodbye()
        except Exception as error:
            self._note(_OUTPUT, error)
        outcome = self._outcome()
        report: dict[str, Any] = {"outcome": outcome.value}
        if self._errors:
            report["errors"] = [str(error) for _, error in self._errors]
        return report

    # --- states ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        self._enter(SessionState.CONFIG)
        messages = self._reader.messages()
        config = self._await_config(messages)
        if config is None:
            return
        self._enter(SessionState.HEADER)
        header = self._await_header(messages)
        # A part is little of what its scan's header announces.
        self._reader.handshake_done(
            0 if header is None or self._for_node else announced_bytes(header)
        )
        context = self._context(config, header or _empty_header())
        chain = build(config, context, peers=self._peers)
        for warning in chain.warnings:
            self._log.warning(warning, config=config.name)
        if header is None:
            self._enter(SessionState.VOID)
            self._work(chain(()), chain)
        else:
            self._enter(SessionState.STREAM)
            self._stream(chain, messages)

    def _enter(self, state: SessionState) -> None:
        self._board.state = state
        self._tell(state)

    def _tell(self, state: SessionState) -> None:
        # There are many parts to a scan; the supervisor says enough of each.
        log = self._log.debug if self._for_node else self._log.info
        log(f"Connection state: [{state.name}]")

    def _await_config(self, messages: Iterator[Message]) -> Config | None:
        """The config asked for; None when the client closes without asking."""
        for message in messages:
            match self._protocol.receive(message), message:
                case Action.CONFIGURE, ConfigName(name):
                    config = load_config(name, self._settings.config_folders)
                    self._board.config_name = config.name  # now known to be printable
                    return config
                case Action.CONFIGURE, ConfigXml(xml):
                    self._board.config_name = "<inline>"
                    config, self._for_node = inline_config(xml)
                    return config
                case Action.FINISH, _:
                    self._closed = True
                    return None
                case _:
                    self._converse(message)
        raise ConnectionLostError("the client ended its stream before it named a config")

    def _await_header(self, messages: Iterator[Message]) -> ismrmrdHeader | None:
        """The MRD header; None when the client closes without one."""
        for message in messages:
            match self._protocol.receive(message), message:
                case Action.START, HeaderXml(xml):
                    return header_of_part(xml) if self._for_node else parse_header(xml)
                case Action.START_EMPTY, _:
                    self._closed = True
                    return None
                case _:
                    self._converse(message)
        raise ConnectionLostError("the client ended its stream before it sent a header")

    def _stream(self, chain: Chain, messages: Iterator[Message]) -> None:
        self._protocol.set_readable(chain.readable)
        if not chain.steps:  # liveness checks: nothing to do at the same time
            self._work(chain(_Watched(self, self._items(messages))), chain)
            return
        self._outbox.start()
        self._queue = queue = ItemQueue(self._settings.input_queue_bytes_max)
        if self._cancel_reason is not None:
            queue.abort()
        reader = threading.Thread(
            target=self._fill, args=(queue, chain, messages), name="client reader", daemon=True
        )
        reader.start()
        try:
            self._work(chain.tail(_Watched(self, queue)), chain)
        finally:
            queue.abort()  # if the chain failed: nobody will take what is still read
            self._client.interrupt()
            reader.join()
            self._client.clear_interrupt()

    def _items(self, messages: Iterator[Message]) -> Iterator[Item]:
        """The chain's input, until the client's CLOSE or end."""
        for message in messages:
            match self._protocol.receive(message):
                case Action.END_INPUT:
                    self._closed = True
                    return
                case Action.PROCESS:
                    if isinstance(message, AcquisitionBatch):
                        self._board.acquisitions += len(message)
                    yield cast(Item, message)
                case _:
                    self._converse(message)
        self._log.warning("client ended its stream without CLOSE; its data is finished")

    def _fill(self, queue: ItemQueue, chain: Chain, messages: Iterator[Message]) -> None:
        """The reader thread."""
        try:
            for item in chain.head(self._input(messages)):
                if not queue.put(item):
                    return
                del item  # while waiting for the next one, let go of this one's arrays
        except Interrupted:
            pass
        except Exception as error:
            queue.abort(error)  # raised by whoever takes from it
        finally:
            queue.close()

    def _input(self, messages: Iterator[Message]) -> Iterator[Item]:
        """The chain's input, which ends where it fails if somebody is there for the results."""
        try:
            yield from self._items(messages)
        except Interrupted:
            raise
        except Exception as error:
            self._note(_INPUT, error)
            if isinstance(error, ConnectionLostError) and not self._reader.ended:
                raise
            # As in the original: what came before is still reconstructed.

    def _work(self, output: Iterator[Item], chain: Chain) -> None:
        """Run the chain in this thread and send what it makes."""
        self._waiting_since = None
        try:
            for item in output:
                # As in the original: what no writer takes is dropped, texts need none.
                number = message_id(item)
                if number in self._always_sent or number in chain.writable:
                    self._outbox.put(item)
                    if isinstance(item, Image):
                        self._board.images += 1
        except Interrupted:
            raise
        except Exception as error:
            if self._cancel_reason is None:
                self._note(_OUTPUT if chain.steps else _INPUT, error)

    @property
    def _always_sent(self) -> tuple[MessageId, ...]:
        # Another node would take a text for an illegal message.
        return (MessageId.RESPONSE,) if self._for_node else (MessageId.RESPONSE, MessageId.TEXT)

    def _converse(self, message: Message) -> None:
        """What is answered in every state."""
        match message:
            case Query(query, correlation_id):
                reply = answer(query, status={"state": self._board.state.name, **self._status})
                self._outbox.put(Response(reply, correlation_id))
            case Text(text):
                # Not the text: it is the client's, and may name the patient.
                self._log.info("client sent a text", characters=len(text))

    def _context(self, config: Config, header: ismrmrdHeader) -> Context:
        return Context(
            header=header,
            config_name=config.name,
            storage=_storage(self._settings.storage_url),
            threads=self._threads,
            parameters=self._settings.parameters,
            log=self._log,
        )

    # --- the end --------------------------------------------------------------------------------

    def _note(self, location: str, error: Exception) -> None:
        """Log an error, and keep it for the client."""
        if any(error is known for _, known in self._errors):
            return
        self._errors.append((location, error))
        cause = error if not isinstance(error, ElastronError) else error.__cause__
        unexpected = cause is not None and not isinstance(cause, (ElastronError, OSError))
        self._log.error(str(error) or type(error).__name__, exc_info=cause if unexpected else None)

    def _say_goodbye(self) -> None:
        self._tell(SessionState.FINISHED)
        input_ended = self._closed or self._reader.ended
        lost = not input_ended and any(
            isinstance(error, ConnectionLostError) for _, error in self._errors
        )
        try:
            if self._cancel_reason is not None:
                self._outbox.discard()
            if not lost:
                self._outbox.close()
                for text in self._last_words():
                    self._outbox.put(Error(text.text) if self._for_node else text)
                # Before the client can know it: it may come back at once, and the place is free.
                self._board.state = SessionState.FINISHED
                self._outbox.put(Close())
        finally:
            self._board.state = SessionState.LINGER
            settings = self._settings
            linger = not (input_ended or lost)
            self._client.finish(
                timeout_s=settings.linger_timeout_s if linger else 0,
                bytes_max=settings.linger_bytes_max if linger else 0,
                buffer=memoryview(bytearray(_DISCARD_BYTES if linger else 1)),
            )

    def _last_words(self) -> Iterator[Text]:
        if self._cancel_reason is not None:
            yield error_text(self._cancel_reason)
        for location, error in self._errors:
            yield failure_text(location, error)

    def _outcome(self) -> Outcome:
        if self._cancel_reason is not None:
            return Outcome.CANCELLED
        kinds = [error for _, error in self._errors]
        if any(isinstance(error, ConnectionLostError) for error in kinds):
            return Outcome.LOST
        if any(isinstance(error, DeadlineError) for error in kinds):
            return Outcome.TIMEOUT
        return Outcome.ERROR if kinds else Outcome.OK


class _Watched:
    """The chain's input, and since when the chain has waited for it."""

    def __init__(self, session: Session, items: Iterator[Item]) -> None:
        self._session = session
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        self._session._waiting_since = time.monotonic()
        try:
            return next(self._items)
        finally:
            self._session._waiting_since = None

    def abort(self) -> None:
        """Called by the chain when it ends before its input."""
        if isinstance(self._items, ItemQueue):
            self._items.abort()


def _storage(url: str | None) -> BlobStore | None:
    if url is None:
        return None
    # Only a node with storage needs an HTTP client.
    from elastron.blobs.client import HttpBlobStore  # noqa: PLC0415

    return HttpBlobStore(url)


def _empty_header() -> ismrmrdHeader:
    """What a chain gets when the client closes without a header."""
    return ismrmrdHeader(
        experimentalConditions=experimentalConditionsType(H1resonanceFrequency_Hz=0)
    )
