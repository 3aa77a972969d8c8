"""The power method on covariances of every pixel's neighbourhood, in cache and without copies.

This is the costly part of coil maps, for NumPy arrays; `coil_maps` says it in any array namespace.
A block of lines with its halo is one flat row a channel. Moving a window by a pixel, a line or a
plane is then a shift of the flat row, and sums over windows are sums of shifted rows. What the
shifts carry across the end of a line falls on the halo, which is not part of the result. All
arrays are allocated once a thread: the arithmetic would otherwise wait for fresh pages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np

#: Sums over the windows and unit vectors, (channels, pixels) -> result of that shape.
Finish = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: Covariances of one block take about this much at most, to stay in cache.
_BLOCK_BYTES = 4 << 20
#: Lines of a block; beyond, the halo costs little and memory counts.
_LINES_MAX = 24


def power_method(
    images: np.ndarray,
    size: tuple[int, int, int],
    *,
    power: int,
    conjugate_start: bool,
    finish: Finish,
    threads: int = 1,
) -> np.ndarray:
    """Iterates v <- R v / |R v| at every pixel, R = Σ conj(d) d^T over the window about it.

    Windows wrap around the edges. The images are brought to a peak of 1, so that powers of
    covariances neither overflow nor vanish in single precision.

    Args:
        images: complex64, (channels, z, y, x).
        size: of the window along z, y, x; odd.
        power: number of steps.
        conjugate_start: start from the windows' means conjugated, not as they are.
        finish: makes the result of a block from sums over the windows and vectors.
        threads: cores to use.

    Returns:
        complex64, (channels, z, y, x).
    """
    channels, depth, height, width = images.shape
    peak = max(float(np.abs(channel).max(initial=0)) for channel in images)
    scale = np.float32(1 / peak if 0 < peak < float("inf") else 1)
    planes = min(depth, 8)
    line = 4 * channels * (channels + 1) * (width + size[2] - 1) * (planes + size[0] - 1)
    lines = min(_LINES_MAX, max(4, _BLOCK_BYTES // line), -(-height // threads))
    lines = -(-height // -(-height // lines))  # blocks of about equal height
    result = np.empty(images.shape, np.complex64)
    corners = list(product(range(0, depth, planes), range(0, height, lines)))
    all_x = _wrapped(0, width, size[2], width)

    def work(first: int) -> None:
        block: _Block | None = None
        for z, y in corners[first::threads]:
            z1, y1 = min(z + planes, depth), min(y + lines, height)
            z_lines = _wrapped(z, z1, size[0], depth)[:, None]
            part = images[:, z_lines, _wrapped(y, y1, size[1], height)]
            part = np.take(part, all_x, axis=3)
            part *= scale
            if block is None or block.shape != part.shape:
                block = None  # free its memory first
                block = _Block(part.shape, size)
            result[:, z:z1, y:y1] = block.solve(
                part, power, conjugate_start=conjugate_start, finish=finish
            )

    if threads > 1 and len(corners) > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    else:
        for first in range(threads):
            work(first)
    return result


def _wrapped(start: int, stop: int, window: int, n: int) -> np.ndarray:
    """Indices of a range and the halo that windows about its ends reach into."""
    return np.arange(start - window // 2, stop + window // 2) % n


class _Block:
    """Working memory for blocks of one shape.

    Attributes:
        shape: (channels, z, y, x), with the halo.
    """

    def __init__(self, shape: tuple[int, ...], size: tuple[int, int, int]) -> None:
        channels, _, height, width = shape
        length = math.prod(shape[1:])
        steps = (height * width, width, 1)
        self.shape = shape
        self._size = size
        # Number of neighbours and their flat distance, along z, y, x.
        self._sums = [(n, step) for n, step in zip(size, steps, strict=True) if n > 1]
        # Flat length of what the sums leave.
        self._valid = valid = length - sum((n - 1) * step for n, step in self._sums)
        self._part, self._conjugate, self._products = _rows(3, channels, length)
        self._powers = _rows(2, channels, length)
        self._totals = _rows(2, channels, length)
        # Whole lines, so that the result can be seen as images.
        self._vector = np.zeros_like(self._part)
        # The sums are done when these are needed.
        self._next = self._powers[0]
        self._mirrored, self._conjugate_vector = (rows[:, :valid] for rows in self._totals)
        self._mean = np.empty((channels, valid), np.complex64)
        self._covariance = [np.empty((channels - a, valid), np.complex64) for a in range(channels)]

    def solve(
        self, part: np.ndarray, power: int, *, conjugate_start: bool, finish: Finish
    ) -> np.ndarray:
        """The result of one block; a view of this memory, valid until the next call."""
        self._part.reshape(part.shape)[...] = part
        self._window_sums(self._part, self._mean)
        np.conj(self._part, out=self._conjugate)
        for a, row in enumerate(self._covariance):
            # Its upper triangle: Σ conj(d_a) d_b for b >= a.
            products = np.multiply(self._conjugate[a], self._part[a:], out=self._products[a:])
            self._window_sums(products, row)
        vector = self._vector[:, : self._valid]
        vector[...] = self._mean
        if conjugate_start:
            np.conj(vector, out=vector)
        for step in range(power):
            self._multiply(vector, self._next[:, : self._valid])
            self._vector, self._next = self._next, self._vector
            vector = self._vector[:, : self._valid]
            # Often enough to stay in range.
            if step % 2 == 0 or step == power - 1:
                self._normalize(vector)
        vector[...] = finish(self._mean, vector)
        inner = tuple(slice(0, n - k + 1) for n, k in zip(part.shape[1:], self._size, strict=True))
        return self._vector.reshape(part.shape)[(slice(None), *inner)]

    def _window_sums(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Sums over the window; `out` is shorter by what the window reaches over."""
        count = len(rows)
        for i, (n, step) in enumerate(self._sums):
            length = rows.shape[1] - (n - 1) * step
            last = i == len(self._sums) - 1
            total = out if last else self._totals[i % 2][:count, :length]
            self._shifted_sum(rows, n, step, total)
            rows = total

    def _shifted_sum(self, rows: np.ndarray, n: int, step: int, out: np.ndarray) -> None:
        """Sum of `n` shifts, by doubling: sums of 1, 2, 4, … are put together."""
        count, length = out.shape
        done, width, started = 0, 1, False
        power, spare = rows, 0
        while True:
            if n & width:
                piece = power[:, done * step : done * step + length]
                if started:
                    out += piece
                else:
                    out[...] = piece
                started, done = True, done + width
            if done == n:
                return
            reach = power.shape[1] - width * step
            doubled = self._powers[spare][:count, :reach]
            np.add(power[:, :reach], power[:, width * step :], out=doubled)
            power, spare, width = doubled, 1 - spare, 2 * width

    def _multiply(self, vector: np.ndarray, out: np.ndarray) -> None:
        """out = R vector, from the upper triangle of R."""
        conjugate = np.conj(vector, out=self._conjugate_vector)
        mirrored = self._mirrored
        mirrored[...] = 0
        for a, row in enumerate(self._covariance):
            products = self._products[: len(row), : self._valid]
            np.multiply(row, vector[a:], out=products)
            np.add.reduce(products, axis=0, out=out[a])
            # The lower triangle: conj(c) v = conj(c conj(v)).
            mirrored[a + 1 :] += np.multiply(row[1:], conjugate[a], out=products[1:])
        out += np.conj(mirrored, out=mirrored)

    def _normalize(self, vector: np.ndarray) -> None:
        """Unit norm over the channels; 0 stays 0."""
        squared = np.conj(vector, out=self._mirrored)
        squared *= vector
        norm = np.sqrt(np.add.reduce(squared, axis=0).real)
        vector *= np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)


def _rows(count: int, channels: int, length: int) -> tuple[np.ndarray, ...]:
    # Zeros: what the result does not cover is never written, and must not disturb.
    return tuple(np.zeros((channels, length), np.complex64) for _ in range(count))
