"""Coil sensitivity maps from multi-channel images.

- Inati: Inati SJ, Hansen MS, Kellman P. A solution to the phase problem in adaptive coil
  combination. Proc ISMRM 2013;21:2672. (`inati`; `inati_iterative` is the fast variant of
  Inati SJ, et al. Proc ISMRM 2014;22:4407.)
- Walsh DO, Gmitro AF, Marcellin MW. Adaptive reconstruction of phased array MR imagery.
  Magn Reson Med 2000;43:682-690.

Images and maps are complex64, (channels, z, y, x); maps have unit norm over the channels. Windows
wrap around the edges.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from array_api_compat import array_namespace, is_numpy_array

from elastron.recon import local_covariance

#: Covariances on accelerators are computed in blocks of about this size.
_BLOCK_BYTES = 64 << 20

#: Size of a window: x and y, z; or x, y, z.
Window = tuple[int, int] | tuple[int, int, int]

#: Sums over the windows and unit vectors, (channels, ...) -> maps.
_Finish = Callable[[Any, Any], Any]


def inati(images: Any, window: Window = (7, 5), *, power: int = 3, threads: int = 1) -> Any:
    """Maps by local singular value decomposition, with the object's mean phase.

    At each pixel D (pixels of the window x channels) is taken to be of rank one, D ≈ ρ s^T.
    `power` steps of the power method give v = conj(s); the map is s times the phase of the
    window's mean of D v, so that the combined image has zero phase where the phase is smooth.

    Args:
        images: complex64, (channels, z, y, x).
        window: its size in x and y, and in z; or in x, in y and in z. Each is made odd; z counts
            in 3D only.
        power: steps of the power method, from the window's mean as the start.
        threads: cores to use.
    """

    def finish(mean: Any, vector: Any) -> Any:
        xp = array_namespace(mean)
        return xp.conj(vector) * _unit(xp.sum(mean * vector, axis=0))

    return _dominant(images, window, power, finish, conjugate_start=False, threads=threads)


def inati_iterative(
    images: Any,
    window: Window = (7, 5),
    *,
    iterations: int = 10,
    tolerance: float = 1e-4,
) -> Any:
    """Maps by alternating between combined image and smoothed products with it.

    Args:
        images: complex64, (channels, z, y, x).
        window: see `inati`.
        iterations: at most.
        tolerance: stop when the combined image changes by less (relative L2 norm).
    """
    xp = array_namespace(images)
    channels, depth = images.shape[:2]
    if channels == 1:
        return xp.ones_like(images)
    size = _window_size(window, depth)
    halo = tuple(n // 2 for n in size)
    scaled = _unit_scale(images)
    combined = _project(scaled, _normalized(_totals(scaled)))
    maps = xp.ones_like(images)
    for _ in range(iterations):
        previous = combined
        maps = xp.stack(
            [
                box_sum(_wrap(scaled[i : i + 1, ...] * xp.conj(combined), halo), size)[0, ...]
                for i in range(channels)
            ]
        )
        maps = _normalized(maps)
        combined = _project(scaled, maps)
        # The phase the maps have in common belongs to the image.
        phase = _unit(_project(maps, _normalized(_totals(maps * combined))))
        combined = combined * phase
        maps = maps * xp.conj(phase)
        change = float(xp.linalg.vector_norm(combined - previous))
        if change < tolerance * float(xp.linalg.vector_norm(combined)):
            break
    return maps


def _window_size(window: Window, depth: int) -> tuple[int, int, int]:
    """Odd sizes along z, y, x."""
    return (1 if depth == 1 else window[-1] | 1, window[-2] | 1, window[0] | 1)


def _totals(images: Any) -> Any:
    """Sum over all pixels, dimensions kept."""
    xp = array_namespace(images)
    return xp.sum(images, axis=(1, 2, 3), keepdims=True)


def _project(images: Any, maps: Any) -> Any:
    """Σ conj(maps) images over the channels."""
    xp = array_namespace(images)
    return xp.sum(xp.conj(maps) * images, axis=0)


def _unit_scale(images: Any) -> Any:
    """The images with a peak of 1.

    Powers of covariances then neither overflow nor vanish in single precision.
    """
    xp = array_namespace(images)
    peak = float(xp.max(xp.abs(images)))
    return images * (1 / peak) if 0 < peak < float("inf") else images


def walsh(images: Any, window: Window = (7, 5), *, power: int = 10, threads: int = 1) -> Any:
    """Maps by the stochastic matched filter: eigenvectors of local covariances.

    As `inati`, but without the object's phase: the first channel of the map is real and
    positive. Combined images carry the first channel's phase.
    """

    def finish(mean: Any, vector: Any) -> Any:
        xp = array_namespace(mean)
        return xp.conj(vector) * _unit(vector[0, ...])

    return _dominant(images, window, power, finish, conjugate_start=True, threads=threads)


def _power_method(covariance: list[Any], vector: Any, power: int) -> Any:
    """Unit-norm iterate of the power method at every pixel; (channels, ...).

    Args:
        covariance: its upper triangle, row by row: element a holds Σ conj(d_a) d_b over the
            window, for all b >= a.
        vector: the start, (channels, ...).
        power: steps.
    """
    xp = array_namespace(vector)
    mirrored = [xp.conj(row[1:, ...]) for row in covariance]
    for step in range(power):
        rows = [xp.sum(row * vector[a:, ...], axis=0) for a, row in enumerate(covariance)]
        for a, row in enumerate(mirrored):
            column = row * vector[a, ...]
            for i in range(column.shape[0]):
                rows[a + 1 + i] += column[i, ...]
        vector = xp.stack(rows)
        # Often enough to stay in range.
        if step % 2 == 0 or step == power - 1:
            vector = _normalized(vector)
    return vector


def _normalized(vector: Any) -> Any:
    """Divided by the norm over the first axis; 0 where that is 0."""
    xp = array_namespace(vector)
    return vector * _inverse(xp.sqrt(xp.sum(xp.real(vector) ** 2 + xp.imag(vector) ** 2, axis=0)))


def _inverse(x: Any) -> Any:
    """1 / x; 0 where x is 0."""
    xp = array_namespace(x)
    return xp.where(x > 0, 1 / xp.where(x > 0, x, 1), 0)


def _unit(x: Any) -> Any:
    """x / |x|; 0 where that is 0."""
    xp = array_namespace(x)
    return x * _inverse(xp.abs(x))


def _dominant(
    images: Any,
    window: Window,
    power: int,
    finish: _Finish,
    *,
    conjugate_start: bool,
    threads: int,
) -> Any:
    """Maps from the power method on local covariances; see `local_covariance.power_method`."""
    xp = array_namespace(images)
    channels, depth, height, width = images.shape
    if channels == 1:
        return xp.ones_like(images)
    size = _window_size(window, depth)
    if is_numpy_array(images):
        return local_covariance.power_method(
            images,
            size,
            power=power,
            conjugate_start=conjugate_start,
            finish=finish,
            threads=threads,
        )
    halo = tuple(n // 2 for n in size)
    padded = _wrap(_unit_scale(images), halo)
    planes = min(depth, 8)
    line = 4 * channels * (channels + 1) * (width + 2 * halo[2]) * (planes + 2 * halo[0])
    lines = max(4, _BLOCK_BYTES // line)
    out = xp.empty(images.shape, dtype=xp.complex64)
    for z, y in product(range(0, depth, planes), range(0, height, lines)):
        z1, y1 = min(z + planes, depth), min(y + lines, height)
        part = padded[:, z : z1 + 2 * halo[0], y : y1 + 2 * halo[1], :]
        covariance = [
            box_sum(xp.conj(part[a, ...])[None, ...] * part[a:, ...], size) for a in range(channels)
        ]
        mean = box_sum(part, size)
        start = xp.conj(mean) if conjugate_start else mean
        out[:, z:z1, y:y1, :] = finish(mean, _power_method(covariance, start, power))
    return out


def _wrap(images: Any, halo: tuple[int, ...]) -> Any:
    """Periodic continuation of the last three axes."""
    xp = array_namespace(images)
    for axis, n in zip((1, 2, 3), halo, strict=True):
        if n:
            size = images.shape[axis]
            index = xp.asarray([i % size for i in range(-n, size + n)])
            images = xp.take(images, index, axis=axis)
    return images


def box_sum(x: Any, size: tuple[int, ...]) -> Any:
    """Sums over windows of `size` along the last axes; the result is smaller by size - 1.

    Sums of powers of two are doubled up, which unlike running sums loses no precision beside
    strong pixels.
    """
    offset = x.ndim - len(size)
    for axis, n in enumerate(size, start=offset):
        x = _window_sum(x, n, axis)
    return x


def _window_sum(x: Any, n: int, axis: int) -> Any:
    if n == 1:
        return x
    length = x.shape[axis] - n + 1

    def part(array: Any, start: int, count: int) -> Any:
        index = [slice(None)] * array.ndim
        index[axis] = slice(start, start + count)
        return array[tuple(index)]

    total, done, power, width = None, 0, x, 1
    while True:
        if n & width:
            piece = part(power, done, length)
            total = piece if total is None else total + piece
            done += width
        if done == n:
            return total
        count = power.shape[axis] - width
        power = part(power, 0, count) + part(power, width, count)
        width *= 2
