"""Socket to socket: whole scans through a running node, against the floor of their arithmetic.

The stream is encoded beforehand and sent from memory; the clock runs from connect to the server's
CLOSE. Client, node and the floor share the same cores, and take turns. The C++ Gadgetron's ratios
to the same floor, for comparison, were measured once on another machine of two cores and do carry
over roughly; absolute times do not.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft
from rich.console import Console
from rich.table import Table

from benchmarks.session import RunningNode, running_node, session_memory_mb
from elastron.mrd.header import serialize_header
from elastron.mrd.image import Image
from elastron.recon.phantom_scan import Calibration, PhantomSettings, phantom_acquisitions
from elastron.wire import Decoder, encode
from elastron.wire.messages import Close, ConfigName, HeaderXml

RUNS = 11


@dataclass(frozen=True)
class Case:
    """One scan through one config; `cpp_*` are the C++ Gadgetron 4.7.2's figures."""

    name: str
    config: str
    scan: PhantomSettings
    target: float | None
    cpp_ratio: float | None
    cpp_peak_mb: float


def _scan(coils: int, repetitions: int, acceleration: int = 1) -> PhantomSettings:
    return PhantomSettings(
        matrix=256,
        coils=coils,
        repetitions=repetitions,
        acceleration=(acceleration, 1),
        calibration=Calibration.EMBEDDED,
        calibration_lines=32,
        noise_readouts=1,
        oversampling=2,
    )


CASES = (
    Case("full_c8_r10", "default.xml", _scan(8, 10), 2.5, 8.0, 131),
    Case("full_c16_r10", "default.xml", _scan(16, 10), 2.5, 6.0, 231),
    Case("full_c8_r10", "Generic_Cartesian_FFT.xml", _scan(8, 10), 3.0, 26, 267),
    Case("full_c16_r10", "Generic_Cartesian_FFT.xml", _scan(16, 10), 3.0, 14.6, 454),
    Case("r2e_c16", "Generic_Cartesian_Grappa.xml", _scan(16, 10, 2), 4.0, None, 419),
    Case("one image, c8", "default.xml", _scan(8, 1), None, None, 40),
    Case("one image, R=2, c16", "Generic_Cartesian_Grappa.xml", _scan(16, 1, 2), None, None, 105),
)


def encoded_scan(config: str, settings: PhantomSettings) -> list[bytes | memoryview]:
    """The whole stream of a client, as buffers."""
    header, batches = phantom_acquisitions(settings)
    buffers: list[bytes | memoryview] = [
        *encode(ConfigName(config)),
        *encode(HeaderXml(serialize_header(header))),
    ]
    data = b"".join(bytes(b) for batch in batches for b in encode(batch))
    step = 4 << 20
    view = memoryview(data)
    buffers += [view[start : start + step] for start in range(0, len(view), step)]
    buffers += encode(Close())
    return buffers


def send_scan(port: int, buffers: list[bytes | memoryview]) -> tuple[float, int]:
    """Seconds from connect to CLOSE, and the number of images.

    Raises:
        RuntimeError: the server sent a text, i.e. an error.
    """
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender = threading.Thread(target=lambda: [connection.sendall(b) for b in buffers])
        sender.start()
        decoder = Decoder()
        images = 0
        while True:
            n = connection.recv_into(decoder.get_buffer())
            if not n:
                raise RuntimeError("the node closed the connection without CLOSE")
            decoder.received(n)
            for message in decoder.messages():
                kind = type(message).__name__
                if kind == "Close":
                    sender.join()
                    return time.perf_counter() - start, images
                if kind in ("Text", "Error"):
                    raise RuntimeError(str(message))
                images += kind == "Image"


