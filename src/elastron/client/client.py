"""A Gadgetron client: sends scans, receives images."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastron.client.address import DEFAULT_PORT, Address
from elastron.client.compression import Compression
from elastron.client.connection import connect
from elastron.client.departure import Departed, Departure, Ticket
from elastron.client.exchange import Encoder, Ending, Outcome, converse
from elastron.client.receipt import Receipt
from elastron.client.recorded import RecordedScan
from elastron.client.result import (
    Progress,
    Result,
    ScanGarbledError,
    ScanLostError,
    ScanRefusedError,
    ScanStalledError,
)
from elastron.client.source import Scan, ScanSource, open_scan
from elastron.errors import ConfigError, ConnectionLostError, DeadlineError, RemoteError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.image import Image
from elastron.wire import iter_encode
from elastron.wire.messages import (
    Close,
    ConfigName,
    ConfigXml,
    Error,
    HeaderXml,
    Message,
    Query,
    Response,
    Text,
)

#: A config of this size is no config.
_CONFIG_BYTES_MAX = 4 << 20

_QUERY_TIMEOUT_S = 30.0

#: A config: its name at the server; a `Path` to a local file, or its XML (bytes), sent by value.
Config = str | os.PathLike[str] | bytes


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who is told what while a scan is under way; see `Client.send`."""

    on_image: Callable[[Image], None] | None = None
    on_progress: Callable[[Progress], None] | None = None
    on_text: Callable[[str], None] | None = None
    on_other: Callable[[Message], None] | None = None


