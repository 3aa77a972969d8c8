"""Decoder throughput as a share of memcpy, for large and small readouts.

Three figures a shape, in one run on one core:

* memcpy: copying the stream's bytes into a receive buffer, 2 MiB at a time;
* decoder: the same copies, into the decoder's buffers, and decoding them to batches;
* encoder: laying out batches as messages, and sending batches on as they came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import numpy as np

from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.wire import CHUNK_BYTES, Decoder, encode, iter_encode

STREAM_BYTES = 64 << 20
SHAPES = {"256x16": (16, 256), "64x4": (4, 64)}
#: What one receive call brings: a full buffer, or as much as loopback usually has.
RECEIVE_BYTES = {"": CHUNK_BYTES, " in 64 kB pieces": 64 << 10}


def make_batch(channels: int, samples: int, nbytes: int = STREAM_BYTES) -> AcquisitionBatch:
    """Readouts of random samples, about `nbytes` of them."""
    count = nbytes // (342 + 8 * channels * samples)
    rng = np.random.default_rng(0)
    headers = np.zeros(count, ACQUISITION_HEADER)
    headers["number_of_samples"] = samples
    headers["active_channels"] = headers["available_channels"] = channels
    headers["scan_counter"] = np.arange(count)
    data = rng.standard_normal((count, channels, 2 * samples), np.float32).view(np.complex64)
    return AcquisitionBatch(headers, data)


def best(run: Callable[[], None], repeats: int = 7) -> float:
    """Seconds of the fastest of some runs."""
    seconds: list[float] = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def copy(stream: memoryview, piece: int) -> None:
    """The floor: the bytes into a buffer, as a receive call puts them there."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    for start in range(0, len(stream), piece):
        part = stream[start : start + piece]
        buffer[: len(part)] = part


def decode(decoder: Decoder, stream: memoryview, piece: int) -> int:
    """The same copies, decoded; the number of readouts."""
    start = readouts = 0
    while start < len(stream):
        buffer = decoder.get_buffer()
        count = min(len(buffer), piece, len(stream) - start)
        buffer[:count] = stream[start : start + count]
        decoder.received(count)
        start += count
        for batch in decoder.messages():
            readouts += len(batch)  # pyright: ignore[reportArgumentType]
    return readouts


def exhaust(items: Iterable[object]) -> None:
    for _ in items:
        pass


def main() -> dict[str, float]:
    """Print and return each ratio to memcpy; 1.0 is as fast as copying the bytes once."""
    ratios: dict[str, float] = {}
    for name, (channels, samples) in SHAPES.items():
        batch = make_batch(channels, samples)
        stream = memoryview(b"".join(encode(batch)))
        for label, piece in RECEIVE_BYTES.items():
            floor = best(lambda: copy(stream, piece))  # noqa: B023
            decoder = Decoder()
            assert decode(decoder, stream, piece) == len(batch)
            seconds = best(lambda: exhaust([decode(decoder, stream, piece)]))  # noqa: B023
            ratios[f"decode {name}{label}"] = floor / seconds
        floor = best(lambda: copy(stream, CHUNK_BYTES))  # noqa: B023
        ratios[f"encode {name}"] = floor / best(lambda: exhaust(iter_encode(batch)))  # noqa: B023
        rate = len(stream) / floor / 1e9
        print(f"memcpy {name}: {rate:.1f} GB/s")
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} of memcpy")
    return ratios


if __name__ == "__main__":
    main()