def floor(case: Case) -> Callable[[], object]:
    """The bare arithmetic of one case on arrays in memory.

    `default`: readout IFFT, crop, IFFT along the lines, root sum of squares, with two FFT workers.
    The generic chains add one coil-by-coil matrix product on the cropped lines. With acceleration
    only the acquired lines pass through readout IFFT and product, and the root sum of squares is
    the product with the unmixing images.
    """
    scan = case.scan
    n, coils, samples = scan.matrix, scan.coils, scan.matrix * scan.oversampling
    rng = np.random.default_rng(0)
    lines = np.arange(0, n, scan.acceleration[0])
    if scan.acceleration[0] > 1:
        half = scan.calibration_lines // 2
        lines = np.union1d(lines, np.arange(n // 2 - half, n // 2 + half))
    data = rng.standard_normal((len(lines), coils, samples, 2), dtype=np.float32)
    data = data.view(np.complex64)[..., 0]
    whiten = rng.standard_normal((coils, coils)).astype(np.complex64)
    unmixing = np.ones((coils, n, n), np.complex64)
    low = (samples - n) // 2

    def once() -> np.ndarray:
        x = scipy.fft.ifft(data, axis=-1, workers=2)[..., low : low + n]
        if case.config != "default.xml":
            x = whiten @ x
        if scan.acceleration[0] > 1:
            full = np.zeros((n, coils, n), np.complex64)
            full[lines] = x
            x = full
        x = scipy.fft.ifft(x, axis=0, workers=2)
        if scan.acceleration[0] > 1:
            return np.einsum("ycx,cyx->yx", x, unmixing)
        return np.sqrt((x.real**2 + x.imag**2).sum(axis=1))

    return lambda: [once() for _ in range(scan.repetitions)]


@dataclass(frozen=True)
class Measured:
    """What came of one case; seconds of every run, in the order they were taken.

    Attributes:
        scans: socket to socket.
        floors: of the bare arithmetic; each was taken right before the scan of its number.
        size_mb: of the stream.
        peak_mb: of the session's memory.
        images: of a scan.
    """

    scans: list[float]
    floors: list[float]
    size_mb: float
    peak_mb: float
    images: int


def measure(node: RunningNode, case: Case) -> Measured:
    """Scans and floors in turns, so that a machine that is slow for a while is so for both."""
    buffers = encoded_scan(case.config, case.scan)
    size = sum(len(b) for b in buffers) / 1e6
    bare = floor(case)
    bare()
    _, images = send_scan(node.port, buffers)
    scans, floors = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        bare()
        floors.append(time.perf_counter() - start)
        scans.append(send_scan(node.port, buffers)[0])
    peak = session_memory_mb(node, lambda: send_scan(node.port, buffers))
    return Measured(scans, floors, size, peak, images)


def image_delay(node: RunningNode, case: Case) -> float:
    """Seconds from the last readout of a repetition to its image, while the scan goes on.

    The repetition comes at full speed, then one readout of the next, then nothing until the image.
    """
    header, batches = phantom_acquisitions(case.scan)
    data = [batch for batch in batches if not batch.counter("repetition").any()]
    following = phantom_acquisitions(replace(case.scan, repetitions=2))[1]
    trigger = next(
        batch.select(np.flatnonzero(batch.counter("repetition"))[:1])
        for batch in following
        if batch.counter("repetition").any()
    )
    with socket.create_connection(("127.0.0.1", node.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = (ConfigName(case.config), HeaderXml(serialize_header(header)), *data)
        connection.sendall(b"".join(bytes(b) for item in opening for b in encode(item)))
        start = time.perf_counter()
        connection.sendall(b"".join(bytes(b) for b in encode(trigger)))
        decoder = Decoder()
        while True:
            n = connection.recv_into(decoder.get_buffer())
            if not n:
                raise RuntimeError("the node closed the connection without an image")
            decoder.received(n)
            if any(isinstance(message, Image) for message in decoder.messages()):
                return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    table = Table(title=f"socket to socket (median of {RUNS})")
    for column in (
        "scan",
        "config",
        "MB",
        "images",
        "ms",
        "floor ms",
        "ratio",
        "of best",
        "target",
        "C++",
        "peak MB",
        "C++ / 5",
    ):
        table.add_column(column, justify="left" if column in ("scan", "config") else "right")
    image_seconds: dict[Case, float] = {}
    with running_node(capacity=4) as node:
        for case in CASES:
            found = measure(node, case)
            scan, bare = float(np.median(found.scans)), float(np.median(found.floors))
            if case.scan.repetitions > 1:
                image_seconds[case] = scan / found.images
            table.add_row(
                case.name,
                case.config.removesuffix(".xml"),
                f"{found.size_mb:.0f}",
                str(found.images),
                f"{scan * 1e3:.0f}",
                f"{bare * 1e3:.0f}",
                f"{scan / bare:.2f}",
                f"{min(found.scans) / min(found.floors):.2f}",
                "" if case.target is None else f"{case.target:.1f}",
                "" if case.cpp_ratio is None else f"{case.cpp_ratio:.1f}",
                f"{found.peak_mb:.0f}",
                f"{case.cpp_peak_mb / 5:.0f}",
            )
        delays = {
            case: [float(np.median([image_delay(node, case) for _ in range(RUNS)])), pace]
            for case, pace in image_seconds.items()
        }
    Console(width=140).print(table)
    for case, (delay, pace) in delays.items():
        print(
            f"{case.name} {case.config}: image {delay * 1e3:.0f} ms after the last readout of its "
            f"repetition, {delay / pace:.2f} of an image's time (target 1)"
        )


if __name__ == "__main__":
    main()