class Client:
    """Sends scans to a Gadgetron, an Elastron node or a gateway.

    Args:
        host: name or address.
        port: TCP port.
        connect_timeout: seconds for which connecting is tried again and again.
        timeout: seconds for which nothing may move in either direction before a scan is given up;
            None waits for ever. Reconstructions are silent while they compute, so be generous.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = DEFAULT_PORT,
        *,
        connect_timeout: float = 10.0,
        timeout: float | None = None,
    ) -> None:
        self.address = Address(host, port)
        self.connect_timeout = connect_timeout
        self.timeout = timeout

    def send(
        self,
        source: ScanSource,
        config: Config = "default.xml",
        *,
        group: str = "dataset",
        compression: Compression | None = None,
        on_image: Callable[[Image], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_text: Callable[[str], None] | None = None,
        on_other: Callable[[Message], None] | None = None,
    ) -> Result:
        """Send a scan and receive its images.

        Sending and receiving go on at once. Memory stays bounded if `on_image` takes the images;
        else they are collected in the result.

        Args:
            source: path of an ISMRMRD file, a `Dataset`, or (header, readouts and waveforms).
            config: name at the server, or by value a `Path` or XML bytes.
            group: of the file, where a path is given.
            compression: of the readouts; None sends them as they are.
            on_image: called with each image as it comes, in the caller's thread. Its pixels are
                read-only views of received memory.
            on_progress: called after every batch sent, in the sending thread, and at the end.
            on_text: called with each text of the server as it comes, errors or not.
            on_other: called with each message that is neither image nor text.

        Raises:
            ConnectError: nobody answers.
            ScanRefusedError: the server reported errors.
            ScanLostError: the connection ended too early.
            ScanStalledError: nothing moved for `timeout` seconds.
            ScanGarbledError: the answer is not the Gadgetron protocol.
            DataError: the source cannot be read.
            ConfigError: the local config cannot be read.

        The `Scan…` errors carry what had come in `result`.
        """
        config_message = config_of(config)
        with open_scan(source, group) as scan:
            return self._exchange(
                _outgoing(config_message, scan),
                iter_encode if compression is None else compression.encoder(),
                Hooks(on_image, on_progress, on_text, on_other),
                readouts=scan.readouts,
            )

    def resend(
        self,
        scan: RecordedScan,
        config: Config | None = None,
        *,
        on_image: Callable[[Image], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_text: Callable[[str], None] | None = None,
        on_other: Callable[[Message], None] | None = None,
    ) -> Result:
        """Send a recorded scan once more, byte for byte, and receive its images.

        Args:
            scan: as a gateway's archive keeps it.
            config: instead of the one it was recorded with.
            on_image, on_progress, on_text, on_other: see `send`.

        Raises:
            OSError: the scan's file cannot be read any more; and what `send` raises.
        """
        return self._exchange(
            scan.buffers(None if config is None else config_of(config)),
            lambda buffer: [[buffer]],
            Hooks(on_image, on_progress, on_text, on_other),
            known=scan.bytes,
        )

    def detach(
        self,
        source: ScanSource,
        config: Config = "default.xml",
        *,
        group: str = "dataset",
        compression: Compression | None = None,
        on_ticket: Callable[[Ticket], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Ticket:
        """Send a scan to a gateway and leave; its images are there for who has the ticket.

        Args:
            source, config, group, compression, on_progress: see `send`.
            on_ticket: told the ticket before the scan is sent: it fetches the images even if
                the sending breaks off behind the scan's end.

        Raises:
            RemoteError: the server keeps no images: it is no Elastron gateway, or has too many.
            ScanRefusedError: it reported errors while the scan was sent; and what `send` raises.
        """
        config_message = config_of(config)
        departure = Departure(self.address, on_ticket)
        with open_scan(source, group) as scan:
            try:
                self._exchange(
                    departure.outgoing(_outgoing(config_message, scan)),
                    iter_encode if compression is None else compression.encoder(),
                    Hooks(lambda image: None, on_progress, None, departure.receive),
                    readouts=scan.readouts,
                    on_end=departure.ended,
                )
            except Departed:
                return departure.left()
        raise departure.kept_nothing()

    def query(self, query: str = "gadgetron::info") -> str:
        """Ask a server about itself.

        Raises:
            ConnectError: nobody answers.
            RemoteError: it answers with an error.
            ConnectionLostError: it hangs up without an answer.
            DeadlineError: it is silent.
        """
        answers: list[str] = []
        errors: list[str] = []

        def receive(message: Message) -> None:
            if isinstance(message, Response):
                answers.append(message.response)
            elif isinstance(message, Text | Error):
                errors.append(message.text)

        with connect(self.address, self.connect_timeout) as sock:
            outcome = converse(
                sock,
                (Query(query, correlation_id=1), Close()),
                receive,
                timeout_s=self.timeout or _QUERY_TIMEOUT_S,
            )
        if answers:
            return answers[0]
        if errors:
            raise RemoteError(f"{self.address} answers: {'; '.join(errors)}")
        if outcome.ending is Ending.STALLED:
            raise DeadlineError(f"{self.address} takes connections but does not answer.")
        raise ConnectionLostError(
            f"{self.address} hung up without an answer: is it a Gadgetron server?"
        )

    def _exchange(
        self,
        messages: Iterable[Any],
        encoder: Encoder,
        hooks: Hooks,
        *,
        readouts: int | None = None,
        known: int | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> Result:
        """One conversation.

        Args:
            messages: what `encoder` takes.
            encoder: makes bytes of it.
            hooks: who is told.
            readouts: how many are in it, if known.
            known: how many bytes it has, if known.
            on_end: called when nothing more will be received.
        """
        result = Result()
        started = time.monotonic()
        meter = _Meter(result, started, hooks.on_progress, readouts=readouts, known=known)
        receive = Receipt(result, started, hooks.on_image, hooks.on_text, hooks.on_other)
        with connect(self.address, self.connect_timeout) as sock:
            outcome = converse(
                sock,
                messages,
                receive,
                timeout_s=self.timeout,
                on_sent=meter.sent,
                encoder=encoder,
                on_end=on_end,
            )
        result.bytes_sent = meter.bytes_sent
        result.bytes_received = outcome.bytes_received
        result.seconds = time.monotonic() - started
        self._check(outcome, result)
        return result

    def _check(self, outcome: Outcome, result: Result) -> None:
        """Raise what the outcome amounts to; return if all is well."""
        if result.errors:
            # The server's own words explain a lost connection better than the loss itself.
            raise ScanRefusedError("\n".join(result.errors), result)
        got = f"{result.image_count} image{'s' * (result.image_count != 1)} came until then"
        match outcome.ending:
            case Ending.CLOSED if outcome.everything_sent:
                return
            case Ending.CLOSED:
                raise ScanLostError(
                    f"{self.address} ended the session before the whole scan was sent and gave "
                    f"no reason; {got}. Its log may say more.",
                    result,
                )
            case Ending.STALLED:
                raise ScanStalledError(
                    f"Nothing moved between us and {self.address} for {self.timeout:g} s; {got}. "
                    "Allow more time if the reconstruction is long.",
                    result,
                )
            case Ending.GARBLED:
                raise ScanGarbledError(
                    f"{self.address} sent what is no message: {outcome.reason}; {got}.", result
                )
            case Ending.LOST:
                reason = f" ({outcome.reason})" if outcome.reason else ""
                raise ScanLostError(
                    f"{self.address} hung up without finishing the scan{reason}; {got}. "
                    "Its log may say why; sending the scan again may succeed.",
                    result,
                )


class _Meter:
    """Counts what is sent and reports it.

    Args:
        result: of the conversation.
        started: when it began (monotonic, s).
        on_progress: told.
        readouts: of the whole scan, if known.
        known: bytes of the whole scan, if known; the scan has been sent when they have.
    """

    def __init__(
        self,
        result: Result,
        started: float,
        on_progress: Callable[[Progress], None] | None,
        *,
        readouts: int | None,
        known: int | None,
    ) -> None:
        self._total = readouts
        self._known = known
        self._result = result
        self._started = started
        self._on_progress = on_progress
        self._readouts = 0
        self.bytes_sent = 0

    def sent(self, message: Any, count: int) -> None:
        """Take note of a message, or of bytes, that went out."""
        self.bytes_sent += count
        if isinstance(message, AcquisitionBatch):
            self._readouts += len(message)
        raw = self._known is not None
        finished = self.bytes_sent == self._known if raw else isinstance(message, Close)
        if self._on_progress is not None and (
            finished or raw or isinstance(message, AcquisitionBatch)
        ):
            self._on_progress(
                Progress(
                    bytes_sent=self.bytes_sent,
                    readouts_sent=self._readouts,
                    readouts_total=self._total,
                    images_received=self._result.image_count,
                    seconds=time.monotonic() - self._started,
                    finished=finished,
                    bytes_known=self._known,
                )
            )


def _outgoing(config: ConfigName | ConfigXml, scan: Scan) -> Iterator[Message]:
    yield config
    yield HeaderXml(scan.header_xml)
    yield from scan.items
    yield Close()


def config_of(config: Config) -> ConfigName | ConfigXml:
    """The message that asks for a config.

    Raises:
        ConfigError: a local file that cannot be read.
    """
    if isinstance(config, bytes):
        return ConfigXml(config)
    if isinstance(config, str):
        return ConfigName(config)
    path = Path(config)
    try:
        if path.stat().st_size > _CONFIG_BYTES_MAX:
            raise ConfigError(f"{path} is too large to be a config.")
        return ConfigXml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"The config {path} cannot be read: {error.strerror}.") from error
