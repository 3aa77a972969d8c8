"""`default.xml` within one process against the bare arithmetic it cannot do without.

The floor: arrays already in memory, readout IFFT, crop, IFFT along the lines, root sum of squares;
complex64, `scipy.fft`. The chain gets batches as the decoder gives them: unaligned views between
headers. What it adds to the floor is copies, sorting, headers and Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.fft
from rich.console import Console
from rich.table import Table

from elastron.gadgets.base import Item
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.pipeline import reconstruct
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions

RUNS = 9
#: Readouts of a batch: what fits 2 MiB of a receive buffer, with 16 coils.
BATCH = 32


def floor_arrays(coils: int, lines: int, samples: int) -> np.ndarray:
    """One repetition's readouts, complex64 (lines, coils, samples)."""
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((lines, coils, samples * 2), dtype=np.float32)
    return parts.view(np.complex64)


def floor_image(
    readouts: np.ndarray, n_out: int, *, threads: int, matrix: np.ndarray | None = None
) -> np.ndarray:
    """The bare arithmetic of one repetition; centred or not makes no difference to its cost.

    Args:
        readouts: complex64 (lines, coils, samples).
        n_out: samples after the crop.
        threads: FFT workers.
        matrix: complex64 (coils, coils), multiplied onto the cropped readouts if given.

    Returns:
        float32 (lines, n_out).
    """
    start = (readouts.shape[-1] - n_out) // 2
    image: Any = scipy.fft.ifft(readouts, axis=-1, workers=threads)
    image = image[..., start : start + n_out]
    if matrix is not None:
        image = np.matmul(matrix, image)
    image = scipy.fft.ifft(image, axis=0, workers=threads)
    return np.sqrt((image.real**2 + image.imag**2).sum(axis=1))


def wire_batches(settings: PhantomSettings) -> tuple[Any, list[AcquisitionBatch]]:
    """MRD header and batches of a phantom scan, laid out as on the wire."""
    header, batches = phantom_acquisitions(settings)

    def laid_out() -> Iterator[AcquisitionBatch]:
        for batch in batches:
            for first in range(0, len(batch), BATCH):
                part = batch.select(slice(first, first + BATCH))
                record = np.dtype(
                    [
                        ("id", "<u2"),
                        ("header", ACQUISITION_HEADER),
                        ("data", "<c8", part.data.shape[1:]),
                    ]
                )
                wire = np.zeros(len(part), record)
                wire["header"], wire["data"] = part.headers, part.data
                yield AcquisitionBatch(wire["header"], wire["data"])

    return header, list(laid_out())


def best(run: Callable[[], object], runs: int = RUNS) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Print the table."""
    table = Table(title=f"default.xml in one process (best of {RUNS})")
    for column in ("scan", "threads", "chain ms", "floor ms", "ratio", "ratio to floor of 2"):
        table.add_column(column, justify="left" if column == "scan" else "right")
    for coils, repetitions in ((8, 1), (8, 10), (16, 10)):
        settings = PhantomSettings(
            matrix=256, coils=coils, repetitions=repetitions, noise_readouts=1, oversampling=2
        )
        header, items = wire_batches(settings)
        readouts = floor_arrays(coils, 256, 512)
        of_two = _floor_seconds(readouts, repetitions, 2)
        for threads in (1, 2):
            floor = _floor_seconds(readouts, repetitions, threads)
            chain = best(lambda items=items, header=header, n=threads: _chain(items, header, n))
            table.add_row(
                f"full_c{coils}_r{repetitions}",
                str(threads),
                f"{chain * 1e3:.1f}",
                f"{floor * 1e3:.1f}",
                f"{chain / floor:.2f}",
                f"{chain / of_two:.2f}",
            )
    Console().print(table)


def _floor_seconds(readouts: np.ndarray, repetitions: int, threads: int) -> float:
    return repetitions * best(lambda: floor_image(readouts, 256, threads=threads), RUNS * 3)


def _chain(items: list[AcquisitionBatch], header: Any, threads: int) -> None:
    stream: list[Item] = list(items)
    reconstruct(stream, "default.xml", header=header, threads=threads)


if __name__ == "__main__":
    main()
